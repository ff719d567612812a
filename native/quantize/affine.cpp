// Affine: value = scale · (code - zero_point) with code in [0, 2^b - 1] and a whole zero point. The range is
// widened to include zero, which is therefore a level (Jacob et al. 2018, section 2.1).
#include "quantize/uniform.h"

namespace espalier {
namespace {

struct Affine {
  static std::int32_t lowest(int) { return 0; }
  static std::int32_t highest(int bits) { return (1 << bits) - 1; }
  static Grid grid(double low, double high, int bits) {
    if (!(high > low)) return {1, 0};
    const double scale = step_of(high - low, highest(bits));
    const double zero_point = std::clamp(std::floor(-low / scale + 0.5), 0.0, double(highest(bits)));
    return {static_cast<real>(scale), static_cast<real>(zero_point)};
  }
};

}  // namespace

constinit const QuantizationScheme kAffine = [] {
  QuantizationScheme row = uniform_scheme<Affine>();
  row.name = "affine";
  row.summary = "Evenly spaced levels between minimum and maximum, moved so that zero is one of them.";
  row.offset = "zero_point";
  return row;
}();

}  // namespace espalier
