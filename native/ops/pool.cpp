// Max and average pooling over a sliding window. Padding never wins a maximum and is not counted
// in an average. A tie of maxima sends the gradient to the first in reading order.
#include "core/training_only.h"
#include "ops/configure.h"
#include "ops/op.h"
#include "ops/shapes.h"

namespace espalier {
namespace {

constexpr Field kFields[] = {
    {.name = "kernel",
     .target = &Attributes::kernel,
     .summary = "Height and width of the window.",
     .required = true,
     .minimum = 1,
     .maximum = 255},
    {.name = "stride",
     .target = &Attributes::stride,
     .summary = "Input pixels from one window to the next; the kernel if not given.",
     .minimum = 1,
     .maximum = 255},
    {.name = "padding",
     .target = &Attributes::padding,
     .summary = "Pixels around the image: \"same\", \"valid\", a number, [vertical, horizontal] or "
                "[top, left, bottom, right].",
     .maximum = 255},
};

void configure(Node& node) {
  Attributes& a = node.attributes;
  if (a.stride == Pair{0, 0}) a.stride = a.kernel;
  node.out_shape.channels = node.in_shape().channels;
  resolve_window(node, a.kernel, a.stride, {});
}

void configure_global(Node& node) {
  const Shape& in = node.in_shape();
  node.attributes.kernel = node.attributes.stride = {in.height, in.width};
  node.out_shape = {in.channels, 1, 1};
}

void max_forward(const BlockContext& c) { c.kernels.max_pool_forward(pool_shape(c.node), c.in[0], c.out); }
void max_backward(const BlockContext& c) {
  if (!c.grad_in[0]) return;
  c.kernels.max_pool_backward(pool_shape(c.node), c.in[0], c.out, c.grad_out, c.grad_in[0]);
}
void avg_forward(const BlockContext& c) { c.kernels.avg_pool_forward(pool_shape(c.node), c.in[0], c.out); }
void avg_backward(const BlockContext& c) {
  if (!c.grad_in[0]) return;
  c.kernels.avg_pool_backward(pool_shape(c.node), c.grad_out, c.grad_in[0]);
}

}  // namespace

constinit const OpType kMaxPool{.name = "max_pool",
                                .summary = "Largest value of each window.",
                                .fields = kFields,
                                .configure = configure,
                                .forward = max_forward,
                                .backward = training_only(max_backward),
                                .needs_input = true,
                                .needs_output = true,
                                .recompute = true};
constinit const OpType kAvgPool{.name = "avg_pool",
                                .summary = "Mean of each window.",
                                .fields = kFields,
                                .configure = configure,
                                .forward = avg_forward,
                                .backward = training_only(avg_backward),
                                .recompute = true};
constinit const OpType kGlobalAvgPool{.name = "global_avg_pool",
                                      .summary = "Mean of each channel over the whole image.",
                                      .fields = {},
                                      .configure = configure_global,
                                      .forward = avg_forward,
                                      .backward = training_only(avg_backward),
                                      .recompute = true};

}  // namespace espalier
