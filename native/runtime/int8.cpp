// Weights of 8 bits on codes: four products at a time, one byte a weight.
#include "core/training_only.h"
#include "runtime/format.h"

namespace espalier {
namespace {

bool accepts(const LayerWeights& weights) { return !weights.integers.empty(); }

PackedBytes pack(const LayerWeights& weights, const Kernels&, const IntegerKernels& integer) {
  PackedBytes packed(static_cast<std::size_t>(integer.conv_packed_size(weights.shape)));
  integer.conv_pack(weights.shape, weights.integers.data(), packed.data());
  return packed;
}

void unpack(const ConvShape& shape, const Kernels&, const IntegerKernels& integer, const PackedBytes& packed,
            void* weights) {
  integer.conv_unpack(shape, packed.data(), static_cast<std::int8_t*>(weights));
}

void run(const RunContext& c) {
  const auto* in = static_cast<const std::uint8_t*>(c.in);
  if (c.to_codes) {
    c.integer.conv_to_codes(c.shape, in, c.packed, *c.requantization, static_cast<std::uint8_t*>(c.out));
  } else {
    c.integer.conv_to_numbers(c.shape, in, c.packed, *c.requantization, static_cast<real*>(c.out));
  }
}

}  // namespace

constinit const WeightFormat kInt8Format{.name = "int8",
                                         .summary = "8-bit integers on 8-bit features.",
                                         .integer = true,
                                         .accepts = accepts,
                                         .pack = pack,
                                         .unpack = training_only(unpack),
                                         .run = run,
                                         .bytes = all_bytes};

}  // namespace espalier
