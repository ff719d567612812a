// What the loss changes, to first order, when a weight becomes 0: mean |w · dL/dw| over samples (Molchanov et
// al. 2017 and 2019).
#include "compress/prune/criterion.h"

namespace espalier {
namespace {

void score(const CriterionInput& input, std::span<real> scores) {
  const GradientStatistics& g = *input.gradients;
  for_each_weight(input.model.graph,
                  [&](std::size_t i) { scores[i] = static_cast<real>(g.mean_product(i)); });
}

}  // namespace

constinit const Criterion kTaylor{.name = "taylor",
                                  .summary = "First-order change of the loss: mean |w · dL/dw| over samples.",
                                  .needs = Criterion::Needs::kGradients,
                                  .score = score};

}  // namespace espalier
