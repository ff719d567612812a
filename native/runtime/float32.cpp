// Weights as they are trained.
#include "runtime/format.h"

namespace espalier {
namespace {

bool accepts(const LayerWeights&) { return true; }

PackedBytes pack(const LayerWeights& weights, const Kernels& kernels, const IntegerKernels&) {
  PackedBytes packed(weights.values.size_bytes());
  kernels.conv_pack_forward(weights.shape, weights.values.data(), reinterpret_cast<real*>(packed.data()));
  return packed;
}

void run(const RunContext& c) {
  c.kernels.conv_forward(c.shape, static_cast<const real*>(c.in), reinterpret_cast<const real*>(c.packed),
                         c.bias, static_cast<real*>(c.out));
}

}  // namespace

constinit const WeightFormat kFloat32Format{.name = "float32",
                                            .summary = "Floating point, as trained.",
                                            .accepts = accepts,
                                            .pack = pack,
                                            .run = run};

}  // namespace espalier
