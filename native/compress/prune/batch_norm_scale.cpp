// Channels that the following batch norm scales down to almost nothing: |gamma| (Liu et al. 2017, Network
// slimming). Layers without a batch norm get no score and stay whole.
#include <algorithm>
#include <cmath>

#include "compress/prune/criterion.h"
#include "ops/op.h"

namespace espalier {
namespace {

void score(const CriterionInput& input, std::span<real> scores) {
  const Graph& graph = input.model.graph;
  for (const Node& norm : graph.nodes) {
    if (norm.op != &kBatchNorm || norm.inputs[0] == 0) continue;
    const Node& node = graph.nodes[static_cast<std::size_t>(norm.inputs[0] - 1)];
    if (!has_weights(node)) continue;
    const ParameterInfo& weight = node.parameters.front();
    const int rows = weight.shape[0];
    const std::int64_t row = weight.size / rows;
    for (int r = 0; r < rows; ++r) {
      const auto begin = scores.begin() + weight.offset + r * row;
      const auto gamma = static_cast<std::size_t>(norm.parameters.front().offset + r);
      std::fill(begin, begin + row, std::abs(input.weights[gamma]));
    }
  }
}

}  // namespace

constinit const Criterion kBatchNormScale{.name = "batch-norm-scale",
                                          .summary = "|gamma| of the batch norm behind a channel.",
                                          .channels_only = true,
                                          .score = score};

}  // namespace espalier
