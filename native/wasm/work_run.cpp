#include "wasm/work_run.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "bench/measure_file.h"
#include "compress/pipeline.h"
#include "core/config_fields.h"
#include "core/error.h"
#include "core/json_text.h"

namespace espalier {
namespace {

using nlohmann::json;

struct PassState final : WorkState {
  PassState(PassInput given, const TrainingConfig& training, bool measure, const Kernels& kernels,
            ThreadPool& pool)
      : input(std::move(given)),
        context{.model = std::move(input.model),
                .dataset = *input.dataset,
                .kernels = kernels,
                .pool = pool,
                .training = training,
                .measure = measure,
                .source = input.source.get(),
                .source_dataset = input.source_dataset.get(),
                .early = input.early.get(),
                .report = {}} {}

  WorkResult take() override {
    return {.values = Fields()("report", to_json(context.report)).take(),
            .model = std::move(context.model),
            .labels = {},
            .pipeline = {}};
  }

  PassInput input;  // without its model, which is the context's
  PassContext context;
};

struct PipelineState final : WorkState {
  PipelineState(PassInput given, Pipeline passes, bool measure, const Kernels& kernels, ThreadPool& pool)
      : pass(std::move(given), {}, measure, kernels, pool), pipeline(std::move(passes)) {}

  void describe(Fields& progress, Fields&) override {
    const std::size_t count = pipeline.passes.size();
    const std::size_t now = std::min(report.passes.size(), count - 1);
    progress("pass", pipeline.passes[now].type->name)("index", now)("passes", count);
  }
  WorkResult take() override {
    json full = to_json(pipeline);
    std::string text = full.dump();
    return {.values = Fields()("report", to_json(report))("pipeline", std::move(full)).take(),
            .model = std::move(pass.context.model),
            .labels = pass.context.dataset.class_names,
            .pipeline = std::move(text)};
  }

  PassState pass;
  Pipeline pipeline;
  PipelineReport report;
};

struct SweepState final : WorkState {
  SweepState(std::unique_ptr<Model> of, std::shared_ptr<const Dataset> data, SweepInput input,
             const Kernels& kernels, ThreadPool& pool)
      : model(std::move(of)),
        dataset(std::move(data)),
        meter(*dataset, kernels),
        lines(std::move(input.lines)),
        sweep{.model = *model,
              .dataset = *dataset,
              .kernels = kernels,
              .pool = pool,
              .origin = std::move(input.origin),
              .measure = [this](const Model& made, const json& pipeline,
                                json& line) { return meter.measure(made, pipeline.dump(), line); },
              .keep = [this](const json& line) { fresh.push_back(line); },
              .choices = {}} {}

  void describe(Fields&, Fields& slice) override {
    slice("lines", std::exchange(fresh, json::array()))(
        "sweep",
        Fields()("done", sweep.done)("skipped", sweep.skipped)("total", sweep.total)("choices", sweep.choices)
            .take());
  }
  WorkResult take() override {
    mark_pareto(lines);
    return {.values = Fields()("lines", lines).take(), .model = nullptr, .labels = {}, .pipeline = {}};
  }

  std::unique_ptr<Model> model;
  std::shared_ptr<const Dataset> dataset;
  FileMeter meter;
  std::vector<json> lines;
  json fresh = json::array();  // lines that nobody has been told of
  Sweep sweep;
};

struct TimingState final : WorkState {
  TimingState(std::shared_ptr<PackedModel> of, std::shared_ptr<const Dataset> data)
      : model(std::move(of)),
        dataset(std::move(data)),
        clock(*dataset, blocks_of(*model)),
        layers(*model, *dataset) {}

  WorkResult take() override {
    json rows = json::array();
    for (const LayerClock::Layer& layer : layers.layers()) {
      rows.push_back(Fields()("layer", layer.name)("microseconds", layer.microseconds).take());
    }
    return {
        .values = Fields()("microsecondsPerImage", clock.microseconds())("layers", std::move(rows)).take(),
        .model = nullptr,
        .labels = {},
        .pipeline = {}};
  }

  std::shared_ptr<PackedModel> model;
  std::shared_ptr<const Dataset> dataset;
  InferenceClock clock;
  LayerClock layers;
};

json named_pipeline(const std::string& name) {
  if (const NamedPipeline* named = find_pipeline(name)) {
    return parse_json(named->json, ErrorCode::kArgument, name);
  }
  throw Error(ErrorCode::kArgument, "pipeline",
              "is \"" + name + "\", but the pipelines are " + names_of(named_pipelines()));
}

Work time(TimingState& state) {
  const Progress progress{.stage = "time"};
  while (state.clock.advance()) co_yield progress;
  while (state.layers.advance()) co_yield progress;
}

}  // namespace

void WorkState::describe(Fields&, Fields&) {}

std::string WorkRun::run(double milliseconds) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const std::chrono::duration<double, std::milli> slice(milliseconds);
  const Progress& progress = work_.progress();
  std::int64_t step = progress.done;
  std::string_view stage = progress.stage;
  double loss = 0, accuracy = 0;
  int steps = 0;
  while (!done_) {
    done_ = !work_.advance();
    // A step in pieces says the same at each of them.
    if (progress.loss >= 0 && (progress.done != step || progress.stage != stage)) {
      loss += progress.loss;
      accuracy += progress.accuracy;
      ++steps;
    }
    step = progress.done;
    stage = progress.stage;
    if (Clock::now() - begin >= slice) break;
  }
  Fields now, more;
  now("stage", progress.stage)("done", progress.done)("total", progress.total);
  if (steps > 0 && progress.loss >= 0) now("loss", loss / steps)("accuracy", accuracy / steps);
  state_->describe(now, more);
  return more("done", done_)("progress", now.take()).dump();
}

WorkResult WorkRun::take() {
  if (!done_ || std::exchange(taken_, true)) {
    throw Error(ErrorCode::kArgument, "work", "is not done, or was finished");
  }
  return state_->take();
}

std::shared_ptr<WorkRun> run_pass(const PassType& pass, PassInput input, const json& options,
                                  const TrainingConfig& training, bool measure, const Kernels& kernels,
                                  ThreadPool& pool) {
  auto state = std::make_unique<PassState>(std::move(input), training, measure, kernels, pool);
  Work work = pass.start(state->context, options);
  return std::make_shared<WorkRun>(std::move(state), std::move(work));
}

std::shared_ptr<WorkRun> run_pipeline(std::unique_ptr<Model> model, std::shared_ptr<const Dataset> dataset,
                                      const json& given, std::uint64_t seed, bool measure,
                                      const Kernels& kernels, ThreadPool& pool) {
  Pipeline pipeline = parse_pipeline(given.is_string() ? named_pipeline(given) : given, seed);
  PassInput input;
  input.model = std::move(model);
  input.dataset = std::move(dataset);
  auto state = std::make_unique<PipelineState>(std::move(input), std::move(pipeline), measure, kernels, pool);
  Work work = run_pipeline(state->pass.context, state->pipeline, state->report);
  return std::make_shared<WorkRun>(std::move(state), std::move(work));
}

std::shared_ptr<WorkRun> run_sweep(std::unique_ptr<Model> model, std::shared_ptr<const Dataset> dataset,
                                   SweepInput input, const Kernels& kernels, ThreadPool& pool) {
  SweepGrid grid = parse_grid(input.grid);
  std::vector<Trial> trials = shard_of(trials_of(grid, input.seed), input.shard);
  auto state =
      std::make_unique<SweepState>(std::move(model), std::move(dataset), std::move(input), kernels, pool);
  Work work = run_sweep(state->sweep, std::move(grid), std::move(trials), state->lines);
  return std::make_shared<WorkRun>(std::move(state), std::move(work));
}

std::shared_ptr<WorkRun> run_timing(std::shared_ptr<PackedModel> model,
                                    std::shared_ptr<const Dataset> dataset) {
  check_fits(model->graph(), *dataset);
  auto state = std::make_unique<TimingState>(std::move(model), std::move(dataset));
  Work work = time(*state);
  return std::make_shared<WorkRun>(std::move(state), std::move(work));
}

}  // namespace espalier
