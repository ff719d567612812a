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

// A kernel's last vector of weights may reach this far beyond them.
inline constexpr std::int64_t kReachBytes = kSpreadReach;

// What a conv or dense layer multiplies with. A dense layer that reads a map is a convolution whose kernel is
// as large as the map.
struct LayerWeights {
  ConvShape shape;
  std::span<const real> values;       // effective: [out][in / groups][kh][kw], 0 where a weight is pruned
  std::span<const real> bias;         // [out], or none
  std::vector<std::int8_t> integers;  // values = scales[out] · integers, if that is exact; else empty
  std::vector<float> scales;          // [out]

  // What the spec says about them. A null scheme: float. Pruned weights have the code that stands for 0 where
  // the scheme has one; else only `values` tells.
  WeightQuantization quantization;  // scheme, bits, granularity, group size
  std::vector<std::int32_t> codes;  // as `values`; codebook: the level's index
  std::vector<Grid> grids;          // one for each group (group_at() in ops/weights.h); none for codebooks
  std::vector<real> levels;         // of a codebook

  double density() const;  // share of weights that are not 0
  bool is_depthwise() const { return shape.groups > 1 && shape.groups == shape.in_channels; }
};
LayerWeights layer_weights(const Node& node, const ConvShape& shape, const real* effective);

// A block of images on its way through the layer.
struct RunContext {
  const ConvShape& shape;
  const Kernels& kernels;
  const IntegerKernels& integer;
  const std::uint8_t* packed;
  const void* in;  // codes (a map with its padding around it) or numbers (without), by WeightFormat::integer
  void* scratch;   // of formats of numbers, scratch_bytes
  void* spread;    // WeightFormat::spread_bytes() for weights that are unpacked on the way
  void* out;       // codes if `to_codes`, else numbers
  bool to_codes = false;
  const Requantization* requantization = nullptr;  // integers only
  const real* bias = nullptr;                      // numbers only; integers have it in their first sum
};

// To a row belong its name and its functions. Convolve (runtime/instructions.cpp) does what all formats
// need: it puts padding around code maps, computes the first sums and multipliers, gives the shape without
// padding, and asks `pack` once and `run` for each block. For integer formats it also may turn the taps of a
// few channels into channels, and groups into zeros (integer_form()): `shape` and `integers` are then those
// of the convolution that is left; `values` and `codes` stay as they were, so an integer format packs
// `integers`.
struct WeightFormat {
  std::string_view name;
  std::string_view summary;
  bool integer = false;  // reads codes and sums integers; else reads and writes numbers
  bool (*accepts)(const LayerWeights& weights) = nullptr;
  // Of a format that pays where little is left. The share of what it stores (`what`: "weights") that is left
  // in a layer, and below which it is faster than what follows in the table.
  std::string_view what = {};
  double (*share)(const LayerWeights& weights) = nullptr;
  double (*break_even)(const ConvShape& shape, const Kernels& kernels,
                       const IntegerKernels& integer) = nullptr;
  PackedBytes (*pack)(const LayerWeights& weights, const Kernels& kernels,
                      const IntegerKernels& integer) = nullptr;
  // What was packed, back: `integers` of an integer format, else `values`. For tests.
  void (*unpack)(const ConvShape& shape, const Kernels& kernels, const IntegerKernels& integer,
                 const PackedBytes& packed, void* weights) = nullptr;
  void (*run)(const RunContext& context) = nullptr;
  // Memory that a format of numbers wants for the time of a run; null: none.
  std::int64_t (*scratch_bytes)(const ConvShape& shape, const Kernels& kernels) = nullptr;
  // Room for weights on the way from memory into the inner loop; null: none.
  std::int64_t (*spread_bytes)(const ConvShape& shape, const IntegerKernels& integer) = nullptr;
  // Of the packed weights, as memory and reports count them.
  std::int64_t (*bytes)(const PackedBytes& packed) = nullptr;
};
inline std::int64_t all_bytes(const PackedBytes& packed) { return static_cast<std::int64_t>(packed.size()); }

// Of the dense kernels for numbers (Kernels::conv_scratch).
std::int64_t conv_scratch_bytes(const ConvShape& shape, const Kernels& kernels);

// The table: of those that accept a layer and pay, the first one is taken (RuntimeOptions may force another).
std::span<const WeightFormat* const> weight_formats();
const WeightFormat* find_format(std::string_view name);  // null: no such format

extern const WeightFormat kSparseInt8Format;
extern const WeightFormat kInt1Format;
extern const WeightFormat kInt2Format;
extern const WeightFormat kInt4Format;
extern const WeightFormat kInt8Format;
extern const WeightFormat kSparseFloat32Format;
extern const WeightFormat kCodebookFormat;
extern const WeightFormat kFloat32Format;

}  // namespace espalier
