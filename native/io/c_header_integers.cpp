// Layers on codes as C. The walk is that of runtime/reference.cpp, which decides what has an integer form and
// defines its arithmetic: where that one computes, this one writes the same computation down.
#include <algorithm>
#include <set>

#include "io/c_header_weights.h"
#include "io/c_header_writer.h"
#include "ops/op.h"
#include "ops/shapes.h"
#include "ops/weights.h"
#include "runtime/format.h"
#include "runtime/instructions.h"
#include "runtime/tail.h"

namespace espalier::c_header {
namespace {

// Of integers: sums from the bias on, then codes, or numbers where no quantizer follows.
void convolve(Writer& writer, const Node& node, const LayerWeights& weights, const Value& in) {
  const ConvShape& s = weights.shape;
  const Tail tail = tail_of(writer.graph, node.index + 1);
  const std::string from = writer.codes(in);
  const CodeGrid in_grid = in.grid;
  Value& out = writer.values[node.index + 1];
  std::string to;
  if (tail.quantizer) {
    to = writer.begin_codes(out, node.out_shape, grid_of(*tail.quantizer, writer.effective.data()));
  } else {
    to = writer.begin_numbers(out, node.out_shape);
  }
  std::vector<std::int32_t> bias;
  std::vector<float> multipliers;
  for (std::size_t o = 0; o < static_cast<std::size_t>(s.out_channels); ++o) {
    const float sum_scale = in_grid.scale * weights.scales[o];
    multipliers.push_back(tail.quantizer ? sum_scale / out.grid.scale : sum_scale);
    bias.push_back(weights.bias.empty()
                       ? 0
                       : bias_code(static_cast<float>(weights.bias[o]), in_grid.scale, weights.scales[o]));
  }
  writer.data += array("int32_t", writer.table("bias", node), bias) +
                 array("float", writer.table("multipliers", node), multipliers);
  const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
  const std::vector<float> all(weights.integers.begin(), weights.integers.end());
  const std::string unpack = unpack_row(writer, node, packed(all, true), row, true);
  std::string result = "(float)sum * " + writer.table("multipliers", node) + "[c]";
  if (tail.quantizer) {
    const CodeRange range = range_of(out.grid, tail.rectifier);
    result = writer.name + "_requantize(sum, " + writer.table("multipliers", node) + "[c], " +
             text(out.grid.zero_point) + ", " + text(range.lowest) + ", " + text(range.highest) + ")";
  }
  sum_products(writer, s,
               {.number = "signed char",
                .row = writer.memory.use(writer.memory.make(row, false)),
                .unpack = unpack,
                .sum = "int32_t",
                .bias = writer.table("bias", node) + "[c]",
                .term = fill("sum += row[TAP] * (FROM[PIXEL] - ZERO);",
                             {{"FROM", from}, {"ZERO", text(in_grid.zero_point)}}),
                .out = to,
                .result = result});
  if (tail.quantizer) writer.end_tail(node);
}

void quantize(Writer& writer, const Node& node) {
  Value& in = writer.values[static_cast<std::size_t>(node.inputs[0])];
  Value& out = writer.values[node.index + 1];
  const CodeGrid grid = grid_of(node, writer.effective.data());
  if (in.is_codes && in.grid == grid) {
    out = in;
    return;
  }
  const Shape shape = in.shape;
  const std::string from = writer.numbers(in), to = writer.begin_codes(out, shape, grid);
  writer.line(each(shape.size(), fill("OUT[i] = NAME_quantize(IN[i], SCALE, ZERO, HIGHEST);",
                                      {{"NAME", writer.name},
                                       {"OUT", to},
                                       {"IN", from},
                                       {"SCALE", text(double{grid.scale})},
                                       {"ZERO", text(grid.zero_point)},
                                       {"HIGHEST", text(grid.highest)}})));
}

}  // namespace

bool write_on_codes(Writer& writer, const Node& node) {
  const auto id = [&](std::size_t i) { return static_cast<std::size_t>(node.inputs[i]); };
  Value& out = writer.values[node.index + 1];
  Value& first = writer.values[id(0)];
  if (node.op == &kFakeQuantize) {
    quantize(writer, node);
    return true;
  }
  if (node.op == &kDropout || node.op == &kFlatten) {
    out = first;
    return true;
  }
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Value& in = writer.values[id(i)];
    if (!in.is_codes || (in.shape != node.in_shapes[i] && node.op != &kDense)) return false;
  }
  if (has_weights(node)) {
    const LayerWeights weights = layer_weights(node, conv_shape(node), writer.effective.data());
    if (weights.integers.empty()) return false;
    convolve(writer, node, weights, first);
    return true;
  }
  const bool average = node.op == &kAvgPool || node.op == &kGlobalAvgPool;
  const PoolShape pool = average || node.op == &kMaxPool ? pool_shape(node) : PoolShape{};
  const Shape& shape = node.out_shape;
  const std::string from = writer.codes(first), zero = text(first.grid.zero_point);
  const std::string pixel =
      from + "[(c * " + text(pool.in_height) + " + sy) * " + text(pool.in_width) + " + sx]";
  const std::string at = fill("[(c * H + y) * W + x]", {{"H", text(shape.height)}, {"W", text(shape.width)}});
  const std::string pixels =
      fill("for (c = 0; c < C; ++c) for (y = 0; y < H; ++y) for (x = 0; x < W; ++x) {\n      ",
           {{"C", text(shape.channels)}, {"H", text(shape.height)}, {"W", text(shape.width)}});
  if (node.op == &kRelu) {
    const CodeGrid grid = first.grid;
    const std::string to = writer.begin_codes(out, shape, grid);
    writer.line(
        each(shape.size(), to + "[i] = " + from + "[i] > " + zero + " ? " + from + "[i] : " + zero + ";"));
    return true;
  }
  if (node.op == &kMaxPool) {
    const CodeGrid grid = first.grid;
    const std::string to = writer.begin_codes(out, shape, grid);
    writer.line(pixels + "unsigned char best = 0;\n      " +
                window(pool, 1, 1, "if (" + pixel + " > best) best = " + pixel + ";") + "\n      " + to + at +
                " = best;\n  }");
    return true;
  }
  const bool sum = node.op == &kAdd && node.inputs.size() == 2;
  if (!average && !sum && node.op != &kConcat) return false;
  const Tail tail = tail_of(writer.graph, node.index + 1);
  if (!tail.quantizer) return false;
  const CodeGrid grid = grid_of(*tail.quantizer, writer.effective.data());
  const CodeRange range = range_of(grid, tail.rectifier);
  const std::string to = writer.begin_codes(out, shape, grid);
  const std::string bounds = text(grid.zero_point) + ", " + text(range.lowest) + ", " + text(range.highest);
  if (average) {
    std::set<int> counts;  // of the pixels of a window; few, so there is a multiplier for each
    for (int y = 0; y < pool.out_height; ++y) {
      for (int x = 0; x < pool.out_width; ++x) {
        const auto inside = [](int o, int stride, int pad, int kernel, int size) {
          return std::min(o * stride - pad + kernel, size) - std::max(o * stride - pad, 0);
        };
        counts.insert(inside(y, pool.stride_height, pool.pad_top, pool.kernel_height, pool.in_height) *
                      inside(x, pool.stride_width, pool.pad_left, pool.kernel_width, pool.in_width));
      }
    }
    std::vector<float> multipliers(static_cast<std::size_t>(*counts.rbegin()) + 1);
    for (const int count : counts) {
      multipliers[static_cast<std::size_t>(count)] =
          first.grid.scale / (grid.scale * static_cast<float>(count));
    }
    writer.data += array("float", writer.table("multipliers", node), multipliers);
    writer.line(pixels + "int32_t sum = 0;\n      int count = 0;\n      " +
                window(pool, 1, 1, "sum += " + pixel + " - " + zero + ";\n        ++count;") + "\n      " +
                to + at + " = " + writer.name + "_requantize(sum, " + writer.table("multipliers", node) +
                "[count], " + bounds + ");\n  }");
  } else if (sum) {
    const Value& other = writer.values[id(1)];
    const auto number = [&](const Value& value) {
      return "(float)(" + writer.codes(value) + "[i] - " + text(value.grid.zero_point) + ") * " +
             text(double{value.grid.scale});
    };
    writer.line(each(
        shape.size(),
        fill("{\n    const float a = A, b = B;\n    const float t = NAME_clamp((a + b) / SCALE, LOW, HIGH);\n"
             "    OUT[i] = (unsigned char)NAME_round(t + ZERO);\n  }",
             {{"NAME", writer.name},
              {"SCALE", text(double{grid.scale})},
              {"LOW", text(range.lowest - grid.zero_point)},
              {"HIGH", text(range.highest - grid.zero_point)},
              {"OUT", to},
              {"ZERO", text(double(grid.zero_point))},
              {"A", number(first)},
              {"B", number(other)}})));
  } else {
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Value& in = writer.values[id(i)];
      std::vector<int> translated;
      for (int code = 0; code <= in.grid.highest; ++code) {
        const float number = static_cast<float>(code - in.grid.zero_point) * in.grid.scale;
        translated.push_back(
            std::clamp(in.grid == grid ? code : code_of(number, grid), range.lowest, range.highest));
      }
      const std::string codes_of_input = writer.table("codes" + text(i) + "_", node);
      writer.data += array("unsigned char", codes_of_input, translated);
      writer.line(each(in.shape.size(), to + "[i + " + text(begin) + "] = " + codes_of_input + "[" +
                                            writer.codes(in) + "[i]];"));
      begin += in.shape.size();
    }
  }
  writer.end_tail(node);
  return true;
}

}  // namespace espalier::c_header
