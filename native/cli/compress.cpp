// espalier compress: runs a pipeline of passes and writes the compressed file, which says how it was made.
#include <iostream>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/pipeline_options.h"
#include "cli/stages.h"
#include "cli/terminal.h"
#include "compress/pipeline.h"
#include "core/error.h"
#include "core/json_fields.h"

namespace espalier::cli {
namespace {

using nlohmann::json;

struct CompressOptions {
  std::string model;
  DataOptions data;
  std::string pipeline;
  std::uint64_t seed = 0;
  CLI::Option* seed_given = nullptr;
  std::string out;
  bool json = false;
  EngineOptions engine;
};

// "2/4 quantize: "
std::string place_of(const Pipeline& pipeline, std::size_t pass) {
  if (pass >= pipeline.passes.size()) return "";
  return std::to_string(pass + 1) + "/" + std::to_string(pipeline.passes.size()) + " " +
         std::string(pipeline.passes[pass].type->name) + ": ";
}

int run(const CompressOptions& options) {
  const Stopwatch stopwatch;
  const FileFormat& format = format_of_out(options.out);
  check_can_save(options.out);
  const json given = open_pipeline(options.pipeline);

  ModelFile file = open_model(options.model);
  std::uint64_t seed = file.training ? file.training->config.seed : TrainingConfig{}.seed;
  if (options.seed_given->count() > 0) seed = options.seed;
  const Pipeline pipeline = at_option("--pipeline", [&] { return parse_pipeline(given, seed); });
  const Dataset dataset = options.data.open(seed);

  ThreadPool pool(options.engine.threads);
  PassContext context{.model = std::move(file.model),
                      .dataset = dataset,
                      .kernels = options.engine.select(),
                      .pool = pool,
                      .training = {},
                      .report = {}};
  if (!options.json) {
    std::cout << "data      " << options.data.data << ": " << with_commas(dataset.train.count())
              << " training, " << with_commas(dataset.validation.count()) << " validation, "
              << with_commas(dataset.test.count()) << " test images\n"
              << "model     " << options.model << ": " << context.model->graph.name << ", "
              << with_commas(context.model->graph.parameter_count()) << " parameters\n"
              << "pipeline  " << (pipeline.name.empty() ? options.pipeline : pipeline.name)
              << (pipeline.summary.empty() ? "" : ": " + pipeline.summary) << '\n';
    std::cout << "engine    " << context.kernels.name << " kernels, " << pool.threads()
              << (pool.threads() == 1 ? " thread" : " threads") << std::endl;
  }

  PipelineReport report;
  std::optional<Work> work(at_option("--pipeline", [&] { return run_pipeline(context, pipeline, report); }));
  Stages stages(options.json);
  const Interrupt interrupt;
  while (at_option("--pipeline", [&] { return work->advance(); })) {
    const std::string place = place_of(pipeline, report.passes.size());
    if (Interrupt::requested()) {
      work.reset();
      stages.clear();
      std::cout.flush();
      std::cerr << "espalier: interrupted in "
                << (place.empty() ? "the evaluation" : place.substr(0, place.size() - 2))
                << "; nothing was written\n";
      return kFailed;
    }
    stages.show(work->progress(), place);
  }
  stages.clear();

  const json pipeline_json = to_json(pipeline);
  const std::string text = dump(pipeline_json);
  std::vector<FilePart> parts;
  const std::vector<std::uint8_t> bytes =
      format.save(*context.model, {.labels = dataset.class_names, .pipeline = text, .parts = &parts});
  save(options.out, bytes);
  const double seconds = stopwatch.seconds();
  if (options.json) {
    json object = to_json(report);
    object.update(
        Fields()("model", context.model->graph.name)("data", options.data.data)("source", options.model)(
            "options", pipeline_json)("file", options.out)("format", format.name)("file_bytes", bytes.size())(
            "file_parts", parts_json(parts))("weights_sha256", sha256_hex(weight_bytes(*context.model)))(
            "kernels", context.kernels.name)("threads", pool.threads())("seconds", seconds)
            .take());
    std::cout << dump(object, 2) << '\n';
    return kDone;
  }
  std::cout << '\n'
            << to_table(report) << "\nsaved   " << options.out << ", "
            << with_commas(static_cast<std::int64_t>(bytes.size())) << " bytes, after " << duration(seconds)
            << '\n';
  return kDone;
}

}  // namespace

Command add_compress(CLI::App& espalier) {
  CLI::App* app =
      espalier.add_subcommand("compress", "Run a pipeline of passes and write the compressed file");
  const auto options = std::make_shared<CompressOptions>();
  app->add_option("MODEL", options->model, "The model file to start from")->required();
  options->data.add_to(*app);
  app->add_option("--pipeline", options->pipeline, "A JSON file, or one of " + names_of(named_pipelines()))
      ->type_name("FILE|NAME");
  options->seed_given =
      app->add_option("--seed", options->seed,
                      "Seed of everything random, where the pipeline has none; default: that of the training")
          ->type_name("N");
  app->add_option("--out", options->out, "Write the new model here; the ending is the format")
      ->type_name("FILE");
  app->add_flag("--json", options->json, "Print one JSON object instead of a table");
  options->engine.add_to(*app);
  app->footer(
      "Examples:\n"
      "  espalier compress lenet5.safetensors --data mnist --pipeline deep-compression --out "
      "lenet5.espalier\n"
      "  espalier compress resnet.safetensors --data mnist --pipeline int8 --out resnet.espalier --json\n"
      "  espalier compress small.safetensors --data mnist --pipeline mine.json --out small.espalier\n\n"
      "A pipeline is {\"passes\": [{\"pass\": \"prune\", \"sparsity\": 0.9, \"finetune\": 5}, …]}: passes "
      "are "
      "the\ncommands " +
      names_of(pass_types()) +
      ", their options\nas in --help with _ for -, and \"training\" (of the pipeline or of a pass) how they "
      "fine-tune.\nCtrl-C stops it and leaves everything as it was.");
  return {app, [options] { return run(*options); }};
}

}  // namespace espalier::cli
