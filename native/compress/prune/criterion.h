// What a weight is worth: one row for each criterion. A row gives every weight a score, larger is worth
// keeping; it does not know what is pruned together (granularity.h) or how much (select.h). To add a
// criterion, write its file and list it in table.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "compress/prune/statistics.h"
#include "ops/weights.h"
#include "train/trainer.h"

namespace espalier {

// What a score is computed from.
struct CriterionInput {
  const Model& model;
  std::span<const real> weights;  // parallel to the slab; of codebook layers what the levels stand for
  const GradientStatistics* gradients = nullptr;  // where the row needs them
  const ActivityStatistics* activity = nullptr;
  std::uint64_t seed = 1;
};

struct Criterion {
  enum class Needs { kNothing, kGradients, kActivity };
  // The score of weights that are pruned together, from theirs. Means, not sums, so that units of different
  // sizes compare.
  enum class Together { kMean, kRootMeanSquare, kFirst };

  std::string_view name;
  std::string_view summary;
  Needs needs = Needs::kNothing;
  bool channels_only = false;  // scores channels and neurons, not single weights
  Together together = Together::kMean;
  // Scores of the conv and dense weights, at their place in `scores`, which is parallel to the trainable slab
  // and filled with kNoScore. All scores are at least 0.
  void (*score)(const CriterionInput& input, std::span<real> scores) = nullptr;
};

// The criterion has nothing to say about this weight, so it stays.
inline constexpr real kNoScore = -1;

// The table, in the order of the documentation.
std::span<const Criterion* const> criteria();
const Criterion& find_criterion(std::string_view name);  // Error{kArgument} listing them

// Calls visit(i) for the slab index of every weight of every conv and dense layer.
template <class Visit>
void for_each_weight(const Graph& graph, Visit&& visit) {
  for (const Node& node : graph.nodes) {
    if (!has_weights(node)) continue;
    const ParameterInfo& weight = node.parameters.front();
    const auto begin = static_cast<std::size_t>(weight.offset);
    for (std::size_t i = begin; i < begin + static_cast<std::size_t>(weight.size); ++i) visit(i);
  }
}

extern const Criterion kMagnitude;
extern const Criterion kMagnitudeL2;
extern const Criterion kGradient;
extern const Criterion kTaylor;
extern const Criterion kFisher;
extern const Criterion kActivity;
extern const Criterion kActivityZeros;
extern const Criterion kBatchNormScale;
extern const Criterion kRandom;

}  // namespace espalier
