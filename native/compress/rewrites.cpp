// The passes "fold" and "slim": another graph that computes the same (fold_batch_norm.h, slim.h). Neither has
// options.
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/fold_batch_norm.h"
#include "compress/pass.h"
#include "compress/slim.h"

namespace espalier {
namespace {

using Rewrite = std::unique_ptr<Model> (*)(const Model& model);

Work run(PassContext& context, const PassType& pass, Rewrite rewrite) {
  co_await begin_report(context, pass.name);
  context.model = rewrite(*context.model);
  co_await evaluate_model(*context.model, context, context.report.accuracy_after);
  end_report(context);
}

Work start_fold(PassContext& context, const nlohmann::json& options) {
  read_config({}, options, nullptr);
  return run(context, kFoldPass, fold_batch_norm);
}

Work start_slim(PassContext& context, const nlohmann::json& options) {
  read_config({}, options, nullptr);
  return run(context, kSlimPass, slim);
}

nlohmann::json defaults() { return nlohmann::json::array(); }

nlohmann::json complete(const nlohmann::json& given) {
  read_config({}, given, nullptr);
  return nlohmann::json::object();
}

}  // namespace

constinit const PassType kFoldPass{.name = "fold",
                                   .summary = "Folds batch norm into the layer before it.",
                                   .fields = {},
                                   .start = start_fold,
                                   .defaults = defaults,
                                   .complete = complete};

constinit const PassType kSlimPass{.name = "slim",
                                   .summary = "Removes channels and neurons that are pruned or constant.",
                                   .fields = {},
                                   .start = start_slim,
                                   .defaults = defaults,
                                   .complete = complete};

}  // namespace espalier
