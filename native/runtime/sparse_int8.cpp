// The weights of 8 bits that are left, on codes: four at a time, with where they belong.
#include "runtime/format.h"

#include <algorithm>

namespace espalier {
namespace {

bool accepts(const LayerWeights& weights) { return !weights.integers.empty() && !weights.is_depthwise(); }

// Of the quads, four channels at a tap.
double share(const LayerWeights& weights) {
  const ConvShape& s = weights.shape;
  const int taps = s.taps();
  std::int64_t left = 0, all = 0;
  for (int o = 0; o < s.out_channels; ++o) {
    const std::int8_t* row = weights.integers.data() + std::ptrdiff_t{o} * s.in_channels * taps;
    for (int i = 0; i < s.in_channels; i += kCodeChannels) {
      for (int tap = 0; tap < taps; ++tap, ++all) {
        int largest = 0;
        for (int c = i; c < std::min(i + kCodeChannels, s.in_channels); ++c) {
          largest = std::max(largest, std::abs(int{row[c * taps + tap]}));
        }
        left += largest > 0 ? 1 : 0;
      }
    }
  }
  return static_cast<double>(left) / static_cast<double>(all);
}

// Measured with bench --break-even, natively and in Chromium (native/README.md).
double break_even(const ConvShape& shape, const Kernels&, const IntegerKernels& integer) {
  const bool one_pixel = shape.out_height * shape.out_width == 1;
  // A single image's dense layer has its outputs side by side instead, and lists of one at a time are slow.
  if (integer.lanes == 1) return one_pixel ? 0 : 0.4;
  return one_pixel ? 0.65 : integer.lanes == 16 ? 0.5 : 0.55;
}

PackedBytes pack(const LayerWeights& weights, const Kernels&, const IntegerKernels& integer) {
  PackedBytes packed(
      static_cast<std::size_t>(integer.sparse_packed_size(weights.shape, weights.integers.data())));
  integer.sparse_pack(weights.shape, weights.integers.data(), packed.data());
  return packed;
}

void unpack(const ConvShape& shape, const Kernels&, const IntegerKernels& integer, const PackedBytes& packed,
            void* weights) {
  integer.sparse_unpack(shape, packed.data(), static_cast<std::int8_t*>(weights));
}

void run(const RunContext& c) {
  const auto* in = static_cast<const std::uint8_t*>(c.in);
  if (c.to_codes) {
    c.integer.sparse_to_codes(c.shape, in, c.packed, *c.requantization, static_cast<std::uint8_t*>(c.out));
  } else {
    c.integer.sparse_to_numbers(c.shape, in, c.packed, *c.requantization, static_cast<real*>(c.out));
  }
}

}  // namespace

constinit const WeightFormat kSparseInt8Format{
    .name = "sparse_int8",
    .summary = "The 8-bit integers that are not 0, on 8-bit features.",
    .integer = true,
    .accepts = accepts,
    .what = "groups of four weights",
    .share = share,
    .break_even = break_even,
    .pack = pack,
    .unpack = unpack,
    .run = run,
    .bytes = all_bytes};

}  // namespace espalier
