// Weights that share a few levels (Han et al. 2016), on numbers: each is kept as the index of its level, in 1
// to 8 bits. The levels of a tile of output channels are looked up at a time, for all pixels of a block of
// images.
//
// packed: the bits of an index, int32; the levels, [2^bits]; then, for each tile, a stream of indices in the
// order of the float kernel, to a multiple of eight of them.
#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/bit_stream.h"
#include "runtime/format.h"

namespace espalier {
namespace {

constexpr int kTileChannels = 10;  // two tiles of five or one of ten (kernels/tiles.h): a layer's own
constexpr std::size_t kHeaderBytes = sizeof(std::int32_t);

// Groups of channels are few and small: all at once.
int tile_channels(const ConvShape& s) { return s.groups > 1 ? s.out_channels : kTileChannels; }
ConvShape tile_at(ConvShape s, int first) {
  s.out_channels = std::min(tile_channels(s), s.out_channels - first);
  return s;
}
std::int64_t count_of(const ConvShape& s) { return std::int64_t{s.out_channels} * s.group_in() * s.taps(); }
std::int64_t stream_bytes(const ConvShape& tile, int bits) { return (count_of(tile) + 7) / 8 * bits; }
int bits_of(std::size_t levels) { return std::max(static_cast<int>(std::bit_width(levels - 1)), 1); }

struct Packed {
  explicit Packed(const std::uint8_t* packed) {
    std::memcpy(&bits, packed, sizeof(bits));
    levels = reinterpret_cast<const real*>(packed + kHeaderBytes);
    stream = packed + kHeaderBytes + (sizeof(real) << bits);
  }
  std::int32_t bits;
  const real* levels;
  const std::uint8_t* stream;
};

// Pruned weights are 0, whatever their level.
bool accepts(const LayerWeights& weights) {
  if (sizeof(real) != sizeof(float) || weights.levels.empty() || weights.levels.size() > 256) return false;
  for (std::size_t i = 0; i < weights.codes.size(); ++i) {
    if (weights.levels[static_cast<std::size_t>(weights.codes[i])] != weights.values[i]) return false;
  }
  return true;
}

PackedBytes pack(const LayerWeights& weights, const Kernels& kernels, const IntegerKernels&) {
  const ConvShape& s = weights.shape;
  const std::int32_t bits = bits_of(weights.levels.size());
  PackedBytes packed(kHeaderBytes + (sizeof(real) << bits));
  std::memcpy(packed.data(), &bits, sizeof(bits));
  std::memcpy(packed.data() + kHeaderBytes, weights.levels.data(), weights.levels.size() * sizeof(real));
  const std::vector<real> codes(weights.codes.begin(), weights.codes.end());
  const real* code = codes.data();
  aligned_vector<real> ordered;
  BitWriter writer(packed, bits);
  for (int o = 0; o < s.out_channels; o += tile_channels(s)) {
    const ConvShape tile = tile_at(s, o);
    const std::int64_t count = count_of(tile);
    ordered.assign(static_cast<std::size_t>((count + 7) / 8 * 8), real{0});
    kernels.conv_pack_forward(tile, code, ordered.data());
    for (const real index : ordered) writer.put(static_cast<unsigned>(index));
    code += count;
  }
  packed.reserve(packed.size() + std::size_t{kReachBytes});
  return packed;
}

// Where each weight lies: its number is packed in its place.
void unpack(const ConvShape& s, const Kernels& kernels, const IntegerKernels& integer,
            const PackedBytes& bytes, void* weights) {
  const Packed packed(bytes.data());
  const std::uint8_t* stream = packed.stream;
  auto* weight = static_cast<real*>(weights);
  for (int o = 0; o < s.out_channels; o += tile_channels(s)) {
    const ConvShape tile = tile_at(s, o);
    const auto count = static_cast<std::size_t>(count_of(tile));
    aligned_vector<real> numbers(count), places(count), values(count + std::size_t{kSpreadReach});
    for (std::size_t i = 0; i < count; ++i) numbers[i] = static_cast<real>(i);
    kernels.conv_pack_forward(tile, numbers.data(), places.data());
    integer.spread_levels(packed.bits, stream, count_of(tile), packed.levels, values.data());
    for (std::size_t i = 0; i < count; ++i) weight[static_cast<std::size_t>(places[i])] = values[i];
    weight += count;
    stream += stream_bytes(tile, packed.bits);
  }
}

std::int64_t spread_bytes(const ConvShape& shape, const IntegerKernels&) {
  return (count_of(tile_at(shape, 0)) + kSpreadReach) * static_cast<std::int64_t>(sizeof(real));
}

void run(const RunContext& c) {
  const Packed packed(c.packed);
  const std::uint8_t* stream = packed.stream;
  const auto* in = static_cast<const real*>(c.in);
  if (c.kernels.conv_arrange) in = c.kernels.conv_arrange(c.shape, in, static_cast<real*>(c.scratch));
  const std::int64_t pixels = std::int64_t{c.shape.out_height} * c.shape.out_width * c.kernels.lanes;
  auto* weights = static_cast<real*>(c.spread);
  for (int o = 0; o < c.shape.out_channels; o += tile_channels(c.shape)) {
    const ConvShape tile = tile_at(c.shape, o);
    c.integer.spread_levels(packed.bits, stream, count_of(tile), packed.levels, weights);
    c.kernels.conv_forward(tile, in, weights, c.bias ? c.bias + o : nullptr,
                           static_cast<real*>(c.out) + o * pixels);
    stream += stream_bytes(tile, packed.bits);
  }
}

}  // namespace

constinit const WeightFormat kCodebookFormat{.name = "codebook",
                                             .summary = "Indices of 1 to 8 bits into a table of levels.",
                                             .accepts = accepts,
                                             .pack = pack,
                                             .unpack = unpack,
                                             .run = run,
                                             .scratch_bytes = conv_scratch_bytes,
                                             .spread_bytes = spread_bytes,
                                             .bytes = all_bytes};

}  // namespace espalier
