// What schemes with levels of any spacing share: a scheme says which code a number gets and what a code
// stands for, one at a time.
//
//   struct Levels {
//     static std::int32_t lowest(int bits), highest(int bits);
//     static Grid fit(std::span<const real> values, int bits, RangeMethod method);
//     static std::int32_t code(real x, const Grid& grid, int bits);
//     static real level(std::int32_t code, const Grid& grid);
//   };
#pragma once

#include "core/training_only.h"
#include "quantize/scheme.h"

namespace espalier {

template <class Levels>
struct OneByOne {
  static void quantize(std::span<const real> values, const Grid& grid, int bits, std::int32_t* codes) {
    for (std::size_t i = 0; i < values.size(); ++i) codes[i] = Levels::code(values[i], grid, bits);
  }
  static void dequantize(std::span<const std::int32_t> codes, const Grid& grid, int, real* values) {
    for (std::size_t i = 0; i < codes.size(); ++i) values[i] = Levels::level(codes[i], grid);
  }
  static void fake_quantize(std::span<const real> values, const Grid& grid, int bits, real* out) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      out[i] = Levels::level(Levels::code(values[i], grid, bits), grid);
    }
  }
  // Straight through: these grids cover all numbers that they were fitted to.
  static double backward(std::span<const real>, const Grid&, int, real*) { return 0; }
};

// The functions of a row; the scheme fills in the rest.
template <class Levels>
constexpr QuantizationScheme level_scheme() {
  using Row = OneByOne<Levels>;
  return {.fit = training_only(Levels::fit),
          .quantize = Row::quantize,
          .dequantize = Row::dequantize,
          .fake_quantize = Row::fake_quantize,
          .backward = training_only(Row::backward),
          .lowest_code = Levels::lowest,
          .highest_code = Levels::highest};
}

}  // namespace espalier
