// What int1, int2 and int4 have in common. Weights stay in memory in so many bits; those of a tile of output
// channels are spread out at a time, and multiply all pixels of a block of images before the next ones are.
//
// packed: for each tile, a stream of its weights in the order of the kernel (IntegerKernels::conv_spread).
#pragma once

#include <algorithm>

#include "runtime/bit_stream.h"
#include "runtime/format.h"

namespace espalier {

// The convolution of the output channels [first, first + out_channels) by itself.
struct OutputTile {
  ConvShape shape;
  std::int64_t first_input = 0;  // byte of its first channel in a code map
};
inline OutputTile output_tile(const ConvShape& whole, const IntegerKernels& kernels, int first) {
  OutputTile tile{.shape = whole};
  tile.shape.out_channels = std::min(kernels.conv_tile(whole), whole.out_channels - first);
  if (whole.groups > 1) {  // depthwise
    tile.shape.in_channels = tile.shape.groups = tile.shape.out_channels;
    tile.first_input = std::int64_t{first} * whole.in_height * whole.in_width * kernels.lanes;
  }
  return tile;
}

template <int Bits>
struct LowBit {
  // Codes 0 … 2^bits - 1 stand for code - 2^(bits - 1), or for -1 and 1.
  static constexpr int kStep = Bits == 1 ? 2 : 1;
  static constexpr int kLowest = Bits == 1 ? -1 : -(1 << (Bits - 1));
  static constexpr int kHighest = kLowest + ((1 << Bits) - 1) * kStep;

  static bool accepts(const LayerWeights& weights) {
    return !weights.integers.empty() && std::ranges::all_of(weights.integers, [](int w) {
      return w >= kLowest && w <= kHighest && (w - kLowest) % kStep == 0;
    });
  }

  static std::int64_t stream_bytes(const ConvShape& tile, const IntegerKernels& kernels) {
    return kernels.conv_packed_size(tile) / kernels.weight_bytes * Bits / 8;
  }
  static std::int64_t spread_bytes(const ConvShape& shape, const IntegerKernels& kernels) {
    // The last tile of a depthwise layer may be one channel, which is packed as any layer's.
    const int last = (shape.out_channels - 1) / kernels.conv_tile(shape) * kernels.conv_tile(shape);
    return std::max(kernels.conv_packed_size(output_tile(shape, kernels, 0).shape),
                    kernels.conv_packed_size(output_tile(shape, kernels, last).shape)) +
           kSpreadReach;
  }

  static PackedBytes pack(const LayerWeights& weights, const Kernels&, const IntegerKernels& kernels) {
    const ConvShape& s = weights.shape;
    const std::int8_t* weight = weights.integers.data();
    const auto row = static_cast<std::ptrdiff_t>(weights.integers.size()) / s.out_channels;
    PackedBytes packed;
    PackedBytes bytes;
    BitWriter writer(packed, Bits);
    for (int o = 0; o < s.out_channels; o += kernels.conv_tile(s)) {
      const ConvShape tile = output_tile(s, kernels, o).shape;
      bytes.resize(static_cast<std::size_t>(kernels.conv_packed_size(tile)));
      kernels.conv_pack(tile, weight + o * row, bytes.data());
      for (std::size_t i = 0; i < bytes.size(); i += static_cast<std::size_t>(kernels.weight_bytes)) {
        // The low byte has it all, and what is nowhere may be any number that bits can write.
        const int value = static_cast<std::int8_t>(bytes[i]);
        writer.put(static_cast<unsigned>(std::max(value - kLowest, 0) / kStep));
      }
    }
    packed.reserve(packed.size() + std::size_t{kReachBytes});
    return packed;
  }

  static void unpack(const ConvShape& s, const Kernels&, const IntegerKernels& kernels,
                     const PackedBytes& packed, void* weights) {
    PackedBytes bytes(static_cast<std::size_t>(spread_bytes(s, kernels)));
    auto* weight = static_cast<std::int8_t*>(weights);
    const std::uint8_t* stream = packed.data();
    for (int o = 0; o < s.out_channels; o += kernels.conv_tile(s)) {
      const ConvShape tile = output_tile(s, kernels, o).shape;
      kernels.conv_spread(tile, Bits, stream, bytes.data());
      kernels.conv_unpack(tile, bytes.data(), weight);
      weight += tile.out_channels * tile.group_in() * tile.taps();
      stream += stream_bytes(tile, kernels);
    }
  }

  static void run(const RunContext& c) {
    const IntegerKernels& kernels = c.integer;
    const std::uint8_t* stream = c.packed;
    const std::int64_t pixels = std::int64_t{c.shape.out_height} * c.shape.out_width * kernels.lanes;
    for (int o = 0; o < c.shape.out_channels; o += kernels.conv_tile(c.shape)) {
      const OutputTile tile = output_tile(c.shape, kernels, o);
      const auto* in = static_cast<const std::uint8_t*>(c.in) + tile.first_input;
      Requantization requantization = *c.requantization;
      requantization.start += o;
      requantization.multiplier += o;
      kernels.conv_spread(tile.shape, Bits, stream, c.spread);
      if (c.to_codes) {
        kernels.conv_to_codes(tile.shape, in, c.spread, requantization,
                              static_cast<std::uint8_t*>(c.out) + o * pixels);
      } else {
        kernels.conv_to_numbers(tile.shape, in, c.spread, requantization,
                                static_cast<real*>(c.out) + o * pixels);
      }
      stream += stream_bytes(tile.shape, kernels);
    }
  }
};

template <int Bits>
constexpr WeightFormat low_bit_format(std::string_view name, std::string_view summary) {
  using Row = LowBit<Bits>;
  return {.name = name,
          .summary = summary,
          .integer = true,
          .accepts = Row::accepts,
          .pack = Row::pack,
          .unpack = Row::unpack,
          .run = Row::run,
          .spread_bytes = Row::spread_bytes,
          .bytes = all_bytes};
}

}  // namespace espalier
