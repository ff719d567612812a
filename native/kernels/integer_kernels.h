// The inner loops of compressed execution on integers, compiled beside the float ones for each kind of
// processor.
//
// A *code map* is a block of feature maps as bytes, [channels / 4][height][width][lanes][4]: four
// neighbouring channels of an image lie side by side, which is what a dot product of four wants. Channels
// behind the last one hold anything; the weights that meet them are 0. A code stands for scale · (code -
// zero_point).
//
// Tables for single images have lanes = 1. Their functions read and write up to kCodeSlack bytes behind a
// map, and a map's last bytes are right only when all of it has been written.
//
// Sums are int32 and exact, so all variants give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace espalier {

inline constexpr int kCodeChannels = 4;
inline constexpr int kCodeSlack = 64;
inline constexpr std::size_t kMoreChannels = 16;
inline constexpr int kSpreadReach = 512;
inline constexpr int code_groups(int channels) { return (channels + kCodeChannels - 1) / kCodeChannels; }

// What becomes of a sum, as in ONNX Runtime:
//   code   = clamp(round_half_even(sum · multiplier[channel]) + zero_point, lowest, highest)
//   number = sum · multiplier[channel]
// All per channel, with kMoreChannels behind the last one that are read and not used.
struct Requantization {
  const std::int32_t* start;  // what a sum begins with: the bias, less the zero point's share
  const float* multiplier;
  int zero_point = 0;
  int lowest = 0;
  int highest = 255;
};

// The sum of two codes' numbers as a code: round_half_even(clamp((a + b) / scale)) + zero_point, where a is
// scale_a · (code_a - zero_a): ONNX's DequantizeLinear, Sum and QuantizeLinear as they are written. (ONNX
// Runtime's fused QLinearAdd rounds otherwise, and not the same on all processors.)
struct CodeSum {
  float scale_a, scale_b, scale;
  int zero_a, zero_b, zero_point;
  int lowest, highest;
};

struct IntegerKernels {
  std::string_view name;
  int lanes;
  int weight_bytes;  // of each number in `packed`, a signed integer

  // Convolution of a code map that has its padding around it already: pad_* are 0. weight: int8
  // [out][in / groups][kh][kw], between -127 and 127. Groups of channels: all in one, or depthwise.
  std::int64_t (*conv_packed_size)(const ConvShape&);  // bytes
  void (*conv_pack)(const ConvShape&, const std::int8_t* weight, void* packed);
  void (*conv_unpack)(const ConvShape&, const void* packed, std::int8_t* weight);
  void (*conv_to_codes)(const ConvShape&, const std::uint8_t* in, const void* packed, const Requantization&,
                        std::uint8_t* out);
  // A block of numbers, [out][height][width][lanes].
  void (*conv_to_numbers)(const ConvShape&, const std::uint8_t* in, const void* packed, const Requantization&,
                          real* out);

  // Output channels that lie together in `packed`: a convolution of so many of them, from a multiple on, is
  // one of its own.
  int (*conv_tile)(const ConvShape&);
  // `packed` from a stream of 1, 2 or 4 bits a weight, in its order (kernels/unpack_bits.h). 4 bits stand for
  // code - 8, 2 for code - 2, 1 for 1 or -1. Reads and writes up to kSpreadReach bytes too many.
  void (*conv_spread)(const ConvShape&, int bits, const std::uint8_t* stream, void* packed);
  // numbers[i] = levels[code i], of 1 to 8 bits. Reads and writes as far.
  void (*spread_levels)(int bits, const std::uint8_t* stream, std::int64_t count, const real* levels,
                        real* numbers);

  // The same convolution where few weights are not 0 (kernels/integer_sparse.h). Not depthwise.
  std::int64_t (*sparse_packed_size)(const ConvShape&, const std::int8_t* weight);  // bytes
  void (*sparse_pack)(const ConvShape&, const std::int8_t* weight, void* packed);
  void (*sparse_unpack)(const ConvShape&, const void* packed, std::int8_t* weight);
  void (*sparse_to_codes)(const ConvShape&, const std::uint8_t* in, const void* packed, const Requantization&,
                          std::uint8_t* out);
  void (*sparse_to_numbers)(const ConvShape&, const std::uint8_t* in, const void* packed,
                            const Requantization&, real* out);

  // For convolutions of fewer than four channels, which would leave most of a dot product of four empty: a
  // row's taps become channels, those of tap kx from kx · in_channels on, with the padding around them. What
  // is left to do is a convolution of that map, [rows][out_width], with kernel [kh][1] and no stride across.
  void (*gather_taps)(const ConvShape&, int zero_point, const std::uint8_t* in, std::uint8_t* out);

  void (*max_pool)(const PoolShape&, const std::uint8_t* in, std::uint8_t* out);
  // The mean of a window of n pixels from its sum: multiplier[n - 1] is scale_in / (scale_out · n).
  void (*average_pool)(const PoolShape&, int zero_point_in, const std::uint8_t* in, const Requantization&,
                       std::uint8_t* out);
  void (*add)(std::int64_t size, const std::uint8_t* a, const std::uint8_t* b, const CodeSum&,
              std::uint8_t* out);

  void (*to_codes)(const real* in, int channels, int pixels, float scale, int zero_point, int highest,
                   std::uint8_t* out);
  void (*to_numbers)(const std::uint8_t* in, int channels, int pixels, float scale, int zero_point,
                     real* out);
};

// Those for a variant's register width; of several, the fastest that gives known answers here.
const IntegerKernels& integer_kernels(const Kernels& kernels);
// All of them that do, the fastest first.
std::vector<const IntegerKernels*> all_integer_kernels(const Kernels& kernels);

}  // namespace espalier
