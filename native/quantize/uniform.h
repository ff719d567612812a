// What schemes with evenly spaced levels share: value = scale · (code - offset), rounded half to even.
// A scheme gives its lowest and highest code and makes a Grid of a range.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/training_only.h"
#include "quantize/range.h"
#include "quantize/rounding.h"
#include "quantize/scheme.h"

namespace espalier {

// The step between `intervals` + 1 evenly spaced levels over `range`: a number that can be divided by, even
// where the range is smaller or larger than numbers that have a reciprocal.
inline real step_of(double range, std::int32_t intervals) {
  constexpr double kSmallest = std::numeric_limits<real>::min(), kLargest = std::numeric_limits<real>::max();
  return static_cast<real>(std::clamp(range / intervals, kSmallest, kLargest / intervals));
}

// The sum of squared errors of quantizing `values` on `grid` decides the range (RangeMethod::kMse): the
// widest of kCandidates shrunken ranges that has the smallest one. kEntropy is for features; weights take
// kMse for it.
template <class Levels>
struct Uniform {
  static constexpr int kCandidates = 80;
  // Of a larger group, evenly spaced numbers stand for all: the range must not take longer than a moment.
  static constexpr std::size_t kSampled = 16384;

  static real level(real x, const Grid& grid, real lowest, real highest) {
    const real code = round_half_even(std::clamp(x / grid.scale, real{-1e6}, real{1e6})) + grid.offset;
    return (std::clamp(code, lowest, highest) - grid.offset) * grid.scale;
  }

  static Grid fit(std::span<const real> values, int bits, RangeMethod method) {
    const auto [low, high] = method == RangeMethod::kPercentile ? inner_range(values) : full_range(values);
    Grid best = Levels::grid(low, high, bits);
    if (method == RangeMethod::kMinMax || method == RangeMethod::kPercentile) return best;
    const std::size_t every = (values.size() + kSampled - 1) / kSampled;
    const auto error = [values, bits, every](const Grid& grid) {
      const real lowest = Levels::lowest(bits), highest = Levels::highest(bits);
      double sum = 0;
      for (std::size_t i = 0; i < values.size(); i += every) {
        const real x = values[i];
        const double d = static_cast<double>(x) - level(x, grid, lowest, highest);
        sum += d * d;
      }
      return sum;
    };
    double least = error(best);
    for (int i = 1; i < kCandidates; ++i) {
      const double share = 1 - static_cast<double>(i) / kCandidates;
      const Grid grid = Levels::grid(low * share, high * share, bits);
      const double e = error(grid);
      if (e < least) {
        least = e;
        best = grid;
      }
    }
    return best;
  }

  static void quantize(std::span<const real> values, const Grid& grid, int bits, std::int32_t* codes) {
    const real lowest = Levels::lowest(bits), highest = Levels::highest(bits);
    // A scale of 0, as a file may have it, leaves one level.
    const bool has_steps = grid.scale != 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const real steps = has_steps ? std::clamp(values[i] / grid.scale, real{-1e6}, real{1e6}) : real{0};
      const real code = round_half_even(steps) + grid.offset;
      codes[i] = static_cast<std::int32_t>(std::clamp(code, lowest, highest));
    }
  }

  static void dequantize(std::span<const std::int32_t> codes, const Grid& grid, int, real* values) {
    for (std::size_t i = 0; i < codes.size(); ++i) {
      values[i] = (static_cast<real>(codes[i]) - grid.offset) * grid.scale;
    }
  }

  static void fake_quantize(std::span<const real> values, const Grid& grid, int bits, real* out) {
    const real lowest = Levels::lowest(bits), highest = Levels::highest(bits);
    for (std::size_t i = 0; i < values.size(); ++i) out[i] = level(values[i], grid, lowest, highest);
  }

  // d level / d scale = round(x / s) - x / s inside the range, the outermost code outside. Inside is what
  // rounds to a code (as in PyTorch): the largest number of a min-max grid does not count as clipped.
  static double backward(std::span<const real> values, const Grid& grid, int bits, real* gradient) {
    const real lowest = static_cast<real>(Levels::lowest(bits)) - grid.offset;
    const real highest = static_cast<real>(Levels::highest(bits)) - grid.offset;
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const real x = values[i] / grid.scale;
      const real g = gradient[i];
      const real code = round_half_even(std::clamp(x, real{-1e6}, real{1e6}));
      if (code < lowest || code > highest) {
        sum += static_cast<double>(g) * (code < lowest ? lowest : highest);
        gradient[i] = 0;
      } else {
        sum += static_cast<double>(g) * (code - x);
      }
    }
    return sum;
  }
};

// The functions of a row; the scheme fills in its name, summary, bits and what its offset is.
template <class Levels>
constexpr QuantizationScheme uniform_scheme() {
  using U = Uniform<Levels>;
  return {.learnable = true,
          .fit = training_only(U::fit),
          .quantize = U::quantize,
          .dequantize = U::dequantize,
          .fake_quantize = U::fake_quantize,
          .backward = training_only(U::backward),
          .lowest_code = Levels::lowest,
          .highest_code = Levels::highest};
}

}  // namespace espalier
