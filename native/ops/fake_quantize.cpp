// Fake quantization of a feature map, per tensor and with an exact zero, as ONNX Runtime's QuantizeLinear and
// DequantizeLinear:
//
//   out = scale · (clamp(round(in / scale) + zero_point, 0, 2^bits - 1) - zero_point)
//
// round is half to even. backward is straight through inside the range and 0 where it clips; a learned scale
// gets LSQ's gradient (Esser et al. 2020). The compress/quantize pass inserts these layers and calibrates
// them.
#include <algorithm>

#include "core/math.h"
#include "core/training_only.h"
#include "ops/configure.h"
#include "ops/op.h"

namespace espalier {
namespace {

constexpr Field kFields[] = {
    {.name = "bits",
     .target = &Attributes::bits,
     .summary = "Bits of a feature's code.",
     .minimum = 1,
     .maximum = 8},
    {.name = "learned",
     .target = &Attributes::learned,
     .summary = "Trains the scale with the weights (LSQ)."},
};

enum { kScale, kZeroPoint };

void configure(Node& node) {
  node.out_shape = node.in_shape();
  add_parameter(node, "scale", {1}, Initializer::kOne, 1, node.attributes.learned);
  node.parameters.back().decays = false;
  add_parameter(node, "zero_point", {1}, Initializer::kZero, 1, false);
}

real scale_of(const BlockContext& c) {
  return std::max(c.value[c.node.parameters[kScale].offset], real(1e-12));
}
real zero_point_of(const BlockContext& c) { return c.value[c.node.parameters[kZeroPoint].offset]; }
real highest_of(const BlockContext& c) { return static_cast<real>((1 << c.node.attributes.bits) - 1); }
int size_of(const BlockContext& c) { return c.node.out_shape.size() * c.kernels.lanes; }

void forward(const BlockContext& c) {
  c.kernels.quantize_forward(size_of(c), scale_of(c), zero_point_of(c), highest_of(c), c.in[0], c.out);
}

void backward(const BlockContext& c) {
  real sum = 0;
  c.kernels.quantize_backward(size_of(c), scale_of(c), zero_point_of(c), highest_of(c), c.in[0], c.grad_out,
                              c.grad_in[0], &sum);
  if (!c.node.attributes.learned || c.frozen) return;
  const double size = c.node.out_shape.size();
  c.gradient[c.node.parameters[kScale].offset] +=
      sum * static_cast<real>(1 / math::sqrt(size * static_cast<double>(highest_of(c))));
}

}  // namespace

constinit const OpType kFakeQuantize{.name = "fake_quantize",
                                     .summary = "Rounds features to an 8-bit grid (or a coarser one).",
                                     .fields = kFields,
                                     .configure = configure,
                                     .forward = forward,
                                     .backward = training_only(backward),
                                     .needs_input = true,
                                     .recompute = true};

}  // namespace espalier
