// What the loss changes, to second order, when a weight becomes 0: w² · h / 2 (Le Cun et al. 1990, Optimal
// brain damage), with the curvature h estimated by the empirical Fisher information, mean (dL/dw)² over
// samples (Theis et al. 2018).
#include "compress/prune/criterion.h"

namespace espalier {
namespace {

void score(const CriterionInput& input, std::span<real> scores) {
  const GradientStatistics& g = *input.gradients;
  for_each_weight(input.model.graph, [&](std::size_t i) {
    const double w = input.weights[i];
    scores[i] = static_cast<real>(g.mean_square(i) * w * w / 2);
  });
}

}  // namespace

constinit const Criterion kFisher{.name = "fisher",
                                  .summary = "Second-order change of the loss: mean (dL/dw)² · w² / 2.",
                                  .needs = Criterion::Needs::kGradients,
                                  .score = score};

}  // namespace espalier
