#include "ops/configure.h"

#include <algorithm>
#include <limits>

namespace espalier {

std::string to_string(const Shape& shape) {
  return std::to_string(shape.channels) + "x" + std::to_string(shape.height) + "x" +
         std::to_string(shape.width);
}

std::int64_t Node::parameter_count() const {
  std::int64_t count = 0;
  for (const ParameterInfo& info : parameters) count += info.trainable ? info.size : 0;
  return count;
}

void add_parameter(Node& node, std::string_view name, std::vector<int> shape, Initializer initializer,
                   int fan_in, bool trainable) {
  std::int64_t size = 1;
  for (const int extent : shape) size *= extent;
  constexpr std::int64_t kMaximum = std::int64_t{1} << 28;
  if (size > kMaximum) {
    spec_error(node, name,
               "has " + std::to_string(size) + " numbers; at most " + std::to_string(kMaximum) + " fit");
  }
  node.parameters.push_back({.name = node.name + "." + std::string(name),
                             .shape = std::move(shape),
                             .initializer = initializer,
                             .fan_in = fan_in,
                             .trainable = trainable,
                             .size = size});
}

namespace {

struct Extent {
  int out;
  int before;
  int after;
};

Extent resolve_extent(Node& node, Padding::Mode mode, int in, int kernel, int stride, int dilation,
                      int before, int after, const char* axis) {
  const int reach = (kernel - 1) * dilation + 1;
  if (mode == Padding::Mode::kSame) {
    const int out = (in + stride - 1) / stride;
    const int total = std::max((out - 1) * stride + reach - in, 0);
    return {out, total / 2, total - total / 2};
  }
  if (mode == Padding::Mode::kValid) before = after = 0;
  if (before >= reach || after >= reach) {
    spec_error(node, "padding",
               std::string("is as large as the kernel's ") + axis + " (" + std::to_string(reach) +
                   "), so an output would see nothing; use less");
  }
  if (in + before + after < reach) {
    spec_error(node, "kernel",
               std::string("reaches over ") + std::to_string(reach) + " pixels, but the padded input " +
                   to_string(node.in_shape()) + " has only " + std::to_string(in + before + after) + " in " +
                   axis + "; use a smaller kernel or more padding");
  }
  return {(in + before + after - reach) / stride + 1, before, after};
}

}  // namespace

void resolve_window(Node& node, Pair kernel, Pair stride, Pair dilation) {
  const Shape& in = node.in_shape();
  Padding& padding = node.attributes.padding;
  const Extent rows = resolve_extent(node, padding.mode, in.height, kernel.height, stride.height,
                                     dilation.height, padding.top, padding.bottom, "height");
  const Extent columns = resolve_extent(node, padding.mode, in.width, kernel.width, stride.width,
                                        dilation.width, padding.left, padding.right, "width");
  node.out_shape.height = rows.out;
  node.out_shape.width = columns.out;
  padding = {Padding::Mode::kExplicit, rows.before, columns.before, rows.after, columns.after};
}

}  // namespace espalier
