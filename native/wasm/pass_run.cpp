#include "wasm/pass_run.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "core/json_fields.h"

namespace espalier {

PassRun::PassRun(const PassType& pass, PassInput input, const nlohmann::json& options,
                 const TrainingConfig& training, const Kernels& kernels, ThreadPool& pool)
    : input_(std::move(input)),
      context_{.model = std::move(input_.model),
               .dataset = *input_.dataset,
               .kernels = kernels,
               .pool = pool,
               .training = training,
               .source = input_.source.get(),
               .source_dataset = input_.source_dataset.get(),
               .early = input_.early.get()},
      work_(pass.start(context_, options)) {}

std::string PassRun::run(double milliseconds) {
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
  Fields now;
  now("stage", progress.stage)("done", progress.done)("total", progress.total);
  if (steps > 0 && progress.loss >= 0) now("loss", loss / steps)("accuracy", accuracy / steps);
  return Fields()("done", done_)("progress", now.take()).dump();
}

std::unique_ptr<Model> PassRun::take_model() {
  if (!done_ || !context_.model) throw Error(ErrorCode::kArgument, "pass", "is not done, or was finished");
  return std::move(context_.model);
}

}  // namespace espalier
