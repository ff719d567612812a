// Weight sharing (Han, Mao and Dally 2016, section 3): a layer's weights become the centroids that k-means
// finds among them, and only which one is stored. In one dimension Lloyd's iterations are searches in the
// sorted weights and differences of their running sums.
//
// Level 0 is zero and stays it (WeightQuantization::pinned_zero); pruned weights always have it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/real.h"
#include "graph/graph.h"
#include "ops/node.h"

namespace espalier {

// Where the centroids start: evenly between the smallest and the largest weight, evenly among the sorted
// weights, or at weights drawn at random.
enum class CodebookStart { kLinear, kDensity, kRandom };
inline constexpr std::string_view kCodebookStarts = "linear, density, random";
CodebookStart codebook_start(std::string_view name);  // Error{kArgument}

// `count` levels for `values`, ascending behind the pinned zero if there is one. `stream` tells layers
// apart where the start is random.
std::vector<real> find_codebook(std::span<const real> values, int count, bool pinned_zero,
                                CodebookStart start, std::uint64_t seed, std::uint64_t stream);

// Fills weight_codebook and weight_index of a layer whose scheme is codebook from its weights. `mask`,
// parallel to the slab, may be null.
void share_weights(const Node& node, CodebookStart start, std::uint64_t seed, real* value, const real* mask);

// Factors on the learning rates of layers with codebooks, as TrainingConfig::layer_rates. The gradient of a
// level is the sum over its weights. A learning rate that suits one weight is too large for many: smaller by
// the root of how many share a level. What `given` says itself wins.
std::vector<std::string> codebook_rates(const Graph& graph, const std::vector<std::string>& given);

}  // namespace espalier
