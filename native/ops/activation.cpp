// Element-wise nonlinearities. Each gradient is a function of the output, so the output may take
// the input's memory.
#include "core/training_only.h"
#include "ops/configure.h"
#include "ops/op.h"

namespace espalier {
namespace {

constexpr Field kLeakyFields[] = {
    {.name = "slope",
     .target = &Attributes::slope,
     .summary = "Slope for negative inputs.",
     .minimum = 0,
     .maximum = 1},
};

void configure(Node& node) { node.out_shape = node.in_shape(); }

template <Activation kind>
void forward(const BlockContext& c) {
  // The layer before has done it, if it is still there.
  if (c.node.rectifier != Rectifier::kNone && c.in[0] == c.out) return;
  c.kernels.activation_forward(kind, static_cast<real>(c.node.attributes.slope),
                               c.node.out_shape.size() * c.kernels.lanes, c.in[0], c.out);
}

template <Activation kind>
void backward(const BlockContext& c) {
  if (!c.grad_in[0]) return;
  c.kernels.activation_backward(kind, static_cast<real>(c.node.attributes.slope),
                                c.node.out_shape.size() * c.kernels.lanes, c.out, c.grad_out, c.grad_in[0]);
}

template <Activation kind>
consteval OpType row(std::string_view name, std::string_view summary, std::span<const Field> fields = {}) {
  return {.name = name,
          .summary = summary,
          .fields = fields,
          .configure = configure,
          .forward = forward<kind>,
          .backward = training_only(backward<kind>),
          .needs_output = true,
          .recompute = true,
          .in_place = true};
}

}  // namespace

constinit const OpType kRelu = row<Activation::kRelu>("relu", "max(x, 0).");
constinit const OpType kRelu6 = row<Activation::kRelu6>("relu6", "min(max(x, 0), 6).");
constinit const OpType kLeakyRelu =
    row<Activation::kLeakyRelu>("leaky_relu", "x, or slope·x where x is negative.", kLeakyFields);
constinit const OpType kTanh = row<Activation::kTanh>("tanh", "Hyperbolic tangent.");
constinit const OpType kSigmoid = row<Activation::kSigmoid>("sigmoid", "1 / (1 + e^-x).");

}  // namespace espalier
