// The grids that numbers fall on: one row for each way to quantize weights. A row maps numbers to
// whole codes and back; nothing here knows about layers. To add a scheme, write its file and list it
// in quantize/table.cpp.
//
// A *group* of numbers shares a grid: a whole tensor, an output channel, or a piece of one.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/real.h"

namespace espalier {

// Where a group's codes lie on the number line. What `offset` means is the scheme's matter (its row
// names it): a zero point, a minimum, a threshold; 0 where a scheme has none.
struct Grid {
  real scale = 1;
  real offset = 0;
};

// How the range of a grid is chosen from the numbers.
enum class RangeMethod { kMinMax, kPercentile, kMse, kEntropy };

struct QuantizationScheme {
  std::string_view name;
  std::string_view summary;
  int min_bits = 1;
  int max_bits = 8;
  bool exact_zero = true;        // 0 is on every grid
  bool learnable = false;        // `backward` gives the scale a gradient (LSQ)
  bool codebook = false;         // the levels are a table of the layer's own; the functions below are null
  std::string_view offset = {};  // the name of Grid::offset: "zero_point"; empty: unused

  // Step 1 and 2 of the source article: statistics of the numbers, and the range from them. Numbers that
  // are all the same (a constant tensor) give a grid that represents them, never a division by zero.
  Grid (*fit)(std::span<const real> values, int bits, RangeMethod method) = nullptr;
  // Step 3: the codes, each in [lowest_code, highest_code].
  void (*quantize)(std::span<const real> values, const Grid& grid, int bits, std::int32_t* codes) = nullptr;
  // Step 4: what the codes stand for.
  void (*dequantize)(std::span<const std::int32_t> codes, const Grid& grid, int bits, real* values) = nullptr;
  // Both at once, for training: out[i] = dequantize(quantize(values[i])), bit for bit.
  void (*fake_quantize)(std::span<const real> values, const Grid& grid, int bits, real* out) = nullptr;
  // gradient[i] of the quantized number becomes that of the number itself, straight through (Bengio et al.
  // 2013): unchanged inside the range, 0 where it was clipped. Returns the gradient of the scale by
  // the rule of LSQ (Esser et al. 2020, equation 3), without LSQ's factor; 0 where not `learnable`.
  double (*backward)(std::span<const real> values, const Grid& grid, int bits, real* gradient) = nullptr;
  std::int32_t (*lowest_code)(int bits) = nullptr;
  std::int32_t (*highest_code)(int bits) = nullptr;
};

// The table, in the order of the documentation.
std::span<const QuantizationScheme* const> quantization_schemes();
const QuantizationScheme* find_scheme(std::string_view name);  // null: no such scheme

extern const QuantizationScheme kArticle;
extern const QuantizationScheme kAffine;
extern const QuantizationScheme kSymmetric;
extern const QuantizationScheme kTernary;
extern const QuantizationScheme kBinary;
extern const QuantizationScheme kPowerOfTwo;
extern const QuantizationScheme kCodebook;

enum class Granularity { kTensor, kChannel, kGroup };

// How a layer's weights are quantized: the "quantize" field of its spec. A null scheme is float.
struct WeightQuantization {
  const QuantizationScheme* scheme = nullptr;
  int bits = 8;
  Granularity granularity = Granularity::kChannel;
  int group_size = 32;      // kGroup: neighbouring weights of a row that share a grid
  bool learned = false;     // the scales (a codebook: its levels) are trained with the weights
  bool pinned_zero = true;  // codebook: level 0 is 0 and stays it

  friend bool operator==(const WeightQuantization&, const WeightQuantization&) = default;
};

}  // namespace espalier
