// Bits for each layer under a byte budget: each layer's sensitivity is measured alone, and of all
// combinations that fit, the one with the least sum is taken (as HAWQ-V2, Dong et al. 2020, with measured
// losses in place of Hessians).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/pass.h"
#include "compress/share.h"
#include "core/work.h"
#include "quantize/scheme.h"

namespace espalier {

// One way to store a layer.
struct PrecisionChoice {
  int bits = 0;
  std::int64_t bytes = 0;
  double cost = 0;  // how much the loss grows
};

// By layer, the index of its choice: the least sum of costs whose bytes are at most `budget`, exactly, and of
// these the most bytes. Empty: even the smallest choices take more.
std::vector<int> choose_precisions(std::span<const std::vector<PrecisionChoice>> layers, std::int64_t budget);

// How a layer is quantized while its sensitivity is measured.
struct PrecisionSearch {
  std::vector<WeightQuantization> weights;  // by node; `bits` is what is searched
  std::vector<bool> searched;               // by node
  int activation_bits = 0;
  RangeMethod method = RangeMethod::kMse;
  CodebookStart start = CodebookStart::kLinear;
  std::int64_t budget = 0;  // bytes of the whole model, as measure() counts them
};

// Measures on validation images and sets `bits` in search.weights. `model` is float. Error{kArgument} when
// the budget cannot be met, which names the smallest one that can; Error{kData} without validation images.
Work search_precisions(const Model& model, const PassContext& context, PrecisionSearch& search);

// The weights of a float model's layer, quantized and dequantized in place, in the slab `value`.
void quantize_in_place(const Model& model, const Node& node, const WeightQuantization& quantization,
                       RangeMethod method, CodebookStart start, std::uint64_t seed, real* value);

}  // namespace espalier
