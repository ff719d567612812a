// Binary weights (Rastegari et al. 2016, XNOR-Net, section 3.1): x becomes the sign of x times the mean |x|,
// which is the scale of least squared error. There is no zero.
#include <cmath>

#include "quantize/scheme.h"

namespace espalier {
namespace {

std::int32_t lowest(int) { return 0; }
std::int32_t highest(int) { return 1; }

Grid fit(std::span<const real> values, int, RangeMethod) {
  double sum = 0;
  std::int64_t count = 0;
  for (const real x : values) {
    sum += std::abs(static_cast<double>(x));
    count += x != 0 ? 1 : 0;
  }
  return {count > 0 ? static_cast<real>(sum / static_cast<double>(count)) : real{0}, 0};
}

void quantize(std::span<const real> values, const Grid&, int, std::int32_t* codes) {
  for (std::size_t i = 0; i < values.size(); ++i) codes[i] = values[i] >= 0 ? 1 : 0;
}
void dequantize(std::span<const std::int32_t> codes, const Grid& grid, int, real* values) {
  for (std::size_t i = 0; i < codes.size(); ++i) values[i] = codes[i] > 0 ? grid.scale : -grid.scale;
}
void fake_quantize(std::span<const real> values, const Grid& grid, int, real* out) {
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = values[i] >= 0 ? grid.scale : -grid.scale;
}
double backward(std::span<const real>, const Grid&, int, real*) { return 0; }

}  // namespace

constinit const QuantizationScheme kBinary{.name = "binary",
                                           .summary = "The sign of a weight, times one scale.",
                                           .max_bits = 1,
                                           .exact_zero = false,
                                           .fit = fit,
                                           .quantize = quantize,
                                           .dequantize = dequantize,
                                           .fake_quantize = fake_quantize,
                                           .backward = backward,
                                           .lowest_code = lowest,
                                           .highest_code = highest};

}  // namespace espalier
