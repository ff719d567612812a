// Weights as they are trained.
#include "core/training_only.h"
#include "runtime/format.h"

namespace espalier {
namespace {

bool accepts(const LayerWeights&) { return true; }

PackedBytes pack(const LayerWeights& weights, const Kernels& kernels, const IntegerKernels&) {
  PackedBytes packed;
  packed.reserve(weights.values.size_bytes() + std::size_t{kReachBytes});
  packed.resize(weights.values.size_bytes());
  kernels.conv_pack_forward(weights.shape, weights.values.data(), reinterpret_cast<real*>(packed.data()));
  return packed;
}

// Where each weight lies: its number is packed in its place.
void unpack(const ConvShape& shape, const Kernels& kernels, const IntegerKernels&, const PackedBytes& packed,
            void* weights) {
  const std::size_t count = packed.size() / sizeof(real);
  std::vector<real> numbers(count), places(count);
  for (std::size_t i = 0; i < count; ++i) numbers[i] = static_cast<real>(i);
  kernels.conv_pack_forward(shape, numbers.data(), places.data());
  const auto* from = reinterpret_cast<const real*>(packed.data());
  for (std::size_t i = 0; i < count; ++i) {
    static_cast<real*>(weights)[static_cast<std::size_t>(places[i])] = from[i];
  }
}

void run(const RunContext& c) {
  const auto* in = static_cast<const real*>(c.in);
  if (c.kernels.conv_arrange) in = c.kernels.conv_arrange(c.shape, in, static_cast<real*>(c.scratch));
  c.kernels.conv_forward(c.shape, in, reinterpret_cast<const real*>(c.packed), c.bias,
                         static_cast<real*>(c.out));
}

}  // namespace

constinit const WeightFormat kFloat32Format{.name = "float32",
                                            .summary = "Floating point, as trained.",
                                            .accepts = accepts,
                                            .pack = pack,
                                            .unpack = training_only(unpack),
                                            .run = run,
                                            .scratch_bytes = conv_scratch_bytes,
                                            .bytes = all_bytes};

}  // namespace espalier
