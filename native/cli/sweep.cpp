// espalier sweep: a grid of pipelines over one model, one JSON line for each result. It may be stopped at any
// time and goes on where it was; shards of it run anywhere, and --merge puts their lines together.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <set>

#include "bench/measure_file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/pipeline_options.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "compress/sweep.h"
#include "core/error.h"
#include "core/json_fields.h"

namespace espalier::cli {
namespace {

using nlohmann::json;

struct SweepOptions {
  std::string model;
  DataOptions data;
  std::string grid;
  std::string shard = "0/1";
  std::uint64_t seed = 0;
  CLI::Option* seed_given = nullptr;
  std::vector<std::string> merge;
  std::string out;
  bool json = false;
  EngineOptions engine;
};

std::vector<json> open_results(const std::string& path) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  return read_results({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

void save_results(const std::string& path, std::vector<json>& lines) {
  mark_pareto(lines);
  const std::string text = to_text(lines);
  save(path, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

int pareto_count(const std::vector<json>& lines) {
  return static_cast<int>(std::count_if(lines.begin(), lines.end(),
                                        [](const json& line) { return line.value("pareto", false); }));
}

// "passes[0].sparsity 0.9, training.seed 1"
std::string words_of(const json& choices) {
  std::string text;
  for (const auto& [name, value] : choices.items()) {
    text += (text.empty() ? "" : ", ") + name + " " +
            (value.is_string() ? value.get<std::string>() : dump(value));
  }
  return text.empty() ? "the pipeline" : text;
}

std::string row_of_line(const json& line) {
  return with_commas(line.value("file_bytes", std::int64_t{0})) + " bytes, validation " +
         fixed(100 * line.value("validation_accuracy", 0.0), 2) + " %, test " +
         fixed(100 * line.value("test_accuracy", 0.0), 2) + " %, " +
         fixed(line.value("microseconds_per_image", 0.0), 1) +
         " us: " + words_of(line.value("choices", json()));
}

void print_summary(const SweepOptions& options, const std::vector<json>& lines, int fresh, double seconds) {
  if (options.json) {
    std::cout << dump(Fields()("file", options.out)("lines", lines.size())("new", fresh)(
                          "pareto", pareto_count(lines))("seconds", seconds)
                          .take(),
                      2)
              << '\n';
    return;
  }
  std::vector<const json*> front;
  for (const json& line : lines) {
    if (line.value("pareto", false)) front.push_back(&line);
  }
  std::sort(front.begin(), front.end(), [](const json* a, const json* b) {
    return a->value("file_bytes", std::int64_t{0}) < b->value("file_bytes", std::int64_t{0});
  });
  std::cout << "\nthe Pareto front of bytes, validation accuracy and microseconds:\n";
  for (const json* line : front) std::cout << "  " << row_of_line(*line) << '\n';
  std::cout << "\nsaved   " << options.out << ": " << lines.size() << " results, " << fresh
            << " of them new, " << front.size() << " on the front, after " << duration(seconds) << '\n';
}

int merge(const SweepOptions& options) {
  check_can_save(options.out);
  const Stopwatch stopwatch;
  std::vector<json> all;
  std::set<std::string> known;
  for (const std::string& part : options.merge) {
    for (json& line : open_results(part)) {
      json key = line;
      for (const char* measured : {"pareto", "seconds", "microseconds_per_image"}) key.erase(measured);
      if (known.insert(key.dump()).second) all.push_back(std::move(line));
    }
  }
  save_results(options.out, all);
  print_summary(options, all, 0, stopwatch.seconds());
  return kDone;
}

int run(const SweepOptions& options) {
  if (options.out.empty())
    throw Error(ErrorCode::kArgument, "--out", "is missing; give the name of a .jsonl file");
  if (!options.merge.empty()) return merge(options);
  if (options.model.empty())
    throw Error(ErrorCode::kArgument, "MODEL", "is missing; give a model file, or --merge");
  check_can_save(options.out);
  const Stopwatch stopwatch;
  const SweepGrid grid = at_option("--grid", [&] { return parse_grid(open_json(options.grid, "--grid")); });
  const Shard shard = at_option("--shard", [&] { return parse_shard(options.shard); });

  const ModelFile file = open_model(options.model);
  std::uint64_t seed = file.training ? file.training->config.seed : TrainingConfig{}.seed;
  if (options.seed_given->count() > 0) seed = options.seed;
  std::vector<Trial> trials = at_option("--grid", [&] { return shard_of(trials_of(grid, seed), shard); });
  const Dataset dataset = options.data.open(seed);
  ThreadPool pool(options.engine.threads);

  std::vector<json> lines;
  std::error_code ignored;
  if (std::filesystem::exists(options.out, ignored)) lines = open_results(options.out);
  save_results(options.out, lines);  // without a torn line
  std::ofstream results(options.out, std::ios::binary | std::ios::app);

  FileMeter meter(dataset, options.engine.select());
  Sweep sweep{
      .model = *file.model,
      .dataset = dataset,
      .kernels = options.engine.select(),
      .pool = pool,
      .origin = Fields()("source_sha256", sha256_hex(weight_bytes(*file.model)))("data", options.data.words())
                    .take(),
      .measure = [&](const Model& model, const json& pipeline,
                     json& line) { return meter.measure(model, dump(pipeline), line); },
      .keep =
          [&](const json& line) {
            results << dump(line) << std::endl;
            if (!results)
              throw Error(ErrorCode::kIo, options.out, "could not be written; is there space left?");
          },
      .choices = {}};
  Work work = run_sweep(sweep, grid, std::move(trials), lines);
  ProgressLine progress(options.json);
  const Interrupt interrupt;
  const std::size_t before = lines.size();
  bool interrupted = false;
  while (!interrupted && work.advance()) {
    interrupted = Interrupt::requested();
    if (!progress.due()) continue;
    const int fresh = sweep.done - sweep.skipped;
    std::string numbers = words_of(sweep.choices) + "  " + std::string(work.progress().stage);
    if (fresh > 0) {
      const double left = stopwatch.seconds() * (sweep.total - sweep.done) / fresh;
      numbers = "ETA " + duration(left) + "  " + numbers;
    }
    progress.show("sweep", "pipeline", sweep.done, sweep.total, numbers);
  }
  progress.clear();
  results.close();
  if (interrupted) {
    std::cout.flush();
    std::cerr << "espalier: interrupted after " << lines.size() - before
              << " pipelines, which are kept; the same command goes on\n";
    return kFailed;
  }
  save_results(options.out, lines);
  print_summary(options, lines, static_cast<int>(lines.size() - before), stopwatch.seconds());
  return kDone;
}

}  // namespace

Command add_sweep(CLI::App& espalier) {
  CLI::App* app = espalier.add_subcommand("sweep", "Run a grid of pipelines, one JSON line for each result");
  const auto options = std::make_shared<SweepOptions>();
  app->add_option("MODEL", options->model, "The model file that every pipeline starts from");
  options->data.add_to(*app);
  app->add_option("--grid", options->grid, "A pipeline with lists in place of values, as JSON")
      ->type_name("FILE");
  app->add_option("--shard", options->shard, "Only every N-th pipeline, from number I on: 0/4, 1/4, 2/4, 3/4")
      ->capture_default_str()
      ->type_name("I/N");
  options->seed_given =
      app->add_option("--seed", options->seed, "Seed of pipelines that have none")->type_name("N");
  app->add_option("--merge", options->merge, "Run nothing: put these results together in --out")
      ->type_name("FILE")
      ->expected(1, 1 << 20);
  app->add_option("--out", options->out, "Add the results here, JSON lines")->type_name("FILE");
  app->add_flag("--json", options->json, "Print one JSON object instead of a table");
  options->engine.add_to(*app);
  app->footer(
      "Examples:\n"
      "  espalier sweep lenet5.safetensors --data mnist --grid grid.json --out results.jsonl\n"
      "  seq 0 7 | parallel espalier sweep lenet5.safetensors --data mnist --grid grid.json --threads 1 "
      "--shard {}/8 --out {}.jsonl\n"
      "  espalier sweep --merge 0.jsonl 1.jsonl --out results.jsonl\n\n"
      "In a Slurm array (#SBATCH --array=0-7) the shard is $SLURM_ARRAY_TASK_ID/8, in an indexed Kubernetes\n"
      "job $JOB_COMPLETION_INDEX/8: see native/compress/README.md. Lines that are there already are "
      "skipped,\n"
      "so the same command goes on where it was stopped, by Ctrl-C or by the scheduler.\n"
      "Pipelines are compared by bytes, validation accuracy and time; the test images are read for the "
      "figures "
      "only.");
  return {app, [options] { return run(*options); }};
}

}  // namespace espalier::cli
