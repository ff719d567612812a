#include "compress/prune/criterion.h"
#include "core/config_fields.h"
#include "core/error.h"
#include "ops/op.h"

namespace espalier {
namespace {

constexpr const Criterion* kCriteria[] = {
    &kMagnitude, &kMagnitudeL2,   &kGradient,       &kTaylor, &kFisher,
    &kActivity,  &kActivityZeros, &kBatchNormScale, &kRandom,
};

}  // namespace

std::span<const Criterion* const> criteria() { return kCriteria; }

const Criterion& find_criterion(std::string_view name) {
  for (const Criterion* criterion : kCriteria) {
    if (criterion->name == name) return *criterion;
  }
  throw Error(ErrorCode::kArgument, "criterion",
              "must be one of " + names_of(criteria()) + ", found \"" + std::string(name) + "\"");
}

}  // namespace espalier
