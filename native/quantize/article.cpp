// The source article's quantizer, in its four steps:
//
//   statistics and range   xmin, xmax of the numbers; bmin = 0, bmax = 2^b - 1
//   quantize               Q(x) = floor((xmax - x) / (xmax - xmin) · (bmax - bmin) + bmin)
//   dequantize             its own inverse: x = xmax - (Q - bmin) · (xmax - xmin) / (bmax - bmin)
//
// xmax maps to bmin. It floors, so its worst error is a whole step (rounding: half of one), its mean squared
// error four times that of rounding, and zero is on the grid only by luck.
//
// Grid: scale = (xmax - xmin) / (bmax - bmin), offset = xmax.
#include <algorithm>
#include <cmath>

#include "quantize/levels.h"

namespace espalier {
namespace {

struct Article {
  static std::int32_t lowest(int) { return 0; }
  static std::int32_t highest(int bits) { return (1 << bits) - 1; }

  static Grid fit(std::span<const real> values, int bits, RangeMethod) {
    if (values.empty()) return {};
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double range = static_cast<double>(*high) - static_cast<double>(*low);
    const double step = range / highest(bits);
    real scale = static_cast<real>(step);
    // Rounded down, or the floor would keep xmin from bmax.
    if (scale > step) scale = std::nextafter(scale, real{0});
    return {scale, *high};
  }

  // A constant tensor (xmax = xmin) has one level: itself.
  static std::int32_t code(real x, const Grid& grid, int bits) {
    if (!(grid.scale > 0)) return 0;
    const double q = std::floor((static_cast<double>(grid.offset) - x) / grid.scale);
    return static_cast<std::int32_t>(std::clamp(q, 0.0, static_cast<double>(highest(bits))));
  }
  static real level(std::int32_t q, const Grid& grid) {
    return grid.offset - static_cast<real>(q) * grid.scale;
  }
};

}  // namespace

constinit const QuantizationScheme kArticle = [] {
  QuantizationScheme row = level_scheme<Article>();
  row.name = "article";
  row.summary = "The source article's: floors from the maximum downwards; zero is not a level.";
  row.exact_zero = false;
  row.offset = "maximum";
  return row;
}();

}  // namespace espalier
