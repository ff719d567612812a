// Ternary weight networks (Li, Zhang and Liu 2016): x becomes -scale, 0 or scale. Numbers below the threshold
// 0.7 · mean |x| become 0, the scale is the mean |x| of the others, which is close to the least squared
// error.
//
// Grid: scale, offset = threshold.
#include <cmath>

#include "quantize/scheme.h"

namespace espalier {
namespace {

std::int32_t lowest(int) { return -1; }
std::int32_t highest(int) { return 1; }

Grid fit(std::span<const real> values, int, RangeMethod) {
  double sum = 0;
  std::int64_t count = 0;
  // Pruned weights are zero already and say nothing about the others.
  for (const real x : values) {
    sum += std::abs(static_cast<double>(x));
    count += x != 0 ? 1 : 0;
  }
  if (count == 0) return {};
  const double threshold = 0.7 * sum / static_cast<double>(count);
  double large = 0;
  std::int64_t large_count = 0;
  for (const real x : values) {
    if (std::abs(x) <= threshold) continue;
    large += std::abs(static_cast<double>(x));
    ++large_count;
  }
  return {static_cast<real>(large / static_cast<double>(large_count)), static_cast<real>(threshold)};
}

std::int32_t code(real x, const Grid& grid) { return std::abs(x) <= grid.offset ? 0 : x > 0 ? 1 : -1; }

void quantize(std::span<const real> values, const Grid& grid, int, std::int32_t* codes) {
  for (std::size_t i = 0; i < values.size(); ++i) codes[i] = code(values[i], grid);
}
void dequantize(std::span<const std::int32_t> codes, const Grid& grid, int, real* values) {
  for (std::size_t i = 0; i < codes.size(); ++i) values[i] = static_cast<real>(codes[i]) * grid.scale;
}
void fake_quantize(std::span<const real> values, const Grid& grid, int, real* out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    out[i] = static_cast<real>(code(values[i], grid)) * grid.scale;
  }
}
double backward(std::span<const real>, const Grid&, int, real*) { return 0; }

}  // namespace

constinit const QuantizationScheme kTernary{.name = "ternary",
                                            .summary = "-scale, 0 or scale, by a threshold.",
                                            .min_bits = 2,
                                            .max_bits = 2,
                                            .offset = "threshold",
                                            .fit = fit,
                                            .quantize = quantize,
                                            .dequantize = dequantize,
                                            .fake_quantize = fake_quantize,
                                            .backward = backward,
                                            .lowest_code = lowest,
                                            .highest_code = highest};

}  // namespace espalier
