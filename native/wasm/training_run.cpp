#include "wasm/training_run.h"

#include <utility>

#include "core/json_fields.h"

namespace espalier {
namespace {

using nlohmann::json;

// At most 15 progress events a second: as often as a curve needs to move smoothly.
constexpr std::chrono::milliseconds kProgressInterval{66};

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

void RunningMean::add(const StepResult& step, double step_seconds) {
  loss += step.loss * step.images;
  correct += step.correct;
  images += step.images;
  gradient_norm += step.gradient_norm;
  ++steps;
  seconds += step_seconds;
}

TrainingRun::TrainingRun(Model& model, const Dataset& dataset, const TrainingConfig& config,
                         const Kernels& kernels, ThreadPool& pool)
    : model_(model),
      dataset_(dataset),
      kernels_(kernels),
      pool_(pool),
      trainer_(model, dataset, config, kernels, pool) {}

std::string TrainingRun::run(double milliseconds, std::int64_t max_steps) {
  const auto begin = Clock::now();
  const std::int64_t first = trainer_.step_count();
  const auto finished = [&] { return trainer_.done() && !validation_; };
  const auto limited = [&] {
    return max_steps >= 0 && trainer_.step_count() - first >= max_steps && !validation_;
  };
  while (!finished() && !limited()) {
    const auto work_begin = Clock::now();
    validation_ ? validate() : step();
    const double seconds = seconds_since(work_begin);
    epoch_seconds_ += seconds;
    total_seconds_ += seconds;
    const bool first_step = total_.steps == 1 && last_progress_ == Clock::time_point();
    if (first_step || 1000 * seconds_since(begin) >= milliseconds) break;
  }
  const bool due = Clock::now() - last_progress_ >= kProgressInterval;
  if (recent_.steps > 0 && (due || limited() || finished())) report_progress();
  std::string slice =
      Fields()("events", std::exchange(events_, json::array()))("steps", trainer_.step_count() - first)(
          "step", trainer_.step_count())("settled", !validation_)("done", finished())
          .dump();
  return slice;
}

void TrainingRun::step() {
  const auto begin = Clock::now();
  StepResult result;
  const bool done = trainer_.advance(result);
  step_seconds_ += seconds_since(begin);
  if (!done) return;
  learning_rate_ = result.learning_rate;
  for (RunningMean* mean : {&recent_, &epoch_, &total_}) mean->add(result, step_seconds_);
  step_seconds_ = 0;
  if (trainer_.step_count() % trainer_.steps_per_epoch() != 0) return;
  report_progress();
  if (trainer_.config().validate && dataset_.validation.count() > 0) {
    validation_ = std::make_unique<Evaluator>(model_, dataset_, dataset_.validation, kernels_, pool_);
  } else {
    report_epoch(nullptr);
  }
}

void TrainingRun::validate() {
  if (validation_->advance()) return;
  report_epoch(&validation_->result());
  validation_.reset();
}

void TrainingRun::report_progress() {
  const auto left = static_cast<double>(trainer_.total_steps() - trainer_.step_count());
  const double seconds_per_step = total_.seconds / total_.steps;
  events_.push_back(
      Fields()("type", "progress")("step", trainer_.step_count())("totalSteps", trainer_.total_steps())(
          "epoch",
          static_cast<double>(trainer_.step_count()) / static_cast<double>(trainer_.steps_per_epoch()))(
          "loss", recent_.mean_loss())("accuracy", recent_.accuracy())(
          "gradientNorm", recent_.gradient_norm / recent_.steps)("learningRate", learning_rate_)(
          "imagesPerSecond", recent_.images_per_second())("etaSeconds", left * seconds_per_step)
          .take());
  recent_ = {};
  last_progress_ = Clock::now();
}

void TrainingRun::report_epoch(const EvaluationResult* validation) {
  Fields event;
  event("type", "epoch")("epoch", trainer_.epoch())("trainLoss", epoch_.mean_loss())(
      "trainAccuracy", epoch_.accuracy())("seconds", epoch_seconds_);
  if (validation) event("validationLoss", validation->loss)("validationAccuracy", validation->accuracy);
  events_.push_back(event.take());
  epoch_ = {};
  epoch_seconds_ = 0;
}

std::string TrainingRun::finish(bool aborted) const {
  return Fields()("type", "done")("step", trainer_.step_count())("epochs", trainer_.epoch())(
             "seconds", total_seconds_)("imagesPerSecond", total_.images_per_second())("aborted", aborted)
      .dump();
}

}  // namespace espalier
