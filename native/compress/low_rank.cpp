#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/pass.h"

namespace espalier {
namespace {

struct FactorizeOptions {
  int finetune = 0;
};
constexpr ConfigField kFields[] = {
    {"finetune", "Epochs of fine-tuning", member<&FactorizeOptions::finetune>, 0, 1e6},
};

Work run(PassContext& context, FactorizeOptions options) {
  context.report.accuracy_before.emplace();
  co_await evaluate_model(*context.model, context, *context.report.accuracy_before);
  (void)options;
}

Work start(PassContext& context, const nlohmann::json& json) {
  FactorizeOptions options;
  read_config(kFields, json, &options);
  return run(context, options);
}

nlohmann::json defaults() {
  const FactorizeOptions options;
  return describe_config(kFields, &options);
}

}  // namespace

constinit const PassType kFactorizePass{
    .name = "factorize", .summary = "TODO", .fields = kFields, .start = start, .defaults = defaults};

}  // namespace espalier
