#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/pass.h"

namespace espalier {
namespace {

struct TransferOptions {
  int finetune = 0;
};
constexpr ConfigField kFields[] = {
    {"finetune", "Epochs of fine-tuning", member<&TransferOptions::finetune>, 0, 1e6},
};

Work run(PassContext& context, TransferOptions options) {
  context.report.accuracy_before.emplace();
  co_await evaluate_model(*context.model, context, *context.report.accuracy_before);
  (void)options;
}

Work start(PassContext& context, const nlohmann::json& json) {
  TransferOptions options;
  read_config(kFields, json, &options);
  return run(context, options);
}

nlohmann::json defaults() {
  const TransferOptions options;
  return describe_config(kFields, &options);
}

}  // namespace

constinit const PassType kTransferPass{
    .name = "transfer", .summary = "TODO", .fields = kFields, .start = start, .defaults = defaults};

}  // namespace espalier
