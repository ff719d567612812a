// Pipelines and sweeps: what is refused and where, the order of passes, resuming, sharding, the Pareto front.
#include "compress/pipeline.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "compress/finetune.h"
#include "compress/sweep.h"
#include "core/error.h"
#include "core/json_text.h"
#include "data/digits.h"

namespace espalier {
namespace {

using nlohmann::json;

const Dataset& digits() {
  static const Dataset dataset = [] {
    Dataset drawn = synthetic_digits(160, 40, 5);
    split_validation(drawn, 30);
    return drawn;
  }();
  return dataset;
}

ThreadPool& pool() {
  static ThreadPool threads(2);
  return threads;
}

std::unique_ptr<Model> small_model() {
  return Model::create(preset_spec("small", 1, 28, 28, 10), 3, &digits());
}

PassContext context_of(std::unique_ptr<Model> model) {
  return {.model = std::move(model),
          .dataset = digits(),
          .kernels = select_kernels("plain"),
          .pool = pool(),
          .training = {},
          .report = {}};
}

// "where: message" of the error, empty if there is none.
std::string refusal(const json& pipeline) {
  try {
    parse_pipeline(pipeline, 1);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kArgument);
    return error.what();
  }
  return "";
}

void expect_refused(const char* text, const std::string& beginning) {
  const std::string message = refusal(json::parse(text));
  EXPECT_TRUE(message.starts_with(beginning)) << text << " gives: " << message;
}

TEST(Pipeline, ErrorsNameThePassAndTheField) {
  expect_refused("[]", "pipeline: must be a JSON object");
  expect_refused("{}", "passes: must be a list");
  expect_refused(R"({"passes": []})", "passes: must be a list");
  expect_refused(R"({"passes": [1]})", "passes[0]: must be a JSON object");
  expect_refused(R"({"passes": [{"sparsity": 0.5}]})", "passes[0].pass: is missing");
  expect_refused(R"({"passes": [{"pass": "fold"}, {"pass": "melt"}]})", "passes[1].pass: is \"melt\"");
  expect_refused(R"({"passes": [{"pass": "fold"}, {"pass": "prune", "sparsity": 2}]})",
                 "passes[1].sparsity: must be a number from 0 to 1");
  expect_refused(R"({"passes": [{"pass": "fold", "depth": 2}]})", "passes[0].depth: is unknown");
  expect_refused(R"({"passes": [{"pass": "fold", "training": {"optimizer": "luck"}}]})",
                 "passes[0].training.optimizer: ");
  expect_refused(R"({"passes": [{"pass": "fold"}], "training": {"epochs": 3}})", "training.epochs: ");
  expect_refused(R"({"passes": [{"pass": "fold"}], "speed": 3})", "speed: is unknown");
}

TEST(Pipeline, ErrorsOfAPassThatRunsNameItToo) {
  PassContext context = context_of(small_model());
  PipelineReport report;
  const json text = json::parse(R"({"passes": [{"pass": "fold"}, {"pass": "prune"}]})");
  try {
    finish(run_pipeline(context, parse_pipeline(text, 1), report));
    FAIL() << "prune without a sparsity was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "passes[1].sparsity");
  }
  EXPECT_EQ(report.passes.size(), 1u);
}

TEST(Pipeline, WrittenOutInFullItReadsAsTheSame) {
  for (const NamedPipeline& named : named_pipelines()) {
    const json text = parse_json(named.json, ErrorCode::kArgument, "pipeline");
    EXPECT_EQ(text.at("name"), named.name);
    const json whole = to_json(parse_pipeline(text, 7));
    EXPECT_EQ(whole, to_json(parse_pipeline(whole, 8))) << named.name;
    EXPECT_EQ(whole["training"]["seed"], 7);
  }
}

TEST(Pipeline, FineTunesAtHalfTheRateAndWithoutControlsUnlessToldOtherwise) {
  const json text =
      json::parse(R"({"training": {"momentum": 0.8}, "passes": [{"pass": "prune", "sparsity": 0.5},
    {"pass": "prune", "sparsity": 0.6, "control": true, "training": {"learning_rate": 0.003}}]})");
  const Pipeline pipeline = parse_pipeline(text, 1);
  EXPECT_EQ(pipeline.passes[0].training.learning_rate, TrainingConfig{}.learning_rate / 2);
  EXPECT_EQ(pipeline.passes[0].training.momentum, 0.8);
  EXPECT_EQ(pipeline.passes[1].training.learning_rate, 0.003);
  EXPECT_EQ(pipeline.passes[1].training.momentum, 0.8);
  EXPECT_EQ(pipeline.passes[0].options["control"], false);
  EXPECT_EQ(pipeline.passes[1].options["control"], true);
}

TEST(Pipeline, RunsItsPassesInOrderAndReportsEach) {
  PassContext context = context_of(small_model());
  PipelineReport report;
  const json text = json::parse(R"({"name": "three", "training": {"batch_size": 32}, "passes": [
    {"pass": "prune", "sparsity": 0.8}, {"pass": "finetune", "epochs": 1, "distillation": 0.5},
    {"pass": "quantize", "weights": "4", "activations": "float"}]})");
  Work work = run_pipeline(context, parse_pipeline(text, 1), report);
  std::size_t before = 0;
  while (work.advance()) {
    EXPECT_GE(report.passes.size(), before);
    before = report.passes.size();
  }
  ASSERT_EQ(report.passes.size(), 3u);
  EXPECT_EQ(report.passes[0].pass, "prune");
  EXPECT_EQ(report.passes[1].pass, "finetune");
  EXPECT_EQ(report.passes[2].pass, "quantize");
  EXPECT_EQ(report.passes[1].before.total.bytes, report.passes[0].after.total.bytes);
  EXPECT_EQ(report.passes[2].before.total.nonzeros, report.passes[1].after.total.nonzeros);
  EXPECT_LT(report.after.total.bytes, report.passes[0].after.total.bytes);
  EXPECT_EQ(revived_weights(*context.model), 0);
  const json object = to_json(report);
  EXPECT_EQ(object["passes"].size(), 3u);
  EXPECT_TRUE(object["passes"][0]["accuracy"].contains("validation"));
}

TEST(Pipeline, DistillsIntoAStudent) {
  PassContext context = context_of(small_model());
  PipelineReport report;
  const json text = json::parse(R"({"passes": [
    {"pass": "transfer", "mode": "distill", "student": "lenet-300-100", "epochs": 1},
    {"pass": "prune", "sparsity": 0.5}]})");
  finish(run_pipeline(context, parse_pipeline(text, 1), report));
  EXPECT_EQ(context.model->graph.name, "lenet-300-100");
  EXPECT_EQ(report.passes.size(), 2u);
}

TEST(Pipeline, RoundedNumbersKeepTheirSignificantBits) {
  PassContext context = context_of(small_model());
  std::vector<real> before(context.model->parameters.value.begin(), context.model->parameters.value.end());
  PipelineReport report;
  const json text = json::parse(R"({"passes": [{"pass": "round", "weights": 5}]})");
  finish(run_pipeline(context, parse_pipeline(text, 1), report));
  const auto& after = context.model->parameters.value;
  bool changed = false;
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_LE(std::abs(after[i] - before[i]), std::abs(before[i]) / 32);
    int exponent = 0;
    const double whole = std::ldexp(std::frexp(after[i], &exponent), 8);
    EXPECT_EQ(whole, std::floor(whole));
    changed = changed || after[i] != before[i];
  }
  EXPECT_TRUE(changed);
}

// ---- sweeps

const json kGrid = json::parse(R"({"passes": [
  {"pass": "prune", "sparsity": [0.3, 0.6], "layers": [["conv1"], ["fc", "conv2"]]},
  [null, {"pass": "round", "biases": [4, 6]}]], "training": {"seed": [1, 2]}})");

std::set<std::string> pipelines_of(const std::vector<Trial>& trials) {
  std::set<std::string> texts;
  for (const Trial& trial : trials) texts.insert(trial.pipeline.dump());
  return texts;
}

TEST(Sweep, AGridIsEveryCombination) {
  const std::vector<Trial> trials = trials_of(parse_grid(kGrid), 1);
  EXPECT_EQ(trials.size(), 2u * 2 * 2 * 3);
  EXPECT_EQ(pipelines_of(trials).size(), trials.size());
  EXPECT_EQ(trials[0].choices["passes[0].sparsity"], 0.3);
  EXPECT_EQ(trials[0].choices["training.seed"], 1);
  EXPECT_EQ(trials[0].pipeline["passes"].size(), 1u);
}

TEST(Sweep, TheUnionOfTheShardsIsTheWhole) {
  const std::vector<Trial> whole = trials_of(parse_grid(kGrid), 1);
  std::set<std::string> together;
  std::size_t count = 0;
  for (int i = 0; i < 5; ++i) {
    const std::vector<Trial> part = shard_of(whole, {i, 5});
    count += part.size();
    together.merge(pipelines_of(part));
  }
  EXPECT_EQ(count, whole.size());
  EXPECT_EQ(together, pipelines_of(whole));
  EXPECT_EQ(parse_shard("3/5").index, 3);
  for (const char* wrong : {"", "5/5", "-1/5", "1", "1/", "1/2/3", "a/b", "0/0"}) {
    EXPECT_THROW(parse_shard(wrong), Error) << wrong;
  }
}

TEST(Sweep, RefusesWhatIsNoGrid) {
  const auto refused = [](const char* text) -> std::string {
    try {
      trials_of(parse_grid(json::parse(text)), 1);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_TRUE(refused("[]").starts_with("grid: "));
  EXPECT_TRUE(
      refused(R"({"passes": [{"pass": "prune", "sparsity": []}]})").starts_with("passes[0].sparsity: "));
  EXPECT_TRUE(refused(R"({"passes": [{"pass": "prune", "sparsity": [0.5, 2]}]})")
                  .starts_with("passes[0].sparsity: must be a number"));
  EXPECT_TRUE(refused(R"({"passes": [{"pass": "prune", "sparsity": {"from": 0, "to": 1}}]})")
                  .starts_with("passes[0].sparsity: is a range"));
  EXPECT_TRUE(
      refused(R"({"halving": {"keep": 2}, "passes": [{"pass": "fold"}]})").starts_with("halving.keep: "));
}

TEST(Sweep, TheParetoFrontHasWhatNothingElseBeats) {
  const auto line = [](int bytes, double accuracy, double time) {
    return json{{"pipeline", json::object()},
                {"file_bytes", bytes},
                {"validation_accuracy", accuracy},
                {"microseconds_per_image", time}};
  };
  std::vector<json> lines{line(100, 0.9, 5), line(100, 0.8, 5), line(50, 0.8, 5),
                          line(200, 0.9, 4), line(100, 0.9, 5), line(300, 0.85, 9)};
  lines.push_back({{"pipeline", json::object()}, {"error", "diverged"}});
  mark_pareto(lines);
  const std::vector<bool> expected{true, false, true, true, true, false, false};
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i]["pareto"], expected[i]) << i;
}

TEST(Sweep, ATornLastLineIsDroppedAndADamagedOneRefused) {
  const std::string good = "{\"pipeline\":{}}\n";
  EXPECT_EQ(read_results(good + good, "x").size(), 2u);
  EXPECT_EQ(read_results(good + "{\"pipel", "x").size(), 1u);
  EXPECT_EQ(read_results("", "x").size(), 0u);
  try {
    read_results(good + "{\"pipel\n", "x.jsonl");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "x.jsonl:2");
  }
}

// Sweeps `grid`, beginning with `lines`; returns how many trials were run anew.
int sweep_of(const json& text, const Shard& shard, std::vector<json>& lines, int stop_after = 1 << 30) {
  const std::unique_ptr<Model> model = small_model();
  int fresh = 0;
  Sweep sweep{.model = *model,
              .dataset = digits(),
              .kernels = select_kernels("plain"),
              .pool = pool(),
              .origin = {{"data", "digits"}},
              .measure = [](const Model& m, const json&, json& line) -> Work {
                line["file_bytes"] = measure(m).total.bytes;
                co_return;
              },
              .keep = [&](const json&) { ++fresh; },
              .choices = {}};
  const SweepGrid grid = parse_grid(text);
  Work work = run_sweep(sweep, grid, shard_of(trials_of(grid, 1), shard), lines);
  while (fresh < stop_after && work.advance()) {
  }
  return fresh;
}

TEST(Sweep, StoppedAndResumedItEndsWithTheSameLines) {
  std::vector<json> whole, parts;
  EXPECT_EQ(sweep_of(kGrid, {0, 6}, whole), 4);
  EXPECT_EQ(sweep_of(kGrid, {0, 6}, parts, 1), 1);
  EXPECT_EQ(sweep_of(kGrid, {0, 6}, parts), 3);
  EXPECT_EQ(whole, parts);
  EXPECT_EQ(sweep_of(kGrid, {0, 6}, parts), 0);
}

TEST(Sweep, HalvingKeepsTheBestAndGivesThemMoreEpochs) {
  const json grid = json::parse(R"({"halving": {"budget": 2, "rungs": 2, "keep": 0.5, "seed": 4},
    "training": {"learning_rate": {"from": 0.001, "to": 0.05, "scale": "log"}, "batch_size": 32},
    "passes": [{"pass": "prune", "sparsity": {"from": 0.2, "to": 0.9}},
               {"pass": "finetune", "epochs": 2}]})");
  std::vector<json> lines;
  EXPECT_EQ(sweep_of(grid, {}, lines), 3);  // 2 draws of half of the epochs, then one with all
  std::vector<int> epochs;
  for (const json& line : lines) epochs.push_back(line["pipeline"]["passes"][1]["epochs"].get<int>());
  EXPECT_EQ(epochs, (std::vector<int>{1, 1, 2}));
  EXPECT_EQ(sweep_of(grid, {}, lines), 0);
}

TEST(Sweep, APipelineThatRefusesItsModelLeavesALineWithTheError) {
  std::vector<json> lines;
  const json grid =
      json::parse(R"({"passes": [{"pass": "quantize"}, {"pass": "quantize", "weights": ["4", "8"]}]})");
  EXPECT_EQ(sweep_of(grid, {}, lines), 2);
  EXPECT_NE(lines[0]["error"].get<std::string>().find("passes[1]"), std::string::npos);
}

}  // namespace
}  // namespace espalier
