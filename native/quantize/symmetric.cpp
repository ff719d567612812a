// Symmetric: value = scale · code with code in [-(2^(b-1) - 1), 2^(b-1) - 1]. Zero is code 0; the grid is
// ONNX Runtime's for weights (the lowest code is left out, so that it is the same on both sides).
#include "quantize/uniform.h"

namespace espalier {
namespace {

struct Symmetric {
  static std::int32_t lowest(int bits) { return -((1 << (bits - 1)) - 1); }
  static std::int32_t highest(int bits) { return (1 << (bits - 1)) - 1; }
  // The range as wide on both sides of zero.
  static Grid grid(double low, double high, int bits) {
    const double reach = std::max(std::abs(low), std::abs(high));
    return {reach > 0 ? step_of(reach, highest(bits)) : real{1}, 0};
  }
};

}  // namespace

constinit const QuantizationScheme kSymmetric = [] {
  QuantizationScheme row = uniform_scheme<Symmetric>();
  row.name = "symmetric";
  row.summary = "Evenly spaced levels on both sides of zero: one scale, as ONNX Runtime quantizes weights.";
  row.min_bits = 2;
  return row;
}();

}  // namespace espalier
