#include "runtime/format.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/weights.h"
#include "quantize/rounding.h"

namespace espalier {

int code_of(float number, const CodeGrid& grid) {
  const auto lowest = static_cast<float>(-grid.zero_point);
  const auto highest = static_cast<float>(grid.highest - grid.zero_point);
  const float x = std::min(std::max(number / grid.scale, lowest), highest);
  return static_cast<int>(std::nearbyint(x)) + grid.zero_point;
}

std::int32_t bias_code(float bias, float feature_scale, float weight_scale) {
  constexpr double kHighest = std::numeric_limits<std::int32_t>::max() / 2;
  if (bias == 0) return 0;  // of scales whose product is 0, too
  const double steps = std::nearbyint(double{bias} / double{feature_scale * weight_scale});
  return static_cast<std::int32_t>(std::clamp(steps, -kHighest, kHighest));
}

double LayerWeights::density() const {
  if (values.empty()) return 1;
  const auto zeros = std::count(values.begin(), values.end(), real{0});
  return 1 - static_cast<double>(zeros) / static_cast<double>(values.size());
}

namespace {

// values = scale · integers for every row, or nothing.
void find_integers(const Node& node, const real* effective, LayerWeights& weights) {
  const WeightQuantization& q = node.attributes.quantize;
  if (!q.scheme || q.scheme->codebook || q.granularity == Granularity::kGroup) return;
  const ParameterInfo& scale = *grid_scale_of(node);
  const std::size_t rows = static_cast<std::size_t>(weights.shape.out_channels);
  const std::size_t row = weights.values.size() / rows;
  std::vector<std::int8_t> integers(weights.values.size());
  std::vector<float> scales(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const real step = effective[scale.offset + (scale.size == 1 ? 0 : static_cast<std::int64_t>(r))];
    if (!(step > 0)) return;
    scales[r] = static_cast<float>(step);
    for (std::size_t i = r * row; i < (r + 1) * row; ++i) {
      const real code = std::nearbyint(weights.values[i] / step);
      if (std::abs(code) > 127 || code * step != weights.values[i]) return;
      integers[i] = static_cast<std::int8_t>(code);
    }
  }
  weights.integers = std::move(integers);
  weights.scales = std::move(scales);
}

}  // namespace

std::int64_t conv_scratch_bytes(const ConvShape& shape, const Kernels& kernels) {
  return kernels.conv_scratch ? kernels.conv_scratch(shape) * static_cast<std::int64_t>(sizeof(real)) : 0;
}

LayerWeights layer_weights(const Node& node, const ConvShape& shape, const real* effective) {
  const ParameterInfo& weight = weight_of(node);
  LayerWeights weights{.shape = shape,
                       .values = {effective + weight.offset, static_cast<std::size_t>(weight.size)},
                       .bias = {},
                       .integers = {},
                       .scales = {}};
  if (const ParameterInfo* bias = bias_of(node)) {
    weights.bias = {effective + bias->offset, static_cast<std::size_t>(bias->size)};
  }
  find_integers(node, effective, weights);
  const WeightQuantization& q = node.attributes.quantize;
  weights.quantization = q;
  if (!q.scheme) return weights;
  const ParameterInfo& scale = *grid_scale_of(node);
  const ParameterInfo* offset = grid_offset_of(node);
  const real* scales = effective + scale.offset;
  if (q.scheme->codebook) {
    weights.levels.assign(scales, scales + scale.size);
  } else {
    for (std::int64_t i = 0; i < scale.size; ++i) {
      weights.grids.push_back({scales[i], offset ? effective[offset->offset + i] : real{0}});
    }
  }
  weights.codes = weight_codes(node, effective);
  return weights;
}

}  // namespace espalier
