// What conv and dense have in common about their weights: a weight, a bias, and, when the spec has a
// "quantize" field, the grids of the weight's groups. The parameters are, in this order:
//
//   weight          [out][…]
//   bias            [out], if the layer has one
//   weight_scale    [groups], weight_offset [groups] where the scheme has an offset
//   or, for codebooks, weight_codebook [2^bits] and weight_index, shaped as the weight
#pragma once

#include "ops/op.h"
#include "quantize/scheme.h"

namespace espalier {

// For conv's and dense's configure. Error{kSpec} when scheme and bits contradict each other.
void add_weights(Node& node, std::vector<int> shape, int fan_in);

// Whether the node is a layer of that kind.
inline bool has_weights(const Node& node) { return node.op == &kConv || node.op == &kDense; }

inline const ParameterInfo& weight_of(const Node& node) { return node.parameters[0]; }
inline const ParameterInfo* bias_of(const Node& node) {
  return node.attributes.bias ? &node.parameters[1] : nullptr;
}
// The first of the quantizer's parameters (weight_scale or weight_codebook) and the second one; null: none.
const ParameterInfo* grid_scale_of(const Node& node);
const ParameterInfo* grid_offset_of(const Node& node);
inline const ParameterInfo* codebook_of(const Node& node) { return grid_scale_of(node); }
inline const ParameterInfo* codebook_index_of(const Node& node) { return grid_offset_of(node); }

// Neighbouring weights that share a grid: weights [begin, begin + size) of the tensor.
struct WeightGroup {
  std::int64_t index = 0;
  std::int64_t begin = 0;
  std::int64_t size = 0;
};
// Of a tensor of `rows` output channels of `row` weights each, in order.
std::int64_t group_count(const WeightQuantization& quantization, std::int64_t rows, std::int64_t row);
WeightGroup group_at(const WeightQuantization& quantization, std::int64_t rows, std::int64_t row,
                     std::int64_t index);

// All functions below work on one node whose attributes.quantize has a scheme; `value` is the slab.

// Chooses every group's grid from the weights as they are now.
// Codebooks are found by k-means instead (compress/share.h) and left alone.
void fit_weights(const Node& node, RangeMethod method, real* value);
// The same for the groups [begin, end) only: a moment's work of a long one.
void fit_weights(const Node& node, RangeMethod method, real* value, std::int64_t begin, std::int64_t end);
std::int64_t group_count(const Node& node);
// Weights whose range is searched in a moment, and the groups that hold about so many.
inline constexpr std::int64_t kWeightsAtOnce = 16384;
std::int64_t groups_at_once(const Node& node);

// The weights of `value`, quantized and dequantized, into the same place of `effective`.
void fake_quantize_weights(const Node& node, const real* value, real* effective);

// gradient, of the effective weights, becomes that of weights and grids. Codebook: each level takes the sum
// over its weights, whose own gradient is 0. Pruned weights (`mask`, parallel to the slab, may be null) say
// nothing about learned grids.
void quantized_weight_gradient(const Node& node, const real* value, const real* mask, real* gradient);

// Every weight's code, in [lowest_code, highest_code] (codebook: the level's index).
std::vector<std::int32_t> weight_codes(const Node& node, const real* value);
// Weights become the numbers of their codes; those that are 0 stay 0. Not for codebooks.
void set_weight_codes(const Node& node, std::span<const std::int32_t> codes, real* value);

}  // namespace espalier
