#include "ops/convolution.h"

#include "kernels/sparse_weights.h"

namespace espalier {

std::int64_t packed_weight_size(const Node& node, bool training) {
  return (training ? 2 : 1) * node.parameters[0].size;
}

void pack_weights(const Node& node, const ConvShape& shape, const Kernels& kernels, const real* value,
                  real* packed, Way way) {
  const ParameterInfo& weight = node.parameters[0];
  if (way == Way::kForward) {
    kernels.conv_pack_forward(shape, value + weight.offset, packed);
  } else {
    kernels.conv_pack_backward(shape, value + weight.offset, packed + weight.size);
  }
}

void convolve(const BlockContext& c, const ConvShape& shape) {
  const real* bias = c.node.attributes.bias ? c.value + c.node.parameters[1].offset : nullptr;
  if (c.sparse) {
    return c.kernels.sparse_forward(shape, c.sparse->forward.rows(), c.in[0], bias, c.scratch, c.out);
  }
  const real* in = c.kernels.conv_arrange ? c.kernels.conv_arrange(shape, c.in[0], c.scratch) : c.in[0];
  c.kernels.conv_forward(shape, in, c.packed, bias, c.out);
}

void convolve_back(const BlockContext& c, const ConvShape& shape) {
  if (!c.grad_in[0]) return;
  if (c.sparse) {
    return c.kernels.sparse_input_gradient(shape, c.sparse->backward.rows(), c.grad_out, c.scratch,
                                           c.grad_in[0]);
  }
  c.kernels.conv_input_gradient(shape, c.grad_out, c.packed + c.node.parameters[0].size, c.grad_in[0]);
}

const SparseLayer* survivors_with_gradients(const SparseLayer* sparse) {
  return sparse && !sparse->masked_gradients ? sparse : nullptr;
}

}  // namespace espalier
