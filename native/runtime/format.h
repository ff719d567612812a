// How a layer's weights lie in memory and are run: one row for each way. To add a format, write its file,
// declare its row here and list it in runtime/table.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/aligned.h"
#include "kernels/integer_kernels.h"
#include "ops/node.h"
#include "runtime/codes.h"

namespace espalier {

using PackedBytes = aligned_vector<std::uint8_t>;

// What a conv or dense layer multiplies with. A dense layer that reads a map is a convolution whose kernel is
// as large as the map.
struct LayerWeights {
  ConvShape shape;
  std::span<const real> values;       // effective: [out][in / groups][kh][kw], 0 where a weight is pruned
  std::span<const real> bias;         // [out], or none
  std::vector<std::int8_t> integers;  // values = scales[out] · integers, if that is exact; else empty
  std::vector<float> scales;          // [out]

  double density() const;  // share of weights that are not 0
};
LayerWeights layer_weights(const Node& node, const ConvShape& shape, const real* effective);

// A block of images on its way through the layer.
struct RunContext {
  const ConvShape& shape;
  const Kernels& kernels;
  const IntegerKernels& integer;
  const std::uint8_t* packed;
  const void* in;  // codes (a map with its padding around it) or numbers (without), by WeightFormat::integer
  void* out;       // codes if `to_codes`, else numbers
  bool to_codes = false;
  const Requantization* requantization = nullptr;  // integers only
  const real* bias = nullptr;                      // numbers only; integers have it in their first sum
};

struct WeightFormat {
  std::string_view name;
  std::string_view summary;
  bool integer = false;  // reads codes and sums integers; else reads and writes numbers
  bool (*accepts)(const LayerWeights& weights) = nullptr;
  PackedBytes (*pack)(const LayerWeights& weights, const Kernels& kernels,
                      const IntegerKernels& integer) = nullptr;
  void (*run)(const RunContext& context) = nullptr;
};

// The table: of those that accept a layer, the first one is taken (RuntimeOptions may force another).
std::span<const WeightFormat* const> weight_formats();
const WeightFormat* find_format(std::string_view name);  // null: no such format

extern const WeightFormat kInt8Format;
extern const WeightFormat kFloat32Format;

}  // namespace espalier
