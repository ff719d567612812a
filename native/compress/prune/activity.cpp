// The article's neuron pruning: channels and neurons that are hardly active on training images, by their mean
// activation or by their share of zeros (Hu et al. 2016, Network trimming), behind the activation that
// follows the layer. A channel's score stands at each of its weights.
#include <algorithm>

#include "compress/prune/criterion.h"

namespace espalier {
namespace {

template <double (ActivityStatistics::*Of)(const Node&, int) const>
void score(const CriterionInput& input, std::span<real> scores) {
  for (const Node& node : input.model.graph.nodes) {
    if (!has_weights(node)) continue;
    const ParameterInfo& weight = node.parameters.front();
    const int rows = weight.shape[0];
    const std::int64_t row = weight.size / rows;
    for (int r = 0; r < rows; ++r) {
      const auto begin = scores.begin() + weight.offset + r * row;
      std::fill(begin, begin + row, static_cast<real>((input.activity->*Of)(node, r)));
    }
  }
}

}  // namespace

constinit const Criterion kActivity{.name = "activity",
                                    .summary = "Mean size of a channel's or neuron's activation.",
                                    .needs = Criterion::Needs::kActivity,
                                    .channels_only = true,
                                    .score = score<&ActivityStatistics::mean_size>};
constinit const Criterion kActivityZeros{
    .name = "activity-zeros",
    .summary = "Share of a channel's or neuron's activations that are not 0.",
    .needs = Criterion::Needs::kActivity,
    .channels_only = true,
    .score = score<&ActivityStatistics::share_of_nonzeros>};

}  // namespace espalier
