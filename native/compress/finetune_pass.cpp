// The pass "finetune": trains what is there, masks and grids kept, perhaps with the original as its teacher.
#include <memory>
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/pass.h"
#include "compress/share.h"
#include "core/error.h"
#include "train/layers.h"

namespace espalier {
namespace {

struct FineTuneOptions {
  int epochs = 1;
  double distillation = 0;
  double temperature = 4;
  bool control = false;
};

constexpr ConfigField kFields[] = {
    {"epochs", "Times that the training images are seen", member<&FineTuneOptions::epochs>, 1, 1e6},
    {"distillation",
     "Share of the teacher's term in the loss; the teacher is the model before the pipeline, or before this "
     "pass; 0: none",
     member<&FineTuneOptions::distillation>, 0, 1},
    {"temperature", "Distillation: softens the teacher's outputs", member<&FineTuneOptions::temperature>,
     0.01, 1000},
    {"control", "Also fine-tune the original, equally long", member<&FineTuneOptions::control>},
};

Work run(PassContext& context, FineTuneOptions options) {
  co_await begin_report(context, "finetune");
  TrainingConfig config = context.training;
  config.epochs = options.epochs;
  config.layer_rates = codebook_rates(context.model->graph, config.layer_rates);

  const std::unique_ptr<Model> before = copy_of(*context.model);
  TrainingTerms terms = taught_by_original(context, before.get(), options.distillation);
  terms.temperature = options.temperature;
  Report& report = context.report;
  co_await fine_tune(*context.model, context, config, {}, "fine-tune", terms);
  report.finetune_epochs = config.epochs;
  co_await evaluate_model(*context.model, context, report.accuracy_finetuned);
  if (options.control) {
    const Model& original = context.source ? *context.source : *before;
    TrainingConfig plain = context.training;
    plain.epochs = options.epochs;
    co_await fine_tune_control(original, context, plain);
  }
  end_report(context);
}

Work start(PassContext& context, const nlohmann::json& json) {
  FineTuneOptions options;
  read_config(kFields, json, &options);
  layer_rates(context.model->graph, context.training);
  if (context.dataset.train.count() == 0) {
    throw Error(ErrorCode::kData, context.dataset.name, "has no training images to fine-tune on");
  }
  return run(context, options);
}

nlohmann::json defaults() {
  const FineTuneOptions options;
  return describe_config(kFields, &options);
}

nlohmann::json complete(const nlohmann::json& given) {
  FineTuneOptions options;
  read_config(kFields, given, &options);
  return write_config(kFields, &options);
}

}  // namespace

constinit const PassType kFineTunePass{.name = "finetune",
                                       .summary = "Trains on, keeping what is pruned and quantized.",
                                       .fields = kFields,
                                       .start = start,
                                       .defaults = defaults,
                                       .complete = complete};

}  // namespace espalier
