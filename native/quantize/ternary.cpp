// Ternary weight networks (Li, Zhang and Liu 2016): x becomes -scale, 0 or scale. Numbers below the threshold
// 0.7 · mean |x| become 0, the scale is the mean |x| of the others, which is close to the least squared
// error (RangeMethod::kMinMax); the other methods find that exactly. A learned scale is trained with the
// threshold held (Zhu et al. 2017, with one scale for both signs).
//
// Grid: scale, offset = threshold.
#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "core/training_only.h"
#include "quantize/levels.h"

namespace espalier {
namespace {

// Pruned weights are zero already and say nothing about the others.
std::vector<double> sizes_of(std::span<const real> values) {
  std::vector<double> sizes;
  for (const real x : values) {
    if (x != 0) sizes.push_back(std::abs(static_cast<double>(x)));
  }
  return sizes;
}

// The least squared error exactly: of the k largest, k that has the largest sum² / k.
Grid least_squares(std::vector<double> sizes) {
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  double sum = 0, best = -1;
  Grid grid;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    sum += sizes[k];
    const double count = static_cast<double>(k + 1);
    const double next = k + 1 < sizes.size() ? sizes[k + 1] : 0;
    // Numbers of one size go together.
    if (next == sizes[k] || sum / count * sum <= best) continue;
    best = sum / count * sum;
    grid = {static_cast<real>(sum / count), static_cast<real>(next)};
  }
  return grid;
}

struct Ternary {
  static std::int32_t lowest(int) { return -1; }
  static std::int32_t highest(int) { return 1; }

  static Grid fit(std::span<const real> values, int, RangeMethod method) {
    const std::vector<double> sizes = sizes_of(values);
    if (sizes.empty()) return {};
    if (method != RangeMethod::kMinMax) return least_squares(sizes);
    double sum = 0;
    for (const double size : sizes) sum += size;
    const double threshold = 0.7 * sum / static_cast<double>(sizes.size());
    double large = 0;
    std::int64_t count = 0;
    for (const double size : sizes) {
      if (size <= threshold) continue;
      large += size;
      ++count;
    }
    return {static_cast<real>(large / static_cast<double>(count)), static_cast<real>(threshold)};
  }

  static std::int32_t code(real x, const Grid& grid, int) {
    return std::abs(x) <= grid.offset ? 0 : x > 0 ? 1 : -1;
  }
  static real level(std::int32_t code, const Grid& grid) { return static_cast<real>(code) * grid.scale; }

  // level = scale · code, so d level / d scale is the code; the threshold stays.
  static double backward(std::span<const real> values, const Grid& grid, int bits, real* gradient) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum += static_cast<double>(gradient[i]) * code(values[i], grid, bits);
    }
    return sum;
  }
};

}  // namespace

constinit const QuantizationScheme kTernary = [] {
  QuantizationScheme row = level_scheme<Ternary>();
  row.name = "ternary";
  row.summary = "-scale, 0 or scale, by a threshold.";
  row.min_bits = row.max_bits = 2;
  row.learnable = true;
  row.offset = "threshold";
  row.backward = training_only(Ternary::backward);
  return row;
}();

}  // namespace espalier
