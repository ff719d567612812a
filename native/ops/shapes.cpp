#include "ops/shapes.h"

#include "ops/op.h"

namespace espalier {
namespace {

ConvShape shape_of_conv(const Node& node) {
  const Attributes& a = node.attributes;
  const Shape& in = node.in_shape();
  const Shape& out = node.out_shape;
  return {.in_channels = in.channels,
          .in_height = in.height,
          .in_width = in.width,
          .out_channels = out.channels,
          .out_height = out.height,
          .out_width = out.width,
          .kernel_height = a.kernel.height,
          .kernel_width = a.kernel.width,
          .stride_height = a.stride.height,
          .stride_width = a.stride.width,
          .dilation_height = a.dilation.height,
          .dilation_width = a.dilation.width,
          .pad_top = a.padding.top,
          .pad_left = a.padding.left,
          .groups = a.groups};
}

ConvShape shape_of_dense(const Node& node) {
  return {.in_channels = node.in_shape().size(), .out_channels = node.out_shape.channels};
}

}  // namespace

ConvShape conv_shape(const Node& node) {
  return node.op == &kDense ? shape_of_dense(node) : shape_of_conv(node);
}

PoolShape pool_shape(const Node& node) {
  const Attributes& a = node.attributes;
  return {.channels = node.in_shape().channels,
          .in_height = node.in_shape().height,
          .in_width = node.in_shape().width,
          .out_height = node.out_shape.height,
          .out_width = node.out_shape.width,
          .kernel_height = a.kernel.height,
          .kernel_width = a.kernel.width,
          .stride_height = a.stride.height,
          .stride_width = a.stride.width,
          .pad_top = a.padding.top,
          .pad_left = a.padding.left};
}

}  // namespace espalier
