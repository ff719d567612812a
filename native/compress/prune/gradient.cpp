// The source article's criterion: weights that the loss hardly pulls at, mean |dL/dw| over samples. It looks
// at how much a weight would move, not at what its removal would cost: a large weight at its optimum has
// no gradient and goes first.
#include "compress/prune/criterion.h"

namespace espalier {
namespace {

void score(const CriterionInput& input, std::span<real> scores) {
  const GradientStatistics& g = *input.gradients;
  for_each_weight(input.model.graph, [&](std::size_t i) { scores[i] = static_cast<real>(g.mean_size(i)); });
}

}  // namespace

constinit const Criterion kGradient{.name = "gradient",
                                    .summary = "The article's: mean |dL/dw| over samples.",
                                    .needs = Criterion::Needs::kGradients,
                                    .score = score};

}  // namespace espalier
