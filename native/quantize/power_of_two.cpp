// Powers of two (Zhou et al. 2017, INQ): x becomes 0 or ± scale · 2^-k, so that a product is a shift. With b
// bits there are 2^(b-1) - 1 magnitudes on each side; those below the midpoint of the last one and 0 are 0.
//
// Codes: 0, or ± (k + 1). Grid: scale = the largest magnitude, itself a power of two.
#include <algorithm>
#include <cmath>

#include "quantize/scheme.h"

namespace espalier {
namespace {

std::int32_t highest(int bits) { return (1 << (bits - 1)) - 1; }
std::int32_t lowest(int bits) { return -highest(bits); }

// The power of two that is nearest to the largest |x|, as INQ: 2^floor(log2(4/3 · max)).
Grid fit(std::span<const real> values, int, RangeMethod) {
  double largest = 0;
  for (const real x : values) largest = std::max(largest, std::abs(static_cast<double>(x)));
  if (!(largest > 0)) return {};
  int exponent = 0;
  std::frexp(largest * 4 / 3, &exponent);
  return {static_cast<real>(std::ldexp(1.0, exponent - 1)), 0};
}

real magnitude(std::int32_t step, const Grid& grid) { return std::ldexp(grid.scale, 1 - step); }

std::int32_t code(real x, const Grid& grid, int bits) {
  const real size = std::abs(x);
  const std::int32_t steps = highest(bits);
  // `size` 0 on its own: far steps of a tiny scale are 0 too.
  if (!(size > 0) || size < magnitude(steps, grid) / 2) return 0;
  int exponent = 0;
  std::frexp(size / grid.scale * 4 / 3, &exponent);  // 2^(exponent - 1) is the nearest power
  const std::int32_t step = std::clamp(2 - exponent, 1, steps);
  return x < 0 ? -step : step;
}
real level(std::int32_t q, const Grid& grid) {
  return q == 0 ? real{0} : q > 0 ? magnitude(q, grid) : -magnitude(-q, grid);
}

void quantize(std::span<const real> values, const Grid& grid, int bits, std::int32_t* codes) {
  for (std::size_t i = 0; i < values.size(); ++i) codes[i] = code(values[i], grid, bits);
}
void dequantize(std::span<const std::int32_t> codes, const Grid& grid, int, real* values) {
  for (std::size_t i = 0; i < codes.size(); ++i) values[i] = level(codes[i], grid);
}
void fake_quantize(std::span<const real> values, const Grid& grid, int bits, real* out) {
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = level(code(values[i], grid, bits), grid);
}
double backward(std::span<const real>, const Grid&, int, real*) { return 0; }

}  // namespace

constinit const QuantizationScheme kPowerOfTwo{.name = "power-of-two",
                                               .summary = "0 or plus or minus a power of two.",
                                               .min_bits = 2,
                                               .fit = fit,
                                               .quantize = quantize,
                                               .dequantize = dequantize,
                                               .fake_quantize = fake_quantize,
                                               .backward = backward,
                                               .lowest_code = lowest,
                                               .highest_code = highest};

}  // namespace espalier
