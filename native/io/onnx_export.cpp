// A graph as ONNX nodes. Values keep their layer's name. A value of a fake_quantize layer is the output of a
// DequantizeLinear, and what only moves codes (max_pool, flatten, relu) is put between another pair of the
// same grid, as quantization tools do: a runtime then sees DequantizeLinear → operator → QuantizeLinear and
// computes with integers.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/thread_pool.h"
#include "graph/executor.h"
#include "io/onnx.h"
#include "io/onnx_file.h"
#include "ops/op.h"
#include "ops/shapes.h"
#include "ops/weights.h"
#include "runtime/format.h"
#include "runtime/instructions.h"
#include "runtime/tail.h"

namespace espalier {
namespace {

using onnx::Attribute;
using onnx::DataType;

constexpr std::int64_t kOpset = 13, kOpsetOf4Bits = 21;

Attribute whole(std::string name, std::int64_t value) {
  return {.name = std::move(name), .type = Attribute::Type::kInt, .whole = value};
}
Attribute wholes(std::string name, std::vector<std::int64_t> values) {
  return {.name = std::move(name), .type = Attribute::Type::kInts, .wholes = std::move(values)};
}
Attribute number(std::string name, double value) {
  return {.name = std::move(name), .type = Attribute::Type::kFloat, .number = static_cast<float>(value)};
}

template <class Number, class Numbers>
std::string bytes_as(const Numbers& numbers) {
  std::string bytes;
  for (const auto value : numbers) {
    const auto element = static_cast<Number>(value);
    bytes.append(reinterpret_cast<const char*>(&element), sizeof(element));
  }
  return bytes;
}

std::string half_bytes(std::span<const std::int8_t> codes) {
  std::string bytes((codes.size() + 1) / 2, '\0');
  for (std::size_t i = 0; i < codes.size(); ++i) {
    bytes[i / 2] = static_cast<char>(bytes[i / 2] | (codes[i] & 15) << (i % 2 * 4));
  }
  return bytes;
}

std::vector<std::int64_t> pads_of(const Padding& padding) {
  return {padding.top, padding.left, padding.bottom, padding.right};
}
std::vector<std::int64_t> both(const Pair& pair) { return {pair.height, pair.width}; }

class Exporter {
 public:
  explicit Exporter(const Model& model)
      : graph_(model.graph), pool_(1), value_(make_effective(graph_, model.parameters, pool_, effective_)) {
    values_.resize(graph_.nodes.size() + 1);
    file_.name = graph_.name;
    file_.opset = kOpset;
    for (const Node& node : graph_.nodes) {
      if (weight_bits(node) <= 4) file_.opset = kOpsetOf4Bits;
    }
  }

  onnx::File write(const ModelNotes& notes) {
    load_image();
    for (const Node& node : graph_.nodes) {
      Value& out = values_[node.index + 1];
      if (out.name.empty()) out = layer(node);
    }
    end();
    const Shape& shape = graph_.input.shape;
    file_.inputs.push_back({.name = "image",
                            .dims = {onnx::Value::kSymbolic, shape.channels, shape.height, shape.width},
                            .summary = "Pixels from 0 to 255."});
    file_.outputs.push_back({.name = "logits", .dims = {onnx::Value::kSymbolic, graph_.classes}});
    // ONNX's own words for an image (its MetadataProps.md).
    file_.metadata["Image.NominalPixelRange"] = "NominalRange_0_255";
    if (shape.channels == 1) file_.metadata["Image.BitmapPixelFormat"] = "Gray8";
    if (shape.channels == 3) file_.metadata["Image.BitmapPixelFormat"] = "Rgb8";
    if (!notes.labels.empty())
      file_.metadata["labels"] =
          nlohmann::json(notes.labels).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (!notes.pipeline.empty()) file_.metadata["pipeline"] = notes.pipeline;
    return std::move(file_);
  }

 private:
  // A value of the graph as an ONNX tensor: [N][channels][height][width], or [N][channels] if flat.
  struct Value {
    std::string name;
    bool flat = false;
    bool on_grid = false;  // all its numbers are
    CodeGrid grid;
  };

  std::string fresh(std::string name) {
    while (!names_.insert(name).second) name += "_";
    return name;
  }
  std::string constant(const std::string& name, std::vector<std::int64_t> dims, DataType type,
                       std::string bytes) {
    const std::string unique = fresh(name);
    file_.constants.push_back(
        {.name = unique, .dims = std::move(dims), .type = type, .bytes = std::move(bytes)});
    return unique;
  }
  std::string floats(const std::string& name, std::vector<std::int64_t> dims, std::span<const real> numbers) {
    return constant(name, std::move(dims), DataType::kFloat, bytes_as<float>(numbers));
  }
  std::string scalar(const std::string& name, float value) {
    return constant(name, {}, DataType::kFloat, bytes_as<float>(std::array{value}));
  }
  std::string byte(const std::string& name, int value) {
    return constant(name, {}, DataType::kUint8, bytes_as<std::uint8_t>(std::array{value}));
  }
  std::string emit(const char* op, const std::string& name, std::vector<std::string> inputs,
                   std::vector<Attribute> attributes = {}) {
    const std::string out = fresh(name);
    file_.nodes.push_back({.name = out,
                           .op = op,
                           .inputs = std::move(inputs),
                           .outputs = {out},
                           .attributes = std::move(attributes)});
    return out;
  }

  const Value& input_of(const Node& node, std::size_t i = 0) const {
    return values_[static_cast<std::size_t>(node.inputs[i])];
  }
  std::span<const real> numbers(const ParameterInfo& info) const {
    return {value_ + info.offset, static_cast<std::size_t>(info.size)};
  }

  // The numbers that images are to the first layer: pixel · scale + offset, as data/batcher.cpp has it.
  void load_image() {
    const InputInfo& input = graph_.input;
    const auto channels = static_cast<std::size_t>(input.shape.channels);
    std::vector<real> scale, offset;
    for (std::size_t c = 0; c < channels; ++c) {
      const double mean = input.mean.empty() ? 0 : input.mean[c];
      const double deviation = input.standard_deviation.empty() ? 1 : input.standard_deviation[c];
      scale.push_back(static_cast<real>(1 / (255 * deviation)));
      offset.push_back(static_cast<real>(-mean / deviation));
    }
    names_ = {"image", "logits"};
    const std::vector<std::int64_t> dims{1, input.shape.channels, 1, 1};
    std::string name = emit("Mul", "image.scaled", {"image", floats("image.scale", dims, scale)});
    if (std::any_of(offset.begin(), offset.end(), [](real x) { return x != 0; })) {
      name = emit("Add", "image.normalised", {name, floats("image.offset", dims, offset)});
    }
    values_[0] = {.name = name};
  }

  // x as codes and back; `name` is what the result is called.
  Value quantized(const std::string& name, Value x, const CodeGrid& grid) {
    const std::string scale = scalar(name + ".scale", grid.scale);
    const std::string zero_point = byte(name + ".zero_point", grid.zero_point);
    const std::string codes = emit("QuantizeLinear", name + ".codes", {x.name, scale, zero_point});
    x.name = emit("DequantizeLinear", name, {codes, scale, zero_point});
    x.on_grid = true;
    x.grid = grid;
    return x;
  }
  // The same of a layer fake_quantize. Codes of fewer than 8 bits: the others are clamped away.
  Value quantized_as(const std::string& name, const Value& x, const CodeGrid& grid) {
    if (grid.highest == 255) return quantized(name, x, grid);
    CodeGrid whole_grid = grid;
    whole_grid.highest = 255;
    Value out = quantized(name + ".byte", x, whole_grid);
    const auto level = [&](int code) { return static_cast<float>(code - grid.zero_point) * grid.scale; };
    out.name =
        emit("Clip", name + ".clipped",
             {out.name, scalar(name + ".lowest", level(0)), scalar(name + ".highest", level(grid.highest))});
    return quantized(name, out, grid);
  }
  // What moves numbers, but keeps them: its codes are on the grid of its input.
  Value moved(const std::string& name, const Value& x, const char* op, std::vector<std::string> more = {},
              std::vector<Attribute> attributes = {}) {
    std::vector<std::string> inputs{x.name};
    inputs.insert(inputs.end(), more.begin(), more.end());
    Value out = x;
    out.name = emit(op, x.on_grid ? name + ".moved" : name, std::move(inputs), std::move(attributes));
    return x.on_grid ? quantized(name, out, x.grid) : out;
  }

  Value as_flat(const Value& x, const std::string& name) {
    if (x.flat) return x;
    Value out = moved(name, x, "Flatten", {}, {whole("axis", 1)});
    out.flat = true;
    return out;
  }
  Value as_map(const Value& x, const Shape& shape, const std::string& name) {
    if (!x.flat) return x;
    const std::int64_t dims[] = {0, shape.channels, shape.height, shape.width};
    Value out = moved(name, x, "Reshape",
                      {constant(name + ".shape", {4}, DataType::kInt64, bytes_as<std::int64_t>(dims))});
    out.flat = false;
    return out;
  }
  Value map_input(const Node& node, std::size_t i = 0) {
    return as_map(input_of(node, i), node.in_shapes[i], node.name + ".map" + (i ? std::to_string(i) : ""));
  }

  // What follows a layer that computes integers: rectifier and quantizer as one, on codes. The rectifier
  // stands before the quantizer where the grid says the same, so that nothing changes if it is left out, and
  // behind it otherwise.
  Value with_tail(const Node& node, Value out) {
    const Tail tail = tail_of(graph_, node.index + 1);
    if (!tail.quantizer) return out;
    const Node* rectifier = nullptr;
    for (const std::size_t v : tail.values) {
      const Node& next = graph_.nodes[v - 1];
      if (next.op == &kRelu || next.op == &kRelu6) rectifier = &next;
    }
    const CodeGrid grid = grid_of(*tail.quantizer, value_);
    const CodeRange range = range_of(grid, tail.rectifier);
    const bool implied = range.lowest == 0 && range.highest == grid.highest;
    const std::string& name = tail.quantizer->name;
    if (!rectifier) {
      out = quantized_as(name, out, grid);
    } else if (implied) {
      out = quantized_as(name, rectified(*rectifier, out), grid);
    } else {
      out = quantized(name, rectified(*rectifier, quantized_as(name + ".sum", out, grid)), grid);
    }
    for (const std::size_t v : tail.values) values_[v] = out;
    return out;
  }
  Value rectified(const Node& node, Value x) {
    if (node.op == &kRelu) {
      x.name = emit("Relu", node.name, {x.name});
    } else {
      x.name = emit("Clip", node.name,
                    {x.name, scalar(node.name + ".lowest", 0), scalar(node.name + ".highest", 6)});
    }
    return x;
  }

  // Bits of a layer's weights; 32 for those that are floats here.
  int weight_bits(const Node& node) const {
    if (!has_weights(node)) return 32;
    const LayerWeights weights = layer_weights(node, conv_shape(node), value_);
    if (weights.integers.empty()) return 32;
    const bool half = std::all_of(weights.integers.begin(), weights.integers.end(),
                                  [](std::int8_t code) { return code >= -8 && code <= 7; });
    return half && weights.quantization.bits <= 4 ? 4 : 8;
  }

  Value weighted(const Node& node) {
    const bool dense = node.op == &kDense;
    const Value x = dense ? as_flat(input_of(node), node.name + ".flat") : map_input(node);
    const LayerWeights weights = layer_weights(node, conv_shape(node), value_);
    const ParameterInfo& info = weight_of(node);
    const std::vector<std::int64_t> dims(info.shape.begin(), info.shape.end());
    const bool integer = !weights.integers.empty();
    std::vector<std::string> inputs{x.name};
    if (integer) {
      const bool half = weight_bits(node) == 4;
      const std::vector<std::int64_t> rows{static_cast<std::int64_t>(weights.scales.size())};
      const DataType type = half ? DataType::kInt4 : DataType::kInt8;
      const std::vector<std::int8_t> zeros(weights.scales.size());
      const auto codes = [&](std::span<const std::int8_t> c) {
        return half ? half_bytes(c) : bytes_as<std::int8_t>(c);
      };
      inputs.push_back(
          emit("DequantizeLinear", info.name,
               {constant(info.name + ".codes", dims, type, codes(weights.integers)),
                constant(info.name + ".scale", rows, DataType::kFloat, bytes_as<float>(weights.scales)),
                constant(info.name + ".zero_point", rows, type, codes(zeros))},
               {whole("axis", 0)}));
    } else {
      inputs.push_back(floats(info.name, dims, weights.values));
    }
    if (const ParameterInfo* bias = bias_of(node)) {
      inputs.push_back(integer && x.on_grid ? integer_bias(*bias, weights, x.grid)
                                            : floats(bias->name, {bias->size}, weights.bias));
    }
    Value out{.name = {}, .flat = dense};
    if (dense) {
      out.name = emit("Gemm", node.name, std::move(inputs), {whole("transB", 1)});
    } else {
      const Attributes& a = node.attributes;
      out.name = emit("Conv", node.name, std::move(inputs),
                      {wholes("kernel_shape", both(a.kernel)), wholes("strides", both(a.stride)),
                       wholes("dilations", both(a.dilation)), wholes("pads", pads_of(a.padding)),
                       whole("group", a.groups)});
    }
    return integer && x.on_grid ? with_tail(node, out) : out;
  }
  // In steps of what a sum of products counts.
  std::string integer_bias(const ParameterInfo& info, const LayerWeights& weights, const CodeGrid& grid) {
    std::vector<std::int32_t> codes;
    std::vector<float> scales;
    for (std::size_t i = 0; i < weights.bias.size(); ++i) {
      codes.push_back(bias_code(static_cast<float>(weights.bias[i]), grid.scale, weights.scales[i]));
      scales.push_back(grid.scale * weights.scales[i]);
    }
    const std::vector<std::int64_t> dims{info.size};
    const std::vector<std::int32_t> zeros(codes.size());
    return emit("DequantizeLinear", info.name,
                {constant(info.name + ".codes", dims, DataType::kInt32, bytes_as<std::int32_t>(codes)),
                 constant(info.name + ".scale", dims, DataType::kFloat, bytes_as<float>(scales)),
                 constant(info.name + ".zero_point", dims, DataType::kInt32, bytes_as<std::int32_t>(zeros))},
                {whole("axis", 0)});
  }

  Value batch_norm(const Node& node) {
    std::vector<std::string> inputs{input_of(node).name};
    for (const ParameterInfo& info : node.parameters) {
      inputs.push_back(floats(info.name, {info.size}, numbers(info)));
    }
    return {.name = emit("BatchNormalization", node.name, std::move(inputs),
                         {number("epsilon", node.attributes.epsilon),
                          number("momentum", 1 - node.attributes.momentum)}),
            .flat = input_of(node).flat};
  }

  std::vector<Attribute> window(const Node& node) const {
    const Attributes& a = node.attributes;
    return {wholes("kernel_shape", both(a.kernel)), wholes("strides", both(a.stride)),
            wholes("pads", pads_of(a.padding))};
  }

  // An average, sum or concatenation is one of codes where its inputs are and a quantizer follows.
  bool reads_codes(const Node& node) const {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (!input_of(node, i).on_grid) return false;
    }
    return true;
  }
  Value joined(const Node& node) {
    // Maps and vectors of the same shape may meet.
    const bool flat = node.out_shape.pixels() == 1 && input_of(node).flat;
    std::vector<std::string> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const std::string name = node.name + ".input" + std::to_string(i);
      inputs.push_back(
          (flat ? as_flat(input_of(node, i), name) : as_map(input_of(node, i), node.in_shapes[i], name))
              .name);
    }
    const bool add = node.op == &kAdd;
    const bool codes = reads_codes(node) && tail_of(graph_, node.index + 1).quantizer;
    // ONNX Runtime fuses a quantized Add to one that rounds differently on each kind of processor; it leaves
    // Sum as it is, in floats that are the same everywhere.
    const char* op = !add ? "Concat" : codes || node.inputs.size() > 2 ? "Sum" : "Add";
    std::vector<Attribute> attributes;
    if (!add) attributes.push_back(whole("axis", 1));
    Value out{.name = emit(op, node.name, std::move(inputs), std::move(attributes)), .flat = flat};
    return codes && (!add || node.inputs.size() == 2) ? with_tail(node, out) : out;
  }

  Value averaged(const Node& node) {
    const Value x = map_input(node);
    Value out;
    if (node.op == &kGlobalAvgPool) {
      out.name = emit("GlobalAveragePool", node.name, {x.name});
    } else {
      out.name = emit("AveragePool", node.name, {x.name}, window(node));
    }
    return x.on_grid ? with_tail(node, out) : out;
  }

  Value layer(const Node& node) {
    const OpType* op = node.op;
    const Value& x = input_of(node);
    const auto unary = [&](const char* name, std::vector<Attribute> attributes = {}) {
      return Value{.name = emit(name, node.name, {x.name}, std::move(attributes)), .flat = x.flat};
    };
    if (has_weights(node)) return weighted(node);
    if (op == &kBatchNorm) return batch_norm(node);
    if (op == &kMaxPool) return moved(node.name, map_input(node), "MaxPool", {}, window(node));
    if (op == &kAvgPool || op == &kGlobalAvgPool) return averaged(node);
    if (op == &kRelu) return moved(node.name, x, "Relu");
    if (op == &kRelu6) {
      Value out = rectified(node, x);
      out.on_grid = false;
      return out;
    }
    if (op == &kLeakyRelu) return unary("LeakyRelu", {number("alpha", node.attributes.slope)});
    if (op == &kTanh) return unary("Tanh");
    if (op == &kSigmoid) return unary("Sigmoid");
    if (op == &kDropout) return x;
    if (op == &kFlatten) return as_flat(x, node.name);
    if (op == &kAdd || op == &kConcat) return joined(node);
    if (op == &kFakeQuantize) {
      const CodeGrid grid = grid_of(node, value_);
      return x.on_grid && x.grid == grid ? x : quantized_as(node.name, x, grid);
    }
    throw Error(ErrorCode::kUnsupported, node.name,
                "is a layer " + std::string(op->name) + ", which has no form in ONNX");
  }

  // The last value gets the name of the output.
  void end() {
    const std::string last = as_flat(values_.back(), "logits.flat").name;
    for (onnx::Node& node : file_.nodes) {
      std::replace(node.inputs.begin(), node.inputs.end(), last, std::string("logits"));
      std::replace(node.outputs.begin(), node.outputs.end(), last, std::string("logits"));
    }
  }

  const Graph& graph_;
  ThreadPool pool_;
  aligned_vector<real> effective_;
  const real* value_;
  std::vector<Value> values_;
  std::set<std::string> names_;
  onnx::File file_;
};

}  // namespace

std::vector<std::uint8_t> save_onnx(const Model& model, const ModelNotes& notes) {
  return onnx::write(Exporter(model).write(notes));
}

bool is_onnx(std::span<const std::uint8_t> bytes) { return onnx::recognises(bytes); }

}  // namespace espalier
