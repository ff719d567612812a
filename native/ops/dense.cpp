// Fully connected layer: out[u] = bias[u] + sum over k of weight[u][k] · in[k].
//
// weight: [units][inputs]. Forward and input gradient are a convolution over one pixel. The weight
// gradient is a matrix product over a whole round of images (DESIGN.md section 1): each block
// leaves its inputs, transposed, and its output gradients in the round stash. Of a pruned layer the inputs
// stay in lanes: its gradient is a sum for each surviving weight.
#include <algorithm>

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
    {.name = "units",
     .target = &Attributes::units,
     .summary = "Number of outputs; \"classes\" is the number of classes of the model.",
     .required = true,
     .minimum = 1,
     .maximum = 1 << 20,
     .keyword = "classes",
     .keyword_value = Attributes::kClasses},
    {.name = "bias", .target = &Attributes::bias, .summary = "Adds a learned number to each output."},
    {.name = "quantize",
     .target = &Attributes::quantize,
     .summary =
         "Grids that the weights fall on: scheme, bits, granularity, group_size, learned, pinned_zero."},
};

void configure(Node& node) {
  const Attributes& a = node.attributes;
  node.out_shape = {a.units, 1, 1};
  const int inputs = node.in_shape().size();
  add_weights(node, {a.units, inputs}, inputs);
}

void prepare(const Node& node, const Kernels& kernels, const real* value, real* packed, Way way) {
  pack_weights(node, conv_shape(node), kernels, value, packed, way);
}

void forward(const BlockContext& c) { convolve(c, conv_shape(c.node)); }

// The stash: transposed inputs [64][transposed_stride], or inputs [64 / lanes][inputs][lanes] of a pruned
// layer, then output gradients [64 / lanes][units][lanes].
int transposed_stride(const Node& node) { return (node.in_shape().size() + 15) / 16 * 16; }
std::int64_t transposed_size(const Node& node) {
  return std::int64_t{kRoundImages} * transposed_stride(node);
}
std::int64_t stash_size(const Node& node) {
  return transposed_size(node) + std::int64_t{kRoundImages} * node.out_shape.channels;
}

void backward(const BlockContext& c) {
  convolve_back(c, conv_shape(c.node));
  if (c.frozen) return;
  const int inputs = c.node.in_shape().size();
  const int units = c.node.out_shape.channels;
  const int stride = transposed_stride(c.node);
  if (survivors_with_gradients(c.sparse)) {
    std::copy_n(c.in[0], std::int64_t{inputs} * c.kernels.lanes,
                c.stash + std::int64_t{c.image_in_round} * inputs);
  } else {
    c.kernels.transpose_block(c.in[0], inputs, stride, c.stash + std::int64_t{c.image_in_round} * stride);
  }
  std::copy_n(c.grad_out, std::int64_t{units} * c.kernels.lanes,
              c.stash + transposed_size(c.node) + std::int64_t{c.image_in_round} * units);
}

void round_backward(const RoundContext& c) {
  const int inputs = c.node.in_shape().size();
  const int units = c.node.out_shape.channels;
  const real* grads = c.stash + transposed_size(c.node);
  const int begin = units * c.part / c.parts;
  const int end = units * (c.part + 1) / c.parts;
  real* grad_weight = c.gradient + c.node.parameters[0].offset;
  if (const SparseLayer* sparse = survivors_with_gradients(c.sparse)) {
    if (c.first) {
      std::fill(grad_weight + std::int64_t{begin} * inputs, grad_weight + std::int64_t{end} * inputs,
                real{0});
    }
    c.kernels.sparse_dense_weight_gradient(sparse->forward.rows(), sparse->forward.places.data(), c.stash,
                                           std::int64_t{inputs} * c.kernels.lanes, grads, units, c.images,
                                           begin, end, !c.first, grad_weight);
  } else {
    c.kernels.dense_weight_gradient(c.stash, transposed_stride(c.node), grads, c.images, inputs, units, begin,
                                    end, !c.first, grad_weight);
  }
  if (!c.node.attributes.bias) return;
  real* grad_bias = c.gradient + c.node.parameters[1].offset;
  if (c.first) std::fill(grad_bias + begin, grad_bias + end, real{0});
  const int lanes = c.kernels.lanes;
  for (int image = 0; image < c.images; image += lanes) {
    c.kernels.channel_sums(grads + std::int64_t{image} * units + std::int64_t{begin} * lanes, end - begin, 1,
                           grad_bias + begin);
  }
}

std::int64_t macs(const Node& node) { return node.parameters[0].size; }

}  // namespace

constinit const OpType kDense{.name = "dense",
                              .summary = "Fully connected layer.",
                              .fields = kFields,
                              .configure = configure,
                              .forward = forward,
                              .backward = training_only(backward),
                              .macs = macs,
                              .needs_input = true,
                              .packed_size = packed_weight_size,
                              .prepare = prepare,
                              .stash_size = training_only(stash_size),
                              .round_backward = training_only(round_backward)};

}  // namespace espalier
