// A training as a page sees it: run for a while, tell what happened, and again.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "train/trainer.h"

namespace espalier {

// Means over some steps, weighted by their images.
struct RunningMean {
  double loss = 0;
  std::int64_t correct = 0;
  std::int64_t images = 0;
  double gradient_norm = 0;  // summed over the steps
  int steps = 0;
  double seconds = 0;

  void add(const StepResult& step, double step_seconds);
  double mean_loss() const { return images > 0 ? loss / static_cast<double>(images) : 0; }
  double accuracy() const {
    return images > 0 ? static_cast<double>(correct) / static_cast<double>(images) : 0;
  }
  double images_per_second() const { return seconds > 0 ? static_cast<double>(images) / seconds : 0; }
};

class TrainingRun {
 public:
  // Everything must outlive the run.
  TrainingRun(Model& model, const Dataset& dataset, const TrainingConfig& config, const Kernels& kernels,
              ThreadPool& pool);

  // Works for about `milliseconds`: steps, and the validation after each epoch. At most `max_steps`
  // steps; negative: any number. A slow step is continued by the next call.
  // JSON {"events": […], "steps": n, "step": total, "settled": bool, "done": bool}; events as in types.ts.
  // Throws Error{kDiverged}.
  std::string run(double milliseconds, std::int64_t max_steps);

  // The last event.
  std::string finish(bool aborted) const;

  Trainer& trainer() { return trainer_; }

 private:
  using Clock = std::chrono::steady_clock;

  void step();
  void validate();
  void report_progress();
  void report_epoch(const EvaluationResult* validation);

  Model& model_;
  const Dataset& dataset_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  Trainer trainer_;
  std::unique_ptr<Evaluator> validation_;  // while one is under way
  RunningMean recent_;                     // since the last progress event
  RunningMean epoch_;
  RunningMean total_;
  double learning_rate_ = 0;
  double step_seconds_ = 0;   // of the step under way
  double epoch_seconds_ = 0;  // validation included, pauses not
  double total_seconds_ = 0;
  Clock::time_point last_progress_;  // none yet: the first step is told at once
  nlohmann::json events_ = nlohmann::json::array();
};

}  // namespace espalier
