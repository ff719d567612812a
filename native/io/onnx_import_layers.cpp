// Layers without weights, and nodes that are no layers.
#include "io/onnx_import_operators.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace espalier::onnx_import {
namespace {

using onnx::DataType;

// As many windows as there are strides in the image; the odd pixel of padding behind it or before it.
void same(int extent, int kernel, int stride, int dilation, bool upper, int& before, int& after) {
  const std::int64_t windows = (extent + stride - 1) / stride;
  const std::int64_t reach = (windows - 1) * stride + std::int64_t{kernel - 1} * dilation + 1;
  const int pad = static_cast<int>(std::clamp<std::int64_t>(reach - extent, 0, 1 << 20));
  before = upper ? pad / 2 : pad - pad / 2;
  after = pad - before;
}

void keep(const Value& x, Value& out) {
  out.grid = x.grid;
  out.is_codes = x.is_codes;
}

void pool(NodeImport& node, const OpType& op) {
  const Value x = node.value(0);
  node.require(node.attribute("kernel_shape", Attribute::Type::kInts) != nullptr, "without a kernel_shape");
  Attributes a;
  a.kernel = node.pair(node.wholes("kernel_shape", {1, 1}));
  window(node, a, node.shape_of(x));
  if (a.dilation != Pair{1, 1}) node.refuse(", which has dilations");
  const Padding& p = a.padding;
  if (node.whole("count_include_pad", 0) != 0 && p != Padding{}) node.refuse(", which counts its padding");
  const Shape& in = node.shape_of(x);
  if (node.whole("ceil_mode", 0) != 0 &&
      ((in.height + p.top + p.bottom - a.kernel.height) % a.stride.height != 0 ||
       (in.width + p.left + p.right - a.kernel.width) % a.stride.width != 0)) {
    node.refuse(", which has windows that are partly outside (ceil_mode)");
  }
  Value out = node.append(op, {x}, a);
  if (&op == &kMaxPool) keep(x, out);
  node.set(out);
}

void activation(NodeImport& node, const OpType& op, Attributes attributes = {}) {
  node.set(node.append(op, {node.value(0)}, attributes));
}

}  // namespace

// ---- windows

void window(const NodeImport& node, Attributes& a, const Shape& in) {
  a.stride = node.pair(node.wholes("strides", {1, 1}));
  a.dilation = node.pair(node.wholes("dilations", {1, 1}));
  node.require(a.kernel.height >= 1 && a.kernel.width >= 1 && a.stride.height >= 1 && a.stride.width >= 1 &&
                   a.dilation.height >= 1 && a.dilation.width >= 1,
               "with a kernel, stride or dilation that is not above 0");
  const std::vector<std::int64_t> pads = node.wholes("pads", {0, 0, 0, 0});
  a.padding = {Padding::Mode::kExplicit, node.small(pads[0]), node.small(pads[1]), node.small(pads[2]),
               node.small(pads[3])};
  const std::string automatic = node.text("auto_pad", "NOTSET");
  if (automatic == "VALID") a.padding = {};
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    const bool upper = automatic == "SAME_UPPER";
    same(in.height, a.kernel.height, a.stride.height, a.dilation.height, upper, a.padding.top,
         a.padding.bottom);
    same(in.width, a.kernel.width, a.stride.width, a.dilation.width, upper, a.padding.left, a.padding.right);
  }
  for (const int pad : {a.padding.top, a.padding.left, a.padding.bottom, a.padding.right}) {
    node.require(pad >= 0 && pad <= 255, "with a padding that is not from 0 to 255");
  }
  node.require(a.kernel.height <= 255 && a.kernel.width <= 255 && a.stride.height <= 255 &&
                   a.stride.width <= 255 && a.dilation.height <= 255 && a.dilation.width <= 255,
               "with a kernel, stride or dilation above 255");
}

void read_max_pool(NodeImport& node) { pool(node, kMaxPool); }
void read_average_pool(NodeImport& node) { pool(node, kAvgPool); }

void read_global_average(NodeImport& node) { node.set(node.append(kGlobalAvgPool, {node.value(0)}, {})); }

// Over height and width: global average pooling by another name.
void read_reduce_mean(NodeImport& node) {
  const Constant* input = node.maybe_constant(1);
  std::vector<std::int64_t> axes = input ? input->wholes : node.wholes("axes", {});
  const Value x = node.value(0);
  for (std::int64_t& axis : axes) axis += axis < 0 ? 4 : 0;
  std::sort(axes.begin(), axes.end());
  if (x.flat || axes != std::vector<std::int64_t>{2, 3})
    node.refuse(" over other axes than height and width");
  Value out = node.append(kGlobalAvgPool, {x}, {});
  out.flat = node.whole("keepdims", 1) == 0;
  node.set(out);
}

// ---- activations

void read_relu(NodeImport& node) {
  const Value x = node.value(0);
  Value out = node.append(kRelu, {x}, {});
  keep(x, out);  // 0 is on every grid
  node.set(out);
}

void read_leaky_relu(NodeImport& node) {
  Attributes a;
  a.slope = node.number("alpha", 0.01);
  node.require(a.slope >= 0 && a.slope <= 1, "whose alpha is not from 0 to 1");
  activation(node, kLeakyRelu, a);
}

void read_tanh(NodeImport& node) { activation(node, kTanh); }
void read_sigmoid(NodeImport& node) { activation(node, kSigmoid); }

// From 0 to 6; from 0 on; or from one level of a grid to another, which leaves fewer bits of it.
void read_clip(NodeImport& node) {
  constexpr float kAny = std::numeric_limits<float>::infinity();
  float low = -kAny, high = kAny;
  if (node.attribute("min", Attribute::Type::kFloat))
    low = node.attribute("min", Attribute::Type::kFloat)->number;
  if (node.attribute("max", Attribute::Type::kFloat))
    high = node.attribute("max", Attribute::Type::kFloat)->number;
  if (node.has_input(1)) low = node.scalar(1);
  if (node.has_input(2)) high = node.scalar(2);
  const Value x = node.value(0);
  if (x.grid && !x.is_codes && clip_to_bits(node, x, low, high)) return;
  if (low == 0 && high == 6) return activation(node, kRelu6);
  if (low == 0 && high >= std::numeric_limits<float>::max()) return read_relu(node);
  node.refuse(" from " + nlohmann::json(low).dump() + " to " + nlohmann::json(high).dump() +
              "; the engine has those from 0 to 6 and from 0 on");
}

// ---- shapes

void read_flatten(NodeImport& node) {
  const std::int64_t axis = node.whole("axis", 1);
  if (axis != 1 && axis != (node.value(0).flat ? -1 : -3)) node.refuse(", whose axis is not 1");
  node.set(node.flattened(node.value(0)));
}

// To vectors, or to what it is already.
void read_reshape(NodeImport& node) {
  std::vector<std::int64_t> dims = node.wholes("shape", {});
  if (node.has_input(1)) dims = node.constant(1).wholes;
  Value x = node.value(0);
  const Shape shape = node.shape_of(x);
  const auto is = [&](std::size_t i, std::int64_t extent) {
    return dims[i] == extent || dims[i] == -1 || (dims[i] == 0 && !x.flat);
  };
  if (dims.size() == 2 && (dims[1] == -1 || dims[1] == shape.size())) return node.set(node.flattened(x));
  if (dims.size() == 4 && is(1, shape.channels) && is(2, shape.height) && is(3, shape.width) &&
      (!x.flat || shape.pixels() == 1 || (x.id == 0 && node.network().flat_image))) {
    x.flat = false;
    return node.set(x);
  }
  node.refuse(", which the engine has only from maps to vectors");
}

void read_squeeze(NodeImport& node) {
  Value x = node.value(0);
  if (node.shape_of(x).pixels() != 1) node.refuse(" of a map that is larger than one pixel");
  x.flat = true;
  node.set(x);
}

void read_concat(NodeImport& node) {
  const std::int64_t axis = node.whole("axis", 1);
  std::vector<Value> from;
  for (std::size_t i = 0; i < node.input_count(); ++i) from.push_back(node.value(i));
  node.require(!from.empty(), "without inputs");
  if (axis != 1 && axis != (from[0].flat ? -1 : -3)) node.refuse(", whose axis is not that of the channels");
  if (from.size() == 1) return node.set(from[0]);
  node.set(node.append(kConcat, std::move(from), {}));
}

// ---- no layers

void read_constant(NodeImport& node) {
  Constant c;
  if (const Attribute* tensor = node.attribute("value", Attribute::Type::kTensor)) {
    c = constant_of(tensor->tensor);
  } else if (const Attribute* number = node.attribute("value_float", Attribute::Type::kFloat)) {
    c.numbers = {number->number};
  } else if (const Attribute* list = node.attribute("value_ints", Attribute::Type::kInts)) {
    c.type = DataType::kInt64;
    c.wholes = list->wholes;
    c.dims = {static_cast<std::int64_t>(c.wholes.size())};
  } else {
    node.refuse(", whose value is neither a tensor nor numbers");
  }
  node.set_constant(std::move(c));
}

void read_identity(NodeImport& node) {
  if (const Constant* c = node.maybe_constant(0)) return node.set_constant(*c);
  node.set(node.value(0));
}

void read_softmax(NodeImport& node) {
  Value v = node.value(0);
  node.require(node.shape_of(v).pixels() == 1, "over something else than classes");
  v.classified = true;
  v.grid.reset();
  node.set(v);
}

}  // namespace espalier::onnx_import
