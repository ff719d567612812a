// Binary weights (Rastegari et al. 2016, XNOR-Net, section 3.1): x becomes the sign of x times the mean |x|,
// which is the scale of least squared error. There is no zero.
#include <cmath>

#include "quantize/levels.h"

namespace espalier {
namespace {

struct Binary {
  static std::int32_t lowest(int) { return 0; }
  static std::int32_t highest(int) { return 1; }

  static Grid fit(std::span<const real> values, int, RangeMethod) {
    double sum = 0;
    std::int64_t count = 0;
    for (const real x : values) {
      sum += std::abs(static_cast<double>(x));
      count += x != 0 ? 1 : 0;
    }
    return {count > 0 ? static_cast<real>(sum / static_cast<double>(count)) : real{0}, 0};
  }

  static std::int32_t code(real x, const Grid&, int) { return x >= 0 ? 1 : 0; }
  static real level(std::int32_t code, const Grid& grid) { return code > 0 ? grid.scale : -grid.scale; }
};

}  // namespace

constinit const QuantizationScheme kBinary = [] {
  QuantizationScheme row = level_scheme<Binary>();
  row.name = "binary";
  row.summary = "The sign of a weight, times one scale.";
  row.max_bits = 1;
  row.exact_zero = false;
  return row;
}();

}  // namespace espalier
