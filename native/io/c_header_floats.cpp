// Layers on numbers as C.
#include "core/error.h"
#include "core/math.h"
#include "io/c_header_weights.h"
#include "io/c_header_writer.h"
#include "ops/op.h"
#include "ops/shapes.h"
#include "ops/weights.h"

namespace espalier::c_header {

void write_on_numbers(Writer& writer, const Node& node) {
  std::vector<std::string> in;
  for (const int input : node.inputs)
    in.push_back(writer.numbers(writer.values[static_cast<std::size_t>(input)]));
  Value& out = writer.values[node.index + 1];
  const Shape& shape = node.out_shape;
  const std::string to = writer.begin_numbers(out, shape);
  const std::string at = fill("[(c * H + y) * W + x]", {{"H", text(shape.height)}, {"W", text(shape.width)}});
  const std::string pixels =
      fill("for (c = 0; c < C; ++c) for (y = 0; y < H; ++y) for (x = 0; x < W; ++x) {\n      ",
           {{"C", text(shape.channels)}, {"H", text(shape.height)}, {"W", text(shape.width)}});
  const auto unary = [&](const std::string& f) {
    writer.line(
        each(shape.size(), "{\n    const float t = " + in[0] + "[i];\n    " + to + "[i] = " + f + ";\n  }"));
  };
  if (has_weights(node)) {
    const ConvShape s = conv_shape(node);
    const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
    const std::span<const real> weights = writer.numbers_of(weight_of(node));
    const std::string unpack = unpack_row(
        writer, node, packed(std::vector<float>(weights.begin(), weights.end()), false), row, false);
    std::string bias = "0";
    if (const ParameterInfo* info = bias_of(node)) {
      const std::span<const real> b = writer.numbers_of(*info);
      writer.data += array("float", writer.table("bias", node), std::vector<float>(b.begin(), b.end()));
      bias = writer.table("bias", node) + "[c]";
    }
    sum_products(writer, s,
                 {.number = "float",
                  .row = writer.memory.use(writer.memory.make(row, true)),
                  .unpack = unpack,
                  .sum = "float",
                  .bias = bias,
                  .term = fill("const float product = row[TAP] * FROM[PIXEL];\n        sum += product;",
                               {{"FROM", in[0]}}),
                  .out = to,
                  .result = "sum"});
    return;
  }
  const bool average = node.op == &kAvgPool || node.op == &kGlobalAvgPool;
  if (average || node.op == &kMaxPool) {
    const PoolShape s = pool_shape(node);
    const std::string pixel =
        in[0] + "[(c * " + text(s.in_height) + " + sy) * " + text(s.in_width) + " + sx]";
    if (average) {
      writer.line(pixels + "float sum = 0;\n      int count = 0;\n      " +
                  window(s, 1, 1, "sum += " + pixel + ";\n        ++count;") + "\n      " + to + at +
                  " = sum * (1.0f / (float)count);\n  }");
    } else {
      writer.line(pixels + "float best = 0;\n      int count = 0;\n      " +
                  window(s, 1, 1, "if (count++ == 0 || " + pixel + " > best) best = " + pixel + ";") +
                  "\n      " + to + at + " = best;\n  }");
    }
    return;
  }
  if (node.op == &kBatchNorm) {
    std::vector<float> scale, shift;
    for (std::size_t c = 0; c < static_cast<std::size_t>(shape.channels); ++c) {
      const auto p = [&](std::size_t i) { return double{writer.numbers_of(node.parameters[i])[c]}; };
      const double factor = p(0) * (1.0 / math::sqrt(p(3) + node.attributes.epsilon));
      scale.push_back(static_cast<float>(factor));
      shift.push_back(static_cast<float>(p(1) - p(2) * factor));
    }
    writer.data += array("float", writer.table("scale", node), scale) +
                   array("float", writer.table("shift", node), shift);
    writer.line(
        each(shape.size(),
             fill("{\n    const float t = IN[i] * SCALE[i / PLANE];\n    OUT[i] = t + SHIFT[i / PLANE];\n  }",
                  {{"IN", in[0]},
                   {"SCALE", writer.table("scale", node)},
                   {"SHIFT", writer.table("shift", node)},
                   {"PLANE", text(shape.pixels())},
                   {"OUT", to}})));
    return;
  }
  if (node.op == &kRelu) return unary("t > 0 ? t : 0");
  if (node.op == &kRelu6) return unary("t > 6 ? 6 : t > 0 ? t : 0");
  if (node.op == &kLeakyRelu) return unary("t > 0 ? t : " + text(node.attributes.slope) + " * t");
  if (node.op == &kTanh || node.op == &kSigmoid) {
    writer.needs_math = true;
    return unary(node.op == &kTanh ? "tanhf(t)" : "1 / (1 + expf(-t))");
  }
  if (node.op == &kAdd || node.op == &kConcat) {
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool add = node.op == &kAdd;
      writer.line(each(node.in_shapes[i].size(), to + "[i + " + text(begin) + "] " +
                                                     (add && i > 0 ? "+=" : "=") + " " + in[i] + "[i];"));
      if (!add) begin += node.in_shapes[i].size();
    }
    return;
  }
  throw Error(ErrorCode::kUnsupported, node.name,
              "is a layer of type " + std::string(node.op->name) +
                  ", which the C export does not have; export to ONNX");
}

}  // namespace espalier::c_header
