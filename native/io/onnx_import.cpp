// ONNX nodes as a graph and its parameters: a row of operators() for each operator. Quantized weights and
// features come back as grids, constants on the way from the image to the first layer as its normalisation.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/json_text.h"
#include "graph/assemble.h"
#include "io/onnx.h"
#include "io/onnx_file.h"
#include "ops/op.h"
#include "ops/weights.h"
#include "runtime/codes.h"

namespace espalier {
namespace {

using onnx::Attribute;
using onnx::DataType;

constexpr std::int64_t kOldestOpset = 7;
// Nodes may share a constant, but each layer has its own: what a small file may become.
constexpr std::size_t kMostNumbers = std::size_t{1} << 26;
constexpr std::int64_t kLargestImage = std::int64_t{1} << 28;
// A bias has the product of two scales, which must not be rounded to 0.
constexpr float kLeastScale = 1e-18f;

// The decimal number that became this float: 1e-5, not 9.99999974e-6.
double decimal_of(float number) {
  for (double power = 1; power < 1e13; power *= 10) {
    const double decimal = std::nearbyint(double{number} * power) / power;
    if (static_cast<float>(decimal) == number) return decimal;
  }
  return double{number};
}

// A constant tensor as numbers; of a DequantizeLinear also what it was made of.
struct Constant {
  std::vector<std::int64_t> dims;
  std::vector<float> numbers;
  struct Codes {
    std::vector<std::int32_t> codes;
    std::vector<float> scales;  // one, or one for each index of `axis`
    std::vector<std::int32_t> zero_points;
    std::int64_t axis = 0;
    DataType type = DataType::kInt8;
  };
  std::optional<Codes> quantized;
  std::vector<std::int64_t> wholes;  // int64: shapes and axes
  DataType type = DataType::kFloat;

  std::int64_t dim(std::size_t i) const { return dims.at(i); }
};

template <class Number>
std::vector<Number> elements(const std::string& bytes) {
  std::vector<Number> list(bytes.size() / sizeof(Number));
  if (!list.empty()) std::memcpy(list.data(), bytes.data(), list.size() * sizeof(Number));
  return list;
}

Constant constant_of(const onnx::Tensor& tensor) {
  Constant constant;
  constant.dims = tensor.dims;
  constant.type = tensor.type;
  const auto take = [&](const auto& list) { constant.numbers.assign(list.begin(), list.end()); };
  switch (tensor.type) {
    case DataType::kFloat:
      constant.numbers = elements<float>(tensor.bytes);
      break;
    case DataType::kDouble:
      for (const double x : elements<double>(tensor.bytes)) constant.numbers.push_back(static_cast<float>(x));
      break;
    case DataType::kUint8:
      take(elements<std::uint8_t>(tensor.bytes));
      break;
    case DataType::kInt8:
      take(elements<std::int8_t>(tensor.bytes));
      break;
    case DataType::kInt64:
      constant.wholes = elements<std::int64_t>(tensor.bytes);
      break;
    case DataType::kInt32: {
      const auto codes = elements<std::int32_t>(tensor.bytes);
      constant.wholes.assign(codes.begin(), codes.end());  // not exact as floats
      break;
    }
    case DataType::kUint4:
    case DataType::kInt4:
      for (std::int64_t i = 0; i < tensor.size(); ++i) {
        const int code =
            static_cast<unsigned char>(tensor.bytes[static_cast<std::size_t>(i / 2)]) >> (i % 2 * 4) & 15;
        constant.numbers.push_back(
            static_cast<float>(tensor.type == DataType::kInt4 && code > 7 ? code - 16 : code));
      }
      break;
  }
  return constant;
}

bool is_integer(DataType type) { return type != DataType::kFloat && type != DataType::kDouble; }

class Importer {
 public:
  explicit Importer(const onnx::File& file) : file_(file) {}

  ModelFile read() {
    if (file_.opset < kOldestOpset) {
      fail("is written for operator set " + std::to_string(file_.opset) + "; the oldest that is read is " +
           std::to_string(kOldestOpset));
    }
    for (const onnx::Tensor& tensor : file_.constants) constants_[tensor.name] = constant_of(tensor);
    for (const onnx::Node& node : file_.nodes) {
      for (const std::string& input : node.inputs) ++readers_[input];
    }
    if (file_.outputs.size() != 1) {
      fail("has " + std::to_string(file_.outputs.size()) + " outputs; a classifier has one");
    }
    ++readers_[file_.outputs.front().name];
    add_image();
    for (const onnx::Node& node : file_.nodes) {
      node_ = &node;
      add(node);
    }
    return finish();
  }

 private:
  // What an ONNX tensor is: a value of the graph.
  struct Value {
    int id = 0;
    bool flat = false;             // [N][channels]
    bool is_codes = false;         // between QuantizeLinear and DequantizeLinear
    bool classified = false;       // behind a Softmax
    bool alone = false;            // a new quantizer's that nobody else reads
    std::optional<CodeGrid> grid;  // all its numbers are on it
  };
  // A layer that was read, and its parameters in the order of ops/*.cpp.
  struct Layer {
    Node node;
    std::vector<std::vector<float>> parameters;
  };
  using Read = void (Importer::*)(const onnx::Node&);
  struct Operator {
    std::string_view name;
    Read read;
  };
  static std::span<const Operator> operators();

  // ---- errors

  [[noreturn]] static void fail(const std::string& message) { throw Error(ErrorCode::kModel, {}, message); }
  static std::string title(const onnx::Node& node) {
    const std::string name = !node.name.empty()      ? node.name
                             : !node.outputs.empty() ? node.outputs.front()
                                                     : "";
    return node.op + " (node \"" + name + "\")";
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::kUnsupported, {}, "has the operator " + title(*node_) + what);
  }
  [[noreturn]] void contradicts(const std::string& what) const {
    fail("has an operator " + title(*node_) + " " + what);
  }
  void require(bool fits, const std::string& what) const {
    if (!fits) contradicts(what);
  }

  // ---- what a node has

  const Attribute* attribute(std::string_view name, Attribute::Type type) const {
    for (const Attribute& a : node_->attributes) {
      if (a.name != name) continue;
      require(a.type == type, "whose attribute \"" + a.name + "\" is of another type");
      return &a;
    }
    return nullptr;
  }
  std::int64_t whole(std::string_view name, std::int64_t otherwise) const {
    const Attribute* a = attribute(name, Attribute::Type::kInt);
    return a ? a->whole : otherwise;
  }
  double number(std::string_view name, double otherwise) const {
    const Attribute* a = attribute(name, Attribute::Type::kFloat);
    return a ? decimal_of(a->number) : otherwise;
  }
  std::string text(std::string_view name, const std::string& otherwise) const {
    const Attribute* a = attribute(name, Attribute::Type::kString);
    return a ? a->text : otherwise;
  }
  std::vector<std::int64_t> wholes(std::string_view name, std::vector<std::int64_t> otherwise) const {
    const Attribute* a = attribute(name, Attribute::Type::kInts);
    if (!a) return otherwise;
    require(otherwise.empty() || a->wholes.size() == otherwise.size(),
            "whose \"" + std::string(name) + "\" has " + std::to_string(a->wholes.size()) +
                " numbers instead of " + std::to_string(otherwise.size()));
    return a->wholes;
  }
  int small(std::int64_t number) const {
    require(number >= -(1 << 20) && number <= 1 << 20, "with a size that cannot be");
    return static_cast<int>(number);
  }
  Pair pair(const std::vector<std::int64_t>& two) const { return {small(two[0]), small(two[1])}; }

  bool has_input(std::size_t i) const { return i < node_->inputs.size() && !node_->inputs[i].empty(); }
  const std::string& input_name(std::size_t i) const {
    require(has_input(i), "without its input " + std::to_string(i));
    return node_->inputs[i];
  }
  const Value& value(std::size_t i) const {
    const std::string& name = input_name(i);
    const auto at = values_.find(name);
    if (at != values_.end()) return at->second;
    if (constants_.contains(name)) refuse(", whose input \"" + name + "\" is a constant here");
    contradicts("that reads \"" + name + "\", which no node before it writes");
  }
  const Constant* maybe_constant(std::size_t i) const {
    if (!has_input(i)) return nullptr;
    const auto at = constants_.find(node_->inputs[i]);
    return at == constants_.end() ? nullptr : &at->second;
  }
  const Constant& constant(std::size_t i) const {
    const Constant* found = maybe_constant(i);
    if (found) return *found;
    if (values_.contains(input_name(i))) refuse(", whose input \"" + input_name(i) + "\" is not a constant");
    contradicts("that reads \"" + input_name(i) + "\", which is missing from the file");
  }
  float scalar(std::size_t i) const {
    const Constant& c = constant(i);
    require(c.numbers.size() == 1, "whose input \"" + input_name(i) + "\" is not one number");
    return c.numbers[0];
  }
  const Shape& shape_of(const Value& v) const { return graph_.value_shape(v.id); }

  void set(const Value& v) {
    require(!node_->outputs.empty() && !node_->outputs[0].empty(), "without an output");
    for (std::size_t i = 1; i < node_->outputs.size(); ++i) {
      if (!node_->outputs[i].empty() && readers_.contains(node_->outputs[i])) {
        refuse(", whose output \"" + node_->outputs[i] + "\" is used");
      }
    }
    require(values_.emplace(node_->outputs[0], v).second && !constants_.contains(node_->outputs[0]),
            "that writes \"" + node_->outputs[0] + "\" a second time");
  }
  void set_constant(Constant c) {
    count(c.numbers.size() + c.wholes.size());
    require(!node_->outputs.empty(), "without an output");
    require(
        !values_.contains(node_->outputs[0]) && constants_.emplace(node_->outputs[0], std::move(c)).second,
        "that writes \"" + node_->outputs[0] + "\" a second time");
  }
  void count(std::size_t numbers) {
    counted_ += numbers;
    if (counted_ > kMostNumbers) fail("has constants of more than 67 million numbers");
  }
  bool only_reader(const std::string& name) const {
    const auto at = readers_.find(name);
    return at != readers_.end() && at->second == 1;
  }

  // ---- the graph

  // Appends a layer; its shapes are proved at once.
  Value append(const OpType& op, std::vector<Value> from, Attributes attributes,
               std::vector<std::vector<float>> parameters = {}) {
    Layer layer{.node = {.op = &op, .name = fresh_name(op), .attributes = attributes},
                .parameters = std::move(parameters)};
    for (const Value& v : from) {
      if (v.classified) refuse(", which reads what a Softmax gives");
      if (v.is_codes && &op != &kMaxPool && &op != &kFlatten) {
        refuse(", which reads codes; a DequantizeLinear belongs before it");
      }
      layer.node.inputs.push_back(v.id);
    }
    if (graph_.nodes.size() >= kMostLayers) fail("has more than 1,000 layers");
    add_node(graph_, layer.node);
    for (const std::vector<float>& numbers : layer.parameters) count(numbers.size());
    layers_.push_back(std::move(layer));
    return {.id = static_cast<int>(layers_.size()), .flat = from[0].flat};
  }
  // The node's own name where it has one that is still free.
  std::string fresh_name(const OpType& op) const {
    const auto taken = [&](const std::string& name) {
      return name == "input" ||
             std::any_of(layers_.begin(), layers_.end(), [&](const Layer& l) { return l.node.name == name; });
    };
    std::string name = node_->name;
    // What onnx_export.cpp puts behind a layer's name.
    for (const std::string_view ending : {".codes", ".moved", ".byte"}) {
      if (name.ends_with(ending)) name.resize(name.size() - ending.size());
    }
    if (!name.empty() && name.size() < 256 && !taken(name)) return name;
    name = automatic_name(op, layers_.size());
    while (taken(name)) name += "_";
    return name;
  }
  Value flattened(Value v) {
    if (v.flat) return v;
    if (shape_of(v).pixels() > 1) {
      const Value out = append(kFlatten, {v}, {});
      v.id = out.id;
    }
    v.flat = true;
    return v;
  }

  // [N][channels][height][width]; also rows of pixels, which are square images where they can be.
  void add_image() {
    const onnx::Value* image = nullptr;
    for (const onnx::Value& input : file_.inputs) {
      if (constants_.contains(input.name)) continue;
      if (image)
        fail("has two inputs, \"" + image->name + "\" and \"" + input.name + "\"; one image is read");
      image = &input;
    }
    if (!image) fail("has no input");
    if (image->type != DataType::kFloat) fail("has an input that is not float");
    std::vector<int> extents;
    for (std::size_t i = 1; i < image->dims.size(); ++i) {
      const std::int64_t dim = image->dims[i];
      if (dim < 1 || dim > 1 << 20) {
        fail("has an input \"" + image->name + "\" whose channels, height and width are not fixed sizes");
      }
      extents.push_back(static_cast<int>(dim));
    }
    Shape& shape = graph_.input.shape;
    if (extents.size() == 3) {
      shape = {extents[0], extents[1], extents[2]};
    } else if (extents.size() == 2) {
      shape = {1, extents[0], extents[1]};
    } else if (extents.size() == 1) {
      const int side = static_cast<int>(std::lround(std::sqrt(extents[0])));
      shape = side * side == extents[0] ? Shape{1, side, side} : Shape{1, 1, extents[0]};
    } else {
      fail("has an input \"" + image->name + "\" that is not an image [N][channels][height][width]");
    }
    // As read_input in graph/graph.cpp.
    if (shape.channels > 1024 || shape.height > 4096 || shape.width > 4096 ||
        std::int64_t{shape.channels} * shape.pixels() > kLargestImage) {
      fail("has an input of " + to_string(shape) + ", which is larger than an image can be");
    }
    flat_image_ = extents.size() == 1;
    const auto channels = static_cast<std::size_t>(shape.channels);
    const auto range = file_.metadata.find("Image.NominalPixelRange");
    const bool bytes = range != file_.metadata.end() && range->second == "NominalRange_0_255";
    scale_.assign(channels, bytes ? 1 : 1.0 / 255);
    offset_.assign(channels, 0);
    normalised_ = image->name;
    values_[image->name] = {.id = 0, .flat = extents.size() == 1};
  }

  void add(const onnx::Node& node) {
    if (!node.domain.empty() && node.domain != "ai.onnx") {
      refuse(" of the domain \"" + node.domain + "\", which the engine does not have");
    }
    for (const Operator& row : operators()) {
      if (row.name != node.op) continue;
      return (this->*row.read)(node);
    }
    refuse(", which the engine does not have");
  }

  // ---- operators

  void read_constant(const onnx::Node&) {
    Constant c;
    if (const Attribute* tensor = attribute("value", Attribute::Type::kTensor)) {
      c = constant_of(tensor->tensor);
    } else if (const Attribute* number = attribute("value_float", Attribute::Type::kFloat)) {
      c.numbers = {number->number};
    } else if (const Attribute* list = attribute("value_ints", Attribute::Type::kInts)) {
      c.type = DataType::kInt64;
      c.wholes = list->wholes;
      c.dims = {static_cast<std::int64_t>(c.wholes.size())};
    } else {
      refuse(", whose value is neither a tensor nor numbers");
    }
    set_constant(std::move(c));
  }

  void read_identity(const onnx::Node&) {
    if (const Constant* c = maybe_constant(0)) return set_constant(*c);
    set(value(0));
  }

  void read_softmax(const onnx::Node&) {
    Value v = value(0);
    require(shape_of(v).pixels() == 1, "over something else than classes");
    v.classified = true;
    v.grid.reset();
    set(v);
  }

  // Codes on a grid. A grid that the numbers are on already adds nothing.
  void read_quantize(const onnx::Node&) {
    const CodeGrid grid = grid_of_inputs();
    Value v = value(0);
    require(!v.is_codes, "of codes");
    const bool fits = v.grid && v.grid->scale == grid.scale && v.grid->zero_point == grid.zero_point &&
                      v.grid->highest <= grid.highest;
    v.alone = false;
    if (!fits) {
      Attributes attributes;
      attributes.bits = grid.highest == 255 ? 8 : 4;
      v.id = append(kFakeQuantize, {v}, attributes, {{grid.scale}, {static_cast<float>(grid.zero_point)}}).id;
      v.grid = grid;
      v.alone = only_reader(node_->outputs.empty() ? "" : node_->outputs[0]);
    }
    v.is_codes = true;
    set(v);
  }
  void read_dequantize(const onnx::Node&) {
    if (maybe_constant(0)) return set_constant(dequantized());
    Value v = value(0);
    require(v.is_codes, "of numbers that no QuantizeLinear made");
    CodeGrid grid = grid_of_inputs();
    // A grid of fewer bits was found by its clip.
    grid.highest = v.grid ? v.grid->highest : grid.highest;
    if (!v.grid || *v.grid != grid)
      refuse(", whose scale and zero point are not those of its QuantizeLinear");
    v.is_codes = false;
    v.alone = v.alone && only_reader(node_->outputs.empty() ? "" : node_->outputs[0]);
    set(v);
  }
  CodeGrid grid_of_inputs() const {
    CodeGrid grid;
    grid.scale = scalar(1);
    if (!(grid.scale >= kLeastScale) || !std::isfinite(grid.scale))
      contradicts("whose scale is not above 1e-18");
    const Constant* zero_point = maybe_constant(2);
    const DataType type = zero_point ? zero_point->type : DataType::kUint8;
    const bool half = type == DataType::kUint4 || type == DataType::kInt4;
    if (!half && type != DataType::kUint8 && type != DataType::kInt8) {
      refuse(", whose codes are neither 8 nor 4 bits");
    }
    grid.highest = half ? 15 : 255;
    const int shift = type == DataType::kInt8 ? 128 : type == DataType::kInt4 ? 8 : 0;
    grid.zero_point = (zero_point ? static_cast<int>(scalar(2)) : 0) + shift;
    return grid;
  }

  Constant dequantized() const {
    Constant c = constant(0);
    if (!is_integer(c.type)) contradicts("of a constant that is not integers");
    if (whole("block_size", 0) != 0) refuse(" in blocks, which is not read");
    Constant::Codes q;
    q.type = c.type;
    for (const float x : c.numbers) q.codes.push_back(static_cast<std::int32_t>(x));
    for (const std::int64_t x : c.wholes) {
      require(std::abs(x) <= std::numeric_limits<std::int32_t>::max(),
              "of a code that has more than 32 bits");
      q.codes.push_back(static_cast<std::int32_t>(x));
    }
    q.scales = constant(1).numbers;
    const std::size_t groups = q.scales.size();
    q.zero_points.assign(groups, 0);
    if (const Constant* zero_point = maybe_constant(2)) {
      const std::size_t size = std::max(zero_point->numbers.size(), zero_point->wholes.size());
      require(size == groups, "with another number of zero points than of scales");
      for (std::size_t i = 0; i < zero_point->numbers.size(); ++i) {
        q.zero_points[i] = static_cast<std::int32_t>(zero_point->numbers[i]);
      }
      for (const std::int64_t x : zero_point->wholes) {
        if (x != 0) refuse(", whose zero points are not 0");
      }
    }
    for (const float scale : q.scales)
      require(std::isfinite(scale) && scale > 0, "whose scale is not above 0");
    std::int64_t after = 1, extent = 1;
    if (groups != 1) {
      q.axis = whole("axis", 1);
      const auto rank = static_cast<std::int64_t>(c.dims.size());
      if (q.axis < 0) q.axis += rank;
      require(q.axis >= 0 && q.axis < rank &&
                  c.dims[static_cast<std::size_t>(q.axis)] == static_cast<std::int64_t>(groups),
              "with another number of scales than its axis has");
      extent = static_cast<std::int64_t>(groups);
      for (std::size_t i = static_cast<std::size_t>(q.axis) + 1; i < c.dims.size(); ++i) after *= c.dims[i];
    }
    require(groups > 0, "without a scale");
    c.numbers.resize(q.codes.size());
    for (std::size_t i = 0; i < q.codes.size(); ++i) {
      const auto group = static_cast<std::size_t>(static_cast<std::int64_t>(i) / after % extent);
      c.numbers[i] = static_cast<float>(q.codes[i] - q.zero_points[group]) * q.scales[group];
    }
    c.quantized = std::move(q);
    c.wholes.clear();
    c.type = DataType::kFloat;
    return c;
  }

  // ---- layers with weights

  // [rows][row] of weights as they are in the engine, with the grid that their codes are on, if the scheme
  // "symmetric" has it: one scale for each row or for all.
  struct Weights {
    std::vector<float> numbers;
    WeightQuantization quantization;
    std::vector<float> scales;
  };
  Weights weights_of(const Constant& c, std::size_t rows, bool transposed) const {
    Weights w;
    const std::size_t row = c.numbers.size() / std::max<std::size_t>(rows, 1);
    const auto at = [&](std::size_t i) { return transposed ? i % row * rows + i / row : i; };
    w.numbers.resize(c.numbers.size());
    for (std::size_t i = 0; i < w.numbers.size(); ++i) {
      w.numbers[i] = c.numbers[at(i)];
      require(std::isfinite(w.numbers[i]), "with a weight that is not a finite number");
    }
    if (!c.quantized || c.quantized->type == DataType::kInt32) return w;
    const Constant::Codes& q = *c.quantized;
    std::int32_t largest = 1;
    for (std::size_t i = 0; i < q.codes.size(); ++i) largest = std::max(largest, std::abs(q.codes[i]));
    const bool centred =
        std::all_of(q.zero_points.begin(), q.zero_points.end(), [](std::int32_t z) { return z == 0; });
    const bool by_row = q.scales.size() == rows && q.axis == (transposed ? 1 : 0);
    if (!centred || largest > 127 || !(by_row || q.scales.size() == 1)) return w;
    if (*std::min_element(q.scales.begin(), q.scales.end()) < kLeastScale) return w;
    w.quantization.scheme = &kSymmetric;
    w.quantization.bits = 2;
    while (kSymmetric.highest_code(w.quantization.bits) < largest) ++w.quantization.bits;
    w.quantization.granularity = q.scales.size() == rows ? Granularity::kChannel : Granularity::kTensor;
    w.scales = q.scales;
    return w;
  }
  std::optional<std::vector<float>> bias_input(std::size_t i, std::size_t rows) const {
    if (!has_input(i)) return std::nullopt;
    return bias_of_constant(constant(i), rows);
  }
  std::vector<float> bias_of_constant(const Constant& c, std::size_t rows) const {
    require(c.numbers.size() == rows || c.numbers.size() == 1,
            "whose bias has another size than its outputs");
    std::vector<float> bias = c.numbers;
    bias.resize(rows, bias[0]);
    for (const float b : bias) require(std::isfinite(b), "with a bias that is not a finite number");
    return bias;
  }
  Value add_weighted(const OpType& op, const Value& x, Attributes attributes, Weights weights,
                     std::optional<std::vector<float>> bias) {
    attributes.bias = bias.has_value();
    attributes.quantize = weights.quantization;
    std::vector<std::vector<float>> parameters{std::move(weights.numbers)};
    if (bias) parameters.push_back(std::move(*bias));
    if (weights.quantization.scheme) parameters.push_back(std::move(weights.scales));
    return append(op, {x}, attributes, std::move(parameters));
  }

  void read_conv(const onnx::Node&) {
    const Value x = value(0);
    const Constant& w = constant(1);
    require(w.dims.size() == 4 && !w.numbers.empty(), "that is not a convolution in two dimensions");
    Attributes a;
    a.out_channels = small(w.dim(0));
    a.kernel = pair(wholes("kernel_shape", {w.dim(2), w.dim(3)}));
    require(a.kernel.height == w.dim(2) && a.kernel.width == w.dim(3), "whose kernel is not its weights'");
    a.groups = small(whole("group", 1));
    require(a.groups >= 1 && w.dim(1) * a.groups == shape_of(x).channels,
            "whose weights are for another number of channels");
    window(a, shape_of(x));
    const auto rows = static_cast<std::size_t>(w.dim(0));
    set(add_weighted(kConv, x, a, weights_of(w, rows, false), bias_input(2, rows)));
  }

  // y = x · B + C, and the same with B transposed.
  void read_gemm(const onnx::Node&) {
    if (number("alpha", 1) != 1 || number("beta", 1) != 1 || whole("transA", 0) != 0) {
      refuse(", whose alpha, beta or transA are not the usual ones");
    }
    dense(whole("transB", 0) == 0, bias_rows_of_input(2));
  }
  void read_matmul(const onnx::Node&) { dense(true, false); }
  bool bias_rows_of_input(std::size_t i) const { return has_input(i); }
  void dense(bool transposed, bool with_bias) {
    const Constant& w = constant(1);
    require(w.dims.size() == 2 && !w.numbers.empty(), "whose weights are not a matrix");
    const Value x = flattened(value(0));
    const std::size_t rows = static_cast<std::size_t>(w.dim(transposed ? 1 : 0));
    require(w.dim(transposed ? 0 : 1) == shape_of(x).size(),
            "whose weights are for another number of inputs");
    Attributes a;
    a.units = small(w.dim(transposed ? 1 : 0));
    set(add_weighted(kDense, x, a, weights_of(w, rows, transposed),
                     with_bias ? bias_input(2, rows) : std::nullopt));
  }

  void read_batch_norm(const onnx::Node&) {
    if (whole("training_mode", 0) != 0) refuse(" in training mode; export the model for inference");
    const Value x = value(0);
    Attributes a;
    a.epsilon = number("epsilon", 1e-5);
    a.momentum = std::clamp(decimal_of(static_cast<float>(1 - number("momentum", 0.9))), 0.0, 1.0);
    std::vector<std::vector<float>> parameters;
    for (std::size_t i = 1; i <= 4; ++i) {
      const Constant& c = constant(i);
      require(static_cast<int>(c.numbers.size()) == shape_of(x).channels, "for another number of channels");
      for (const float number : c.numbers) {
        require(std::isfinite(number) && (i < 4 || number >= 0), "with a number that cannot be");
      }
      parameters.push_back(c.numbers);
    }
    require(a.epsilon >= 1e-12 && a.epsilon <= 1, "whose epsilon cannot be");
    set(append(kBatchNorm, {x}, a, std::move(parameters)));
  }

  // ---- windows

  // Strides, dilations and padding; the kernel is known.
  void window(Attributes& a, const Shape& in) const {
    a.stride = pair(wholes("strides", {1, 1}));
    a.dilation = pair(wholes("dilations", {1, 1}));
    require(a.kernel.height >= 1 && a.kernel.width >= 1 && a.stride.height >= 1 && a.stride.width >= 1 &&
                a.dilation.height >= 1 && a.dilation.width >= 1,
            "with a kernel, stride or dilation that is not above 0");
    const std::vector<std::int64_t> pads = wholes("pads", {0, 0, 0, 0});
    a.padding = {Padding::Mode::kExplicit, small(pads[0]), small(pads[1]), small(pads[2]), small(pads[3])};
    const std::string automatic = text("auto_pad", "NOTSET");
    if (automatic == "VALID") a.padding = {};
    if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
      const bool upper = automatic == "SAME_UPPER";
      same(in.height, a.kernel.height, a.stride.height, a.dilation.height, upper, a.padding.top,
           a.padding.bottom);
      same(in.width, a.kernel.width, a.stride.width, a.dilation.width, upper, a.padding.left,
           a.padding.right);
    }
    for (const int pad : {a.padding.top, a.padding.left, a.padding.bottom, a.padding.right}) {
      require(pad >= 0 && pad <= 255, "with a padding that is not from 0 to 255");
    }
    require(a.kernel.height <= 255 && a.kernel.width <= 255 && a.stride.height <= 255 &&
                a.stride.width <= 255 && a.dilation.height <= 255 && a.dilation.width <= 255,
            "with a kernel, stride or dilation above 255");
  }
  // As many windows as there are strides in the image; the odd pixel of padding behind it or before it.
  static void same(int extent, int kernel, int stride, int dilation, bool upper, int& before, int& after) {
    const std::int64_t windows = (extent + stride - 1) / stride;
    const std::int64_t reach = (windows - 1) * stride + std::int64_t{kernel - 1} * dilation + 1;
    const int pad = static_cast<int>(std::clamp<std::int64_t>(reach - extent, 0, 1 << 20));
    before = upper ? pad / 2 : pad - pad / 2;
    after = pad - before;
  }

  void pool(const OpType& op) {
    const Value x = value(0);
    require(attribute("kernel_shape", Attribute::Type::kInts) != nullptr, "without a kernel_shape");
    Attributes a;
    a.kernel = pair(wholes("kernel_shape", {1, 1}));
    window(a, shape_of(x));
    if (a.dilation != Pair{1, 1}) refuse(", which has dilations");
    const Padding& p = a.padding;
    if (whole("count_include_pad", 0) != 0 && p != Padding{}) refuse(", which counts its padding");
    const Shape& in = shape_of(x);
    if (whole("ceil_mode", 0) != 0 &&
        ((in.height + p.top + p.bottom - a.kernel.height) % a.stride.height != 0 ||
         (in.width + p.left + p.right - a.kernel.width) % a.stride.width != 0)) {
      refuse(", which has windows that are partly outside (ceil_mode)");
    }
    Value out = append(op, {x}, a);
    if (&op == &kMaxPool) keep(x, out);
    set(out);
  }
  static void keep(const Value& x, Value& out) {
    out.grid = x.grid;
    out.is_codes = x.is_codes;
  }
  void read_max_pool(const onnx::Node&) { pool(kMaxPool); }
  void read_average_pool(const onnx::Node&) { pool(kAvgPool); }
  void read_global_average(const onnx::Node&) { set(append(kGlobalAvgPool, {value(0)}, {})); }
  // Over height and width: global average pooling by another name.
  void read_reduce_mean(const onnx::Node&) {
    const Constant* input = maybe_constant(1);
    std::vector<std::int64_t> axes = input ? input->wholes : wholes("axes", {});
    const Value x = value(0);
    for (std::int64_t& axis : axes) axis += axis < 0 ? 4 : 0;
    std::sort(axes.begin(), axes.end());
    if (x.flat || axes != std::vector<std::int64_t>{2, 3}) refuse(" over other axes than height and width");
    Value out = append(kGlobalAvgPool, {x}, {});
    out.flat = whole("keepdims", 1) == 0;
    set(out);
  }

  // ---- activations

  void activation(const OpType& op, Attributes attributes = {}) { set(append(op, {value(0)}, attributes)); }
  void read_relu(const onnx::Node&) {
    const Value x = value(0);
    Value out = append(kRelu, {x}, {});
    keep(x, out);  // 0 is on every grid
    set(out);
  }
  void read_leaky_relu(const onnx::Node&) {
    Attributes a;
    a.slope = number("alpha", 0.01);
    require(a.slope >= 0 && a.slope <= 1, "whose alpha is not from 0 to 1");
    activation(kLeakyRelu, a);
  }
  void read_tanh(const onnx::Node&) { activation(kTanh); }
  void read_sigmoid(const onnx::Node&) { activation(kSigmoid); }

  // From 0 to 6; from 0 on; or from one level of a grid to another, which leaves fewer bits of it.
  void read_clip(const onnx::Node&) {
    constexpr float kAny = std::numeric_limits<float>::infinity();
    float low = -kAny, high = kAny;
    if (attribute("min", Attribute::Type::kFloat)) low = attribute("min", Attribute::Type::kFloat)->number;
    if (attribute("max", Attribute::Type::kFloat)) high = attribute("max", Attribute::Type::kFloat)->number;
    if (has_input(1)) low = scalar(1);
    if (has_input(2)) high = scalar(2);
    const Value x = value(0);
    if (x.grid && !x.is_codes && clip_to_bits(x, low, high)) return;
    if (low == 0 && high == 6) return activation(kRelu6);
    if (low == 0 && high >= std::numeric_limits<float>::max()) return read_relu(*node_);
    refuse(" from " + nlohmann::json(low).dump() + " to " + nlohmann::json(high).dump() +
           "; the engine has those from 0 to 6 and from 0 on");
  }
  bool clip_to_bits(const Value& x, float low, float high) {
    const auto level = [&](int code) {
      return static_cast<float>(code - x.grid->zero_point) * x.grid->scale;
    };
    if (low != level(0)) return false;
    for (int bits = 1; bits < 8; ++bits) {
      const int highest = (1 << bits) - 1;
      if (highest >= x.grid->highest || high != level(highest) || x.grid->zero_point > highest) continue;
      Attributes attributes;
      attributes.bits = bits;
      Value out = x;
      out.grid->highest = highest;
      out.alone = false;
      if (x.alone) {  // the quantizer of all bits was there for this one
        layers_[static_cast<std::size_t>(x.id - 1)].node.attributes.bits = bits;
      } else {
        out.id = append(kFakeQuantize, {x}, attributes,
                        {{out.grid->scale}, {static_cast<float>(out.grid->zero_point)}})
                     .id;
      }
      set(out);
      return true;
    }
    return false;
  }

  // ---- shapes

  void read_flatten(const onnx::Node&) {
    const std::int64_t axis = whole("axis", 1);
    if (axis != 1 && axis != (value(0).flat ? -1 : -3)) refuse(", whose axis is not 1");
    set(flattened(value(0)));
  }
  // To vectors, or to what it is already.
  void read_reshape(const onnx::Node&) {
    std::vector<std::int64_t> dims = wholes("shape", {});
    if (has_input(1)) dims = constant(1).wholes;
    Value x = value(0);
    const Shape shape = shape_of(x);
    const auto is = [&](std::size_t i, std::int64_t extent) {
      return dims[i] == extent || dims[i] == -1 || (dims[i] == 0 && !x.flat);
    };
    if (dims.size() == 2 && (dims[1] == -1 || dims[1] == shape.size())) return set(flattened(x));
    if (dims.size() == 4 && is(1, shape.channels) && is(2, shape.height) && is(3, shape.width) &&
        (!x.flat || shape.pixels() == 1 || (x.id == 0 && flat_image_))) {
      x.flat = false;
      return set(x);
    }
    refuse(", which the engine has only from maps to vectors");
  }
  void read_squeeze(const onnx::Node&) {
    Value x = value(0);
    if (shape_of(x).pixels() != 1) refuse(" of a map that is larger than one pixel");
    x.flat = true;
    set(x);
  }

  void read_concat(const onnx::Node& node) {
    const std::int64_t axis = whole("axis", 1);
    std::vector<Value> from;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) from.push_back(value(i));
    require(!from.empty(), "without inputs");
    if (axis != 1 && axis != (from[0].flat ? -1 : -3)) refuse(", whose axis is not that of the channels");
    if (from.size() == 1) return set(from[0]);
    set(append(kConcat, std::move(from), {}));
  }

  // ---- sums; constants on the image, and biases

  void read_sum(const onnx::Node& node) {
    if (node.inputs.size() == 1) return set(value(0));
    if (node.inputs.size() == 2 && (maybe_constant(0) || maybe_constant(1))) return with_constant('+');
    std::vector<Value> from;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) from.push_back(value(i));
    set(append(kAdd, std::move(from), {}));
  }
  void read_sub(const onnx::Node&) { with_constant('-'); }
  void read_mul(const onnx::Node&) { with_constant('*'); }
  void read_div(const onnx::Node&) { with_constant('/'); }

  void with_constant(char operation) {
    const bool swapped = maybe_constant(0) != nullptr;
    if (swapped && (operation == '-' || operation == '/')) refuse(" of a constant and a map");
    if (!swapped && !maybe_constant(1)) refuse(" of two maps");
    const Constant& c = constant(swapped ? 0 : 1);
    const std::string& name = input_name(swapped ? 1 : 0);
    const Value x = value(swapped ? 1 : 0);
    if (x.id == 0 && name == normalised_ && only_reader(name)) return normalise(x, c, operation);
    if (operation == '+' && only_reader(name) && x.id == static_cast<int>(layers_.size()) && x.id > 0 &&
        has_weights(layers_.back().node) && !layers_.back().node.attributes.bias && add_bias(x, c)) {
      return;
    }
    refuse(" with a constant, which the engine has only on the image and as a bias");
  }
  // pixel · scale + offset, in the order of the file, so that what was written comes back the same.
  void normalise(const Value& x, const Constant& c, char operation) {
    const std::size_t channels = scale_.size(), size = c.numbers.size();
    const auto rank = c.dims.size();
    const bool by_channel =
        size == channels &&
        (channels == 1 || (rank >= 3 && c.dims[rank - 3] == static_cast<std::int64_t>(channels)));
    require(size == 1 || by_channel, "with a constant that is neither one number nor one for each channel");
    for (std::size_t i = 0; i < channels; ++i) {
      const double number = double{c.numbers[size == 1 ? 0 : i]};
      if (operation == '+') offset_[i] += number;
      if (operation == '-') offset_[i] -= number;
      if (operation == '*') scale_[i] *= number, offset_[i] *= number;
      if (operation == '/') scale_[i] /= number, offset_[i] /= number;
      require(std::isfinite(scale_[i]) && scale_[i] > 0 && std::isfinite(offset_[i]),
              "that leaves nothing of the image, or turns it around");
    }
    set(x);
    normalised_ = node_->outputs[0];
  }
  bool add_bias(const Value& x, const Constant& c) {
    Layer& layer = layers_.back();
    const Shape& shape = shape_of(x);
    // One number for each channel: the last dimension of vectors, the last but two of maps.
    const std::size_t rank = c.dims.size();
    const auto channel = x.flat ? rank - 1 : rank - 3;
    const bool fits =
        c.numbers.size() == 1 || (rank > (x.flat ? 0u : 2u) && c.dims[channel] == shape.channels &&
                                  static_cast<int>(c.numbers.size()) == shape.channels);
    if (!fits || c.numbers.empty()) return false;
    layer.parameters.insert(layer.parameters.begin() + 1,
                            bias_of_constant(c, static_cast<std::size_t>(shape.channels)));
    layer.node.attributes.bias = true;
    Value out = x;
    set(out);
    return true;
  }

  // ---- the end

  ModelFile finish() {
    const auto output = values_.find(file_.outputs.front().name);
    if (output == values_.end()) {
      fail("has an output \"" + file_.outputs.front().name + "\" that no node writes");
    }
    if (output->second.is_codes) fail("ends in codes; a DequantizeLinear belongs behind them");
    Graph graph;
    graph.name = file_.name.empty() || file_.name.size() > 256 ? "model" : file_.name;
    graph.input = graph_.input;
    set_normalisation(graph.input);
    if (output->second.id == 0) fail("has no layers between its input and its output");
    const Shape& shape = graph_.value_shape(output->second.id);
    graph.classes = shape.channels;
    if (shape.pixels() != 1 || graph.classes < 2 || graph.classes > 65536) {
      fail("gives " + to_string(shape) + ", which is not a list of classes");
    }
    // Only what leads to the output.
    std::vector<char> used(layers_.size() + 1);
    used[static_cast<std::size_t>(output->second.id)] = 1;
    for (std::size_t i = layers_.size(); i > 0; --i) {
      if (!used[i]) continue;
      for (const int input : layers_[i - 1].node.inputs) used[static_cast<std::size_t>(input)] = 1;
    }
    std::vector<int> id(used.size());
    std::vector<const Layer*> kept;
    for (std::size_t i = 1; i < used.size(); ++i) {
      if (!used[i]) continue;
      Node node = layers_[i - 1].node;
      for (int& input : node.inputs) input = id[static_cast<std::size_t>(input)];
      add_node(graph, std::move(node));
      kept.push_back(&layers_[i - 1]);
      id[i] = static_cast<int>(kept.size());
    }
    espalier::finish(graph);
    ModelFile result;
    result.model = std::make_unique<Model>(std::move(graph));
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const Node& node = result.model->graph.nodes[i];
      for (std::size_t p = 0; p < node.parameters.size(); ++p) {
        const ParameterInfo& info = node.parameters[p];
        const std::vector<float>& numbers = kept[i]->parameters.at(p);
        if (static_cast<std::int64_t>(numbers.size()) != info.size) {
          fail("has " + std::to_string(numbers.size()) + " numbers for \"" + info.name + "\", which needs " +
               std::to_string(info.size));
        }
        std::copy(numbers.begin(), numbers.end(), result.model->parameters.value.begin() + info.offset);
      }
    }
    read_metadata(result);
    return result;
  }
  // (pixel / 255 - mean) / deviation = pixel · scale + offset
  void set_normalisation(InputInfo& input) const {
    const auto plain = [&](std::size_t i) {
      return static_cast<float>(scale_[i]) == static_cast<float>(1.0 / 255) && offset_[i] == 0;
    };
    bool all = true;
    for (std::size_t i = 0; i < scale_.size(); ++i) all &= plain(i);
    if (all) return;
    for (std::size_t i = 0; i < scale_.size(); ++i) {
      const double deviation = 1 / (255 * scale_[i]);
      input.standard_deviation.push_back(deviation);
      input.mean.push_back(-offset_[i] * deviation);
    }
    // Narrower than the engine's own range, because a writer rounds to float32.
    if (!input.is_normalisation_in_range(1e17)) {
      fail("normalises its image with a mean beyond 1e17 or a standard deviation beyond 1e17 or 1e-17");
    }
  }
  void read_metadata(ModelFile& result) const {
    const auto text = [&](const char* key) {
      const auto at = file_.metadata.find(key);
      return at == file_.metadata.end() ? std::string() : at->second;
    };
    // Other programs have these words too, for what they like.
    const auto parsed = [&](const char* key) -> nlohmann::json {
      try {
        return parse_json(text(key), ErrorCode::kModel, key);
      } catch (const Error&) {
        return nullptr;
      }
    };
    const nlohmann::json labels = parsed("labels");
    if (labels.is_array() && static_cast<int>(labels.size()) == result.model->graph.classes &&
        std::all_of(labels.begin(), labels.end(), [](const nlohmann::json& l) { return l.is_string(); })) {
      result.labels = labels.get<std::vector<std::string>>();
    }
    if (parsed("pipeline").is_object()) result.pipeline = text("pipeline");
  }

  const onnx::File& file_;
  const onnx::Node* node_ = nullptr;
  Graph graph_;  // all layers, to know shapes
  std::vector<Layer> layers_;
  std::unordered_map<std::string, Value> values_;
  std::unordered_map<std::string, Constant> constants_;
  std::unordered_map<std::string, int> readers_;
  // The image's numbers are pixel · scale + offset, as far as `normalised_`.
  std::string normalised_;
  std::vector<double> scale_, offset_;
  bool flat_image_ = false;
  std::size_t counted_ = 0;  // numbers that nodes made
};

std::span<const Importer::Operator> Importer::operators() {
  static constexpr Operator kOperators[] = {
      {"Add", &Importer::read_sum},
      {"AveragePool", &Importer::read_average_pool},
      {"BatchNormalization", &Importer::read_batch_norm},
      {"Clip", &Importer::read_clip},
      {"Concat", &Importer::read_concat},
      {"Constant", &Importer::read_constant},
      {"Conv", &Importer::read_conv},
      {"DequantizeLinear", &Importer::read_dequantize},
      {"Div", &Importer::read_div},
      {"Dropout", &Importer::read_identity},
      {"Flatten", &Importer::read_flatten},
      {"Gemm", &Importer::read_gemm},
      {"GlobalAveragePool", &Importer::read_global_average},
      {"Identity", &Importer::read_identity},
      {"LeakyRelu", &Importer::read_leaky_relu},
      {"LogSoftmax", &Importer::read_softmax},
      {"MatMul", &Importer::read_matmul},
      {"MaxPool", &Importer::read_max_pool},
      {"Mul", &Importer::read_mul},
      {"QuantizeLinear", &Importer::read_quantize},
      {"ReduceMean", &Importer::read_reduce_mean},
      {"Relu", &Importer::read_relu},
      {"Reshape", &Importer::read_reshape},
      {"Sigmoid", &Importer::read_sigmoid},
      {"Softmax", &Importer::read_softmax},
      {"Squeeze", &Importer::read_squeeze},
      {"Sub", &Importer::read_sub},
      {"Sum", &Importer::read_sum},
      {"Tanh", &Importer::read_tanh},
  };
  return kOperators;
}

}  // namespace

ModelFile load_onnx(const NamedBytes& file) {
  const onnx::File read = onnx::read(file);
  try {
    return Importer(read).read();
  } catch (const Error& error) {
    if (error.where().empty()) throw Error(error.code(), file.name, error.message());
    throw Error(ErrorCode::kModel, file.name,
                std::string("has a network that is not valid: ") + error.what());
  }
}

}  // namespace espalier
