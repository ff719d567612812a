#include "compress/finetune.h"

namespace espalier {
namespace {

Work evaluate_split(const Dataset& dataset, const Model& model, const PassContext& context,
                    const Split& split, double& accuracy, std::string_view stage) {
  Evaluator evaluator(model, dataset, split, context.kernels, context.pool);
  while (evaluator.advance()) {
    co_yield Progress{.stage = stage, .done = evaluator.done(), .total = evaluator.total()};
  }
  accuracy = evaluator.result().accuracy;
}

}  // namespace

Work evaluate_on(const Dataset& dataset, const Model& model, const PassContext& context,
                 std::optional<Accuracy>& accuracy, std::string_view stage) {
  if (!context.measure) co_return;
  accuracy.emplace();
  co_await evaluate_split(dataset, model, context, dataset.validation, accuracy->validation, stage);
  co_await evaluate_split(dataset, model, context, dataset.test, accuracy->test, stage);
}

Work evaluate_model(const Model& model, const PassContext& context, std::optional<Accuracy>& accuracy,
                    std::string_view stage) {
  return evaluate_on(context.dataset, model, context, accuracy, stage);
}

Work fine_tune(Model& model, const PassContext& context, TrainingConfig config, BetweenSteps between_steps,
               std::string_view stage, TrainingTerms terms) {
  Trainer trainer(model, context.dataset, config, context.kernels, context.pool, terms);
  Progress progress{.stage = stage, .total = trainer.total_steps()};
  StepResult step;
  while (!trainer.done()) {
    if (between_steps) between_steps(trainer);
    while (!trainer.advance(step)) co_yield progress;
    progress.done = trainer.step_count();
    progress.loss = step.loss;
    if (!terms.imitate) progress.accuracy = static_cast<double>(step.correct) / step.images;
    co_yield progress;
  }
}

Work fine_tune_control(const Model& original, PassContext& context, TrainingConfig config,
                       TrainingTerms terms) {
  const std::unique_ptr<Model> control = copy_of(original);
  co_await fine_tune(*control, context, config, {}, "control", terms);
  co_await evaluate_model(*control, context, context.report.accuracy_control);
}

TrainingTerms taught_by_original(const PassContext& context, const Model* before, double share) {
  TrainingTerms terms;
  if (share == 0) return terms;
  terms.teacher = context.source ? context.source : before;
  terms.distillation = share;
  return terms;
}

Work begin_report(PassContext& context, std::string_view pass) {
  Report& report = context.report;
  report.pass = pass;
  report.model = context.model->graph.name;
  report.seed = context.training.seed;
  report.before = measure(*context.model);
  co_await evaluate_model(*context.model, context, report.accuracy_before);
}

Work fine_tune_result(PassContext& context, TrainingConfig config, const Model* original,
                      std::string_view stage, TrainingTerms terms) {
  co_await fine_tune(*context.model, context, config, {}, stage, terms);
  context.report.finetune_epochs = config.epochs;
  co_await evaluate_model(*context.model, context, context.report.accuracy_finetuned);
  if (!original) co_return;
  TrainingConfig plain = context.training;
  plain.epochs = config.epochs;
  co_await fine_tune_control(*original, context, plain);
}

void end_report(PassContext& context) {
  context.report.after = measure(*context.model);
  context.report.revived = revived_weights(*context.model);
}

std::unique_ptr<Model> copy_of(const Model& model) { return std::make_unique<Model>(model); }

}  // namespace espalier
