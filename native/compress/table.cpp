#include "compress/pass.h"
#include "core/error.h"

namespace espalier {
namespace {

constexpr const PassType* kPasses[] = {&kQuantizePass, &kPrunePass, &kFactorizePass, &kTransferPass,
                                       &kFineTunePass, &kFoldPass,  &kSlimPass,      &kRoundPass};

}  // namespace

std::span<const PassType* const> pass_types() { return kPasses; }

const PassType& find_pass(std::string_view name) {
  for (const PassType* pass : kPasses) {
    if (pass->name == name) return *pass;
  }
  throw Error(ErrorCode::kArgument, "pass",
              "is \"" + std::string(name) + "\", but the passes are " + names_of(pass_types()));
}

}  // namespace espalier
