// Convolution (cross-correlation, as everywhere in the field):
//
//   out[o][y][x] = bias[o] + sum over i, ky, kx of
//                  weight[o][i][ky][kx] · in[i][y·stride + ky·dilation - top][x·stride + …]
//
// weight: [out_channels][in_channels / groups][kernel_height][kernel_width]; output channel o sees
// the input channels of its group only.
#include "core/training_only.h"
#include "kernels/sparse_weights.h"
#include "ops/configure.h"
#include "ops/convolution.h"
#include "ops/op.h"
#include "ops/shapes.h"
#include "ops/weights.h"

namespace espalier {
namespace {

constexpr Field kFields[] = {
    {.name = "out_channels",
     .target = &Attributes::out_channels,
     .summary = "Number of filters; \"depthwise\" groups default it to the input's channels.",
     .minimum = 1,
     .maximum = 1 << 16},
    {.name = "kernel",
     .target = &Attributes::kernel,
     .summary = "Height and width of a filter.",
     .required = true,
     .minimum = 1,
     .maximum = 255},
    {.name = "stride",
     .target = &Attributes::stride,
     .summary = "Input pixels from one output pixel to the next.",
     .minimum = 1,
     .maximum = 255},
    {.name = "dilation",
     .target = &Attributes::dilation,
     .summary = "Input pixels from one tap to the next.",
     .minimum = 1,
     .maximum = 255},
    {.name = "padding",
     .target = &Attributes::padding,
     .summary = "Zeros around the image: \"same\", \"valid\", a number, [vertical, horizontal] or "
                "[top, left, bottom, right].",
     .maximum = 255},
    {.name = "groups",
     .target = &Attributes::groups,
     .summary = "Independent groups of channels; \"depthwise\" is one for each input channel.",
     .minimum = 1,
     .maximum = 1 << 16,
     .keyword = "depthwise",
     .keyword_value = Attributes::kDepthwise},
    {.name = "bias", .target = &Attributes::bias, .summary = "Adds a learned number to each output channel."},
    {.name = "quantize",
     .target = &Attributes::quantize,
     .summary =
         "Grids that the weights fall on: scheme, bits, granularity, group_size, learned, pinned_zero."},
};

void configure(Node& node) {
  Attributes& a = node.attributes;
  if (a.stride == Pair{0, 0}) a.stride = {1, 1};
  const int in_channels = node.in_shape().channels;
  if (a.groups == Attributes::kDepthwise) {
    a.groups = in_channels;
    if (a.out_channels == 0) a.out_channels = in_channels;
  }
  if (a.out_channels == 0) {
    spec_error(node, "out_channels", "is missing; give the number of filters");
  }
  if (in_channels % a.groups != 0 || a.out_channels % a.groups != 0) {
    spec_error(node, "groups",
               std::to_string(a.groups) + " groups do not divide " + std::to_string(in_channels) +
                   " input and " + std::to_string(a.out_channels) + " output channels");
  }
  node.out_shape.channels = a.out_channels;
  resolve_window(node, a.kernel, a.stride, a.dilation);
  const int fan_in = in_channels / a.groups * a.kernel.height * a.kernel.width;
  add_weights(node, {a.out_channels, in_channels / a.groups, a.kernel.height, a.kernel.width}, fan_in);
}

void prepare(const Node& node, const Kernels& kernels, const real* value, real* packed, Way way) {
  pack_weights(node, conv_shape(node), kernels, value, packed, way);
}

std::int64_t scratch_size(const Node& node, const Kernels& kernels) {
  return kernels.conv_scratch ? kernels.conv_scratch(conv_shape(node)) : 0;
}

void forward(const BlockContext& c) { convolve(c, conv_shape(c.node)); }

void backward(const BlockContext& c) {
  const ConvShape shape = conv_shape(c.node);
  convolve_back(c, shape);
  if (c.frozen) return;
  real* grad_weight = c.gradient + c.node.parameters[0].offset;
  if (const SparseLayer* sparse = survivors_with_gradients(c.sparse)) {
    c.kernels.sparse_weight_gradient(shape, sparse->forward.rows(), sparse->forward.places.data(), c.in[0],
                                     c.grad_out, c.scratch, grad_weight);
  } else {
    c.kernels.conv_weight_gradient(shape, c.in[0], c.grad_out, grad_weight);
  }
  if (c.node.attributes.bias) {
    c.kernels.channel_sums(c.grad_out, shape.out_channels, c.node.out_shape.pixels(),
                           c.gradient + c.node.parameters[1].offset);
  }
}

std::int64_t macs(const Node& node) { return node.parameters[0].size * node.out_shape.pixels(); }

}  // namespace

constinit const OpType kConv{.name = "conv",
                             .summary = "2-D convolution, grouped or depthwise.",
                             .fields = kFields,
                             .configure = configure,
                             .forward = forward,
                             .backward = training_only(backward),
                             .macs = macs,
                             .needs_input = true,
                             .packed_size = packed_weight_size,
                             .prepare = prepare,
                             .scratch_size = scratch_size};

}  // namespace espalier
