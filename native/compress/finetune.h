// Trainings and evaluations as Work, for passes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "compress/pass.h"
#include "core/work.h"
#include "train/trainer.h"

namespace espalier {

// Evaluates `model` on the validation and on the test images. An empty split counts as 0. Where the context
// does not measure, there is no accuracy.
Work evaluate_model(const Model& model, const PassContext& context, std::optional<Accuracy>& accuracy,
                    std::string_view stage = "evaluate");

// The same on the images of another dataset.
Work evaluate_on(const Dataset& dataset, const Model& model, const PassContext& context,
                 std::optional<Accuracy>& accuracy, std::string_view stage = "evaluate");

// Trains `model` on context.dataset to the end of `config`. `between_steps` (may be empty) is called before
// each step: there masks may change. Work in pieces of a few milliseconds.
using BetweenSteps = std::function<void(Trainer& trainer)>;
Work fine_tune(Model& model, const PassContext& context, TrainingConfig config,
               BetweenSteps between_steps = {}, std::string_view stage = "fine-tune",
               TrainingTerms terms = {});

// What every pass that fine-tunes is compared with: a copy of `original`, trained in the same way and as long
// without the pass. Fills report.accuracy_control.
Work fine_tune_control(const Model& original, PassContext& context, TrainingConfig config,
                       TrainingTerms terms = {});

// Distillation while a pass trains: `share` (0: none) of the loss is the teacher's term. The teacher is
// context.source, the model before the pipeline, or else `before`, which must outlive the training.
TrainingTerms taught_by_original(const PassContext& context, const Model* before, double share);

// Of the optimizer's learning rate, where fine-tuning begins: below a fresh network's, at momentum's 0.01.
inline constexpr double kFineTuningRate = 0.5;

// The frame of a pass. At its beginning: what the report says of the model as it is.
Work begin_report(PassContext& context, std::string_view pass);
// Trains what the pass left by `config` and, unless `original` is null, the control as long by
// context.training.
Work fine_tune_result(PassContext& context, TrainingConfig config, const Model* original,
                      std::string_view stage = "fine-tune", TrainingTerms terms = {});
// At its end.
void end_report(PassContext& context);

// A copy of the model: the same graph, parameters and masks.
std::unique_ptr<Model> copy_of(const Model& model);

}  // namespace espalier
