// Powers of two (Zhou et al. 2017, INQ): x becomes 0 or ± scale · 2^-k, so that a product is a shift. With b
// bits there are 2^(b-1) - 1 magnitudes on each side; those below the midpoint of the last one and 0 are 0.
//
// Codes: 0, or ± (k + 1). Grid: scale = the largest magnitude, itself a power of two.
#include <algorithm>
#include <cmath>

#include "quantize/levels.h"

namespace espalier {
namespace {

struct PowerOfTwo {
  static std::int32_t highest(int bits) { return (1 << (bits - 1)) - 1; }
  static std::int32_t lowest(int bits) { return -highest(bits); }

  // The power of two that is nearest to the largest |x|, as INQ: 2^floor(log2(4/3 · max)).
  static Grid fit(std::span<const real> values, int, RangeMethod) {
    double largest = 0;
    for (const real x : values) largest = std::max(largest, std::abs(static_cast<double>(x)));
    if (!(largest > 0)) return {};
    int exponent = 0;
    std::frexp(largest * 4 / 3, &exponent);
    return {static_cast<real>(std::ldexp(1.0, exponent - 1)), 0};
  }

  static real magnitude(std::int32_t step, const Grid& grid) { return std::ldexp(grid.scale, 1 - step); }

  static std::int32_t code(real x, const Grid& grid, int bits) {
    const real size = std::abs(x);
    const std::int32_t steps = highest(bits);
    // `size` 0 on its own: far steps of a tiny scale are 0 too.
    if (!(size > 0) || size < magnitude(steps, grid) / 2) return 0;
    int exponent = 0;
    std::frexp(size / grid.scale * 4 / 3, &exponent);  // 2^(exponent - 1) is the nearest power
    const std::int32_t step = std::clamp(2 - exponent, 1, steps);
    return x < 0 ? -step : step;
  }
  static real level(std::int32_t q, const Grid& grid) {
    return q == 0 ? real{0} : q > 0 ? magnitude(q, grid) : -magnitude(-q, grid);
  }
};

}  // namespace

constinit const QuantizationScheme kPowerOfTwo = [] {
  QuantizationScheme row = level_scheme<PowerOfTwo>();
  row.name = "power-of-two";
  row.summary = "0 or plus or minus a power of two.";
  row.min_bits = 2;
  return row;
}();

}  // namespace espalier
