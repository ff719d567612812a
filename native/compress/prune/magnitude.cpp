// Small weights matter least (Han et al. 2015). Of weights that are pruned together, L1 takes the mean of
// their sizes (Li et al. 2017), L2 the root of their mean square, in which a few large ones count more.
#include <cmath>

#include "compress/prune/criterion.h"

namespace espalier {
namespace {

void score(const CriterionInput& input, std::span<real> scores) {
  for_each_weight(input.model.graph, [&](std::size_t i) { scores[i] = std::abs(input.weights[i]); });
}

}  // namespace

constinit const Criterion kMagnitude{
    .name = "magnitude", .summary = "|w|; of a group, the mean.", .score = score};
constinit const Criterion kMagnitudeL2{.name = "magnitude-l2",
                                       .summary = "|w|; of a group, the root of the mean square.",
                                       .together = Criterion::Together::kRootMeanSquare,
                                       .score = score};

}  // namespace espalier
