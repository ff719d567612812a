#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/pass.h"

namespace espalier {
namespace {

struct QuantizeOptions {
  int finetune = 0;
};
constexpr ConfigField kFields[] = {
    {"finetune", "Epochs of fine-tuning", member<&QuantizeOptions::finetune>, 0, 1e6},
};

Work run(PassContext& context, QuantizeOptions options) {
  context.report.accuracy_before.emplace();
  co_await evaluate_model(*context.model, context, *context.report.accuracy_before);
  (void)options;
}

Work start(PassContext& context, const nlohmann::json& json) {
  QuantizeOptions options;
  read_config(kFields, json, &options);
  return run(context, options);
}

nlohmann::json defaults() {
  const QuantizeOptions options;
  return describe_config(kFields, &options);
}

}  // namespace

constinit const PassType kQuantizePass{
    .name = "quantize", .summary = "TODO", .fields = kFields, .start = start, .defaults = defaults};

}  // namespace espalier
