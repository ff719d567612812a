// Layers that move or add feature maps: flatten, residual addition, channel concatenation.
#include <algorithm>

#include "core/training_only.h"
#include "ops/configure.h"
#include "ops/op.h"

namespace espalier {
namespace {

// ---- flatten: [channels][height][width] is already the order of [channels·height·width].

void configure_flatten(Node& node) { node.out_shape = {node.in_shape().size(), 1, 1}; }

void copy(const BlockContext& c, const real* from, real* to) {
  if (to != from) std::copy_n(from, c.node.out_shape.size() * c.kernels.lanes, to);
}
void forward_flatten(const BlockContext& c) { copy(c, c.in[0], c.out); }
void backward_flatten(const BlockContext& c) {
  if (c.grad_in[0]) copy(c, c.grad_out, c.grad_in[0]);
}

// ---- add: out = in[0] + in[1] + …

void configure_add(Node& node) {
  node.out_shape = node.in_shape();
  for (const Shape& shape : node.in_shapes) {
    if (shape != node.out_shape) {
      spec_error(node, "inputs",
                 "adds " + to_string(node.out_shape) + " and " + to_string(shape) +
                     "; all inputs must have one shape");
    }
  }
}

void forward_add(const BlockContext& c) {
  const int size = c.node.out_shape.size() * c.kernels.lanes;
  c.kernels.add(size, c.in[0], c.in[1], c.out);
  for (std::size_t i = 2; i < c.node.inputs.size(); ++i) {
    c.kernels.add(size, c.out, c.in[i], c.out);
  }
}

void backward_add(const BlockContext& c) {
  for (std::size_t i = 0; i < c.node.inputs.size(); ++i) {
    if (c.grad_in[i]) copy(c, c.grad_out, c.grad_in[i]);
  }
}

// ---- concat: channels of in[0], then those of in[1], …

void configure_concat(Node& node) {
  node.out_shape = node.in_shape();
  node.out_shape.channels = 0;
  for (const Shape& shape : node.in_shapes) {
    if (shape.height != node.out_shape.height || shape.width != node.out_shape.width) {
      spec_error(node, "inputs",
                 "concatenates " + to_string(node.in_shape()) + " and " + to_string(shape) +
                     "; height and width must agree");
    }
    node.out_shape.channels += shape.channels;
  }
}

void forward_concat(const BlockContext& c) {
  real* out = c.out;
  for (std::size_t i = 0; i < c.node.inputs.size(); ++i) {
    out = std::copy_n(c.in[i], c.node.in_shapes[i].size() * c.kernels.lanes, out);
  }
}

void backward_concat(const BlockContext& c) {
  const real* grad = c.grad_out;
  for (std::size_t i = 0; i < c.node.inputs.size(); ++i) {
    const int size = c.node.in_shapes[i].size() * c.kernels.lanes;
    if (c.grad_in[i]) std::copy_n(grad, size, c.grad_in[i]);
    grad += size;
  }
}

}  // namespace

constinit const OpType kFlatten{.name = "flatten",
                                .summary = "A feature map as a vector.",
                                .fields = {},
                                .configure = configure_flatten,
                                .forward = forward_flatten,
                                .backward = training_only(backward_flatten),
                                .recompute = true,
                                .in_place = true};
constinit const OpType kAdd{.name = "add",
                            .summary = "Sum of two or more feature maps of one shape (residual connection).",
                            .fields = {},
                            .min_inputs = 2,
                            .max_inputs = 16,
                            .configure = configure_add,
                            .forward = forward_add,
                            .backward = training_only(backward_add),
                            .recompute = true,
                            .in_place = true};
constinit const OpType kConcat{.name = "concat",
                               .summary = "Two or more feature maps behind each other, by channel.",
                               .fields = {},
                               .min_inputs = 2,
                               .max_inputs = 16,
                               .configure = configure_concat,
                               .forward = forward_concat,
                               .backward = training_only(backward_concat),
                               .recompute = true};

}  // namespace espalier
