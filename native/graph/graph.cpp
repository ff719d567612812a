// A spec as JSON, read and written. What it describes is put together in graph/assemble.cpp.
#include "graph/graph.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/json_fields.h"
#include "graph/assemble.h"
#include "ops/configure.h"
#include "ops/op.h"

namespace espalier {
namespace {

using nlohmann::json;

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kSpec, where, message);
}

// A value as it stands in the file, short enough for a sentence.
std::string shown(const json& value) {
  std::string text = value.dump();
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

template <class Names>
std::string joined(const Names& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

std::string number_text(double value) {
  return value == std::floor(value) ? std::to_string(static_cast<long long>(value)) : json(value).dump();
}

constexpr std::string_view kGranularities[] = {"tensor", "channel", "group"};  // in the order of Granularity

// Reads one layer's fields through its table.
class FieldReader {
 public:
  FieldReader(const std::string& layer, const Field& field, const json& value)
      : where_(layer + "." + std::string(field.name)), field_(field), value_(value) {}

  void read(Attributes& attributes) const {
    std::visit([&](auto member) { read_into(attributes.*member); }, field_.target);
  }

 private:
  int integer(const json& value) const {
    if (!value.is_number_integer()) fail(where_, "must be a whole number, found " + shown(value));
    const double number = value.get<double>();
    if (number < field_.minimum || number > field_.maximum) {
      fail(where_, "must be from " + number_text(field_.minimum) + " to " + number_text(field_.maximum) +
                       ", found " + shown(value));
    }
    return static_cast<int>(number);
  }

  void read_into(int& target) const {
    if (!field_.keyword.empty() && value_ == field_.keyword) {
      target = field_.keyword_value;
      return;
    }
    if (value_.is_string() && !field_.keyword.empty()) {
      fail(where_,
           "must be a whole number or \"" + std::string(field_.keyword) + "\", found " + shown(value_));
    }
    target = integer(value_);
  }

  void read_into(double& target) const {
    if (!value_.is_number()) fail(where_, "must be a number, found " + shown(value_));
    target = value_.get<double>();
    if (!(target >= field_.minimum && target <= field_.maximum)) {
      fail(where_, "must be from " + number_text(field_.minimum) + " to " + number_text(field_.maximum) +
                       ", found " + shown(value_));
    }
  }

  void read_into(bool& target) const {
    if (!value_.is_boolean()) fail(where_, "must be true or false, found " + shown(value_));
    target = value_.get<bool>();
  }

  void read_into(Pair& target) const {
    if (value_.is_array()) {
      if (value_.size() != 2) {
        fail(where_, "must be a whole number or [height, width], found " + shown(value_));
      }
      target = {integer(value_[0]), integer(value_[1])};
    } else {
      const int both = integer(value_);
      target = {both, both};
    }
  }

  void read_into(Padding& target) const {
    if (value_ == "same") {
      target = {.mode = Padding::Mode::kSame};
    } else if (value_ == "valid") {
      target = {.mode = Padding::Mode::kValid};
    } else if (value_.is_array() && value_.size() == 2) {
      const int vertical = integer(value_[0]);
      const int horizontal = integer(value_[1]);
      target = {Padding::Mode::kExplicit, vertical, horizontal, vertical, horizontal};
    } else if (value_.is_array() && value_.size() == 4) {
      target = {Padding::Mode::kExplicit, integer(value_[0]), integer(value_[1]), integer(value_[2]),
                integer(value_[3])};
    } else if (value_.is_number()) {
      const int all = integer(value_);
      target = {Padding::Mode::kExplicit, all, all, all, all};
    } else {
      fail(where_,
           "must be \"same\", \"valid\", a whole number, [vertical, horizontal] or [top, "
           "left, bottom, right], found " +
               shown(value_));
    }
  }

  void read_into(WeightQuantization& target) const {
    if (!value_.is_object()) fail(where_, "must be an object with a \"scheme\", found " + shown(value_));
    target = {};
    for (const auto& [key, value] : value_.items()) {
      const std::string field = where_ + "." + key;
      const auto whole = [&](int minimum, int maximum) {
        if (!value.is_number_integer() || value.get<double>() < minimum || value.get<double>() > maximum) {
          fail(field, "must be a whole number from " + std::to_string(minimum) + " to " +
                          std::to_string(maximum) + ", found " + shown(value));
        }
        return value.get<int>();
      };
      const auto truth = [&] {
        if (!value.is_boolean()) fail(field, "must be true or false, found " + shown(value));
        return value.get<bool>();
      };
      if (key == "scheme") {
        target.scheme = value.is_string() ? find_scheme(value.get<std::string>()) : nullptr;
        if (!target.scheme)
          fail(field, "unknown scheme " + shown(value) + "; the schemes are " + scheme_names());
      } else if (key == "bits") {
        target.bits = whole(1, 8);
      } else if (key == "granularity") {
        const auto at = std::find(std::begin(kGranularities), std::end(kGranularities),
                                  value.is_string() ? value.get<std::string>() : "");
        if (at == std::end(kGranularities)) {
          fail(field, "must be one of " + joined(kGranularities) + ", found " + shown(value));
        }
        target.granularity = static_cast<Granularity>(at - std::begin(kGranularities));
      } else if (key == "group_size") {
        target.group_size = whole(1, 1 << 20);
      } else if (key == "learned") {
        target.learned = truth();
      } else if (key == "pinned_zero") {
        target.pinned_zero = truth();
      } else {
        fail(field, "is unknown; it has scheme, bits, granularity, group_size, learned, pinned_zero");
      }
    }
    if (!target.scheme) fail(where_ + ".scheme", "is missing; the schemes are " + scheme_names());
  }

  static std::string scheme_names() {
    std::string names;
    for (const QuantizationScheme* scheme : quantization_schemes()) {
      names += (names.empty() ? "" : ", ") + std::string(scheme->name);
    }
    return names;
  }

  std::string where_;
  const Field& field_;
  const json& value_;
};

const json& required(const json& object, const char* field, const std::string& where) {
  if (!object.is_object()) fail(where, "must be a JSON object, found " + shown(object));
  const auto found = object.find(field);
  if (found == object.end()) {
    fail((where == "spec" ? "" : where + ".") + std::string(field), "is missing");
  }
  return *found;
}

int extent(const json& object, const char* field, int minimum, int maximum, const std::string& where) {
  const json& value = required(object, field, where);
  if (!value.is_number_integer() || value.get<double>() < minimum || value.get<double>() > maximum) {
    fail((where == "spec" ? "" : where + ".") + std::string(field),
         "must be a whole number from " + std::to_string(minimum) + " to " + std::to_string(maximum) +
             ", found " + shown(value));
  }
  return value.get<int>();
}

std::vector<double> channel_numbers(const json& input, const char* field, int channels) {
  std::vector<double> numbers;
  const auto found = input.find(field);
  if (found == input.end()) return numbers;
  const std::string where = std::string("input.") + field;
  if (!found->is_array() || static_cast<int>(found->size()) != channels) {
    fail(where, "must be a list of " + std::to_string(channels) + " numbers, one for each channel");
  }
  for (const json& value : *found) {
    if (!value.is_number()) fail(where, "must be a list of numbers, found " + shown(value));
    numbers.push_back(value.get<double>());
  }
  return numbers;
}

InputInfo read_input(const json& spec) {
  const json& input = required(spec, "input", "spec");
  InputInfo info;
  info.shape = {extent(input, "channels", 1, 1024, "input"), extent(input, "height", 1, 4096, "input"),
                extent(input, "width", 1, 4096, "input")};
  for (const auto& [key, value] : input.items()) {
    static const std::set<std::string> known{"channels", "height", "width", "mean", "standard_deviation"};
    if (!known.contains(key)) fail("input." + key, "is unknown; an input has " + joined(known));
  }
  info.mean = channel_numbers(input, "mean", info.shape.channels);
  info.standard_deviation = channel_numbers(input, "standard_deviation", info.shape.channels);
  for (const double deviation : info.standard_deviation) {
    if (!(deviation > 0)) fail("input.standard_deviation", "must be above 0");
  }
  if (!info.is_normalisation_in_range()) {
    fail("input", "has a mean beyond 1e18 or a standard deviation beyond 1e18 or 1e-18");
  }
  return info;
}

std::vector<std::string_view> layer_names() {
  std::vector<std::string_view> names;
  for (const OpType* type : op_types()) names.push_back(type->name);
  return names;
}

// Value ids of a layer's inputs: those it names, or the layer before it.
std::vector<int> read_inputs(const json& layer, const Graph& graph, const Node& node) {
  const int previous = static_cast<int>(graph.nodes.size());
  const auto found = layer.find("inputs");
  if (found == layer.end()) {
    if (node.op->min_inputs > 1) {
      fail(node.name + ".inputs", "is missing; name the " + std::to_string(node.op->min_inputs) +
                                      " or more layers that " + std::string(node.op->name) + " takes");
    }
    return {previous};
  }
  if (!found->is_array()) fail(node.name + ".inputs", "must be a list of layer names");
  std::vector<int> inputs;
  for (const json& input : *found) {
    if (input == "input") {
      inputs.push_back(0);
      continue;
    }
    const auto at = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                 [&](const Node& other) { return input == other.name; });
    if (at == graph.nodes.end()) {
      fail(node.name + ".inputs", "names " + shown(input) + ", but no layer before it has that name");
    }
    inputs.push_back(static_cast<int>(at - graph.nodes.begin()) + 1);
  }
  return inputs;
}

void read_fields(const json& layer, Node& node) {
  for (const Field& field : node.op->fields) {
    const auto found = layer.find(field.name);
    if (found != layer.end()) {
      FieldReader(node.name, field, *found).read(node.attributes);
    } else if (field.required) {
      fail(node.name + "." + std::string(field.name), "is missing");
    }
  }
  for (const auto& [key, value] : layer.items()) {
    if (key == "type" || key == "name" || key == "inputs") continue;
    const auto known = [&](const Field& field) { return field.name == key; };
    if (std::any_of(node.op->fields.begin(), node.op->fields.end(), known)) continue;
    std::vector<std::string_view> names;
    for (const Field& field : node.op->fields) names.push_back(field.name);
    fail(node.name + "." + key, std::string("is unknown; ") + std::string(node.op->name) +
                                    (names.empty() ? " has no fields" : " has " + joined(names)));
  }
}

void read_layer(const json& layer, Graph& graph) {
  const std::size_t index = graph.nodes.size();
  const std::string position = "layers[" + std::to_string(index) + "]";
  const json& type = required(layer, "type", position);
  Node node;
  node.op = type.is_string() ? find_op(type.get<std::string>()) : nullptr;
  if (!node.op) {
    fail(position + ".type", "unknown layer " + shown(type) + "; the layers are " + joined(layer_names()));
  }
  const auto name = layer.find("name");
  if (name != layer.end() && (!name->is_string() || name->get<std::string>().empty())) {
    fail(position + ".name", "must be a text, found " + shown(*name));
  }
  node.name = name != layer.end() ? name->get<std::string>() : automatic_name(*node.op, index);
  node.inputs = read_inputs(layer, graph, node);
  read_fields(layer, node);
  add_node(graph, std::move(node));
}

json pair_json(Pair pair) {
  return pair.height == pair.width ? json(pair.height) : json::array({pair.height, pair.width});
}

json field_json(const Attributes& attributes, const Field& field) {
  struct Writer {
    const Attributes& a;
    json operator()(int Attributes::* m) const { return a.*m; }
    json operator()(double Attributes::* m) const { return a.*m; }
    json operator()(bool Attributes::* m) const { return a.*m; }
    json operator()(Pair Attributes::* m) const { return pair_json(a.*m); }
    json operator()(WeightQuantization Attributes::* m) const {
      const WeightQuantization& q = a.*m;
      if (!q.scheme) return nullptr;
      Fields fields;
      fields("scheme", q.scheme->name)("bits", q.bits);
      if (q.scheme->codebook) {
        fields("pinned_zero", q.pinned_zero);
      } else {
        fields("granularity", kGranularities[static_cast<int>(q.granularity)]);
        if (q.granularity == Granularity::kGroup) fields("group_size", q.group_size);
      }
      if (q.learned) fields("learned", true);
      return fields.take();
    }
    json operator()(Padding Attributes::* m) const {
      const Padding& p = a.*m;
      if (p.top == p.left && p.left == p.bottom && p.bottom == p.right) return p.top;
      return json::array({p.top, p.left, p.bottom, p.right});
    }
  };
  return std::visit(Writer{attributes}, field.target);
}

}  // namespace

bool InputInfo::is_normalisation_in_range(double most) const {
  return std::ranges::all_of(mean, [&](double m) { return std::abs(m) <= most; }) &&
         std::ranges::all_of(standard_deviation, [&](double s) { return s >= 1 / most && s <= most; });
}

Graph compile(const json& spec) {
  if (!spec.is_object()) fail("spec", "must be a JSON object, found " + shown(spec));
  for (const auto& [key, value] : spec.items()) {
    static const std::set<std::string> known{"$schema", "name", "description", "input", "classes", "layers"};
    if (!known.contains(key)) fail(key, "is unknown; a spec has " + joined(known));
  }
  Graph graph;
  const auto name = spec.find("name");
  if (name != spec.end() && !name->is_string()) fail("name", "must be a text, found " + shown(*name));
  graph.name = name != spec.end() ? name->get<std::string>() : "model";
  graph.input = read_input(spec);
  graph.classes = extent(spec, "classes", 2, 65536, "spec");
  const json& layers = required(spec, "layers", "spec");
  if (!layers.is_array() || layers.empty()) fail("layers", "must be a list with at least one layer");
  if (layers.size() > kMostLayers) fail("layers", "has more than 1,000 layers");
  graph.nodes.reserve(layers.size());
  for (const json& layer : layers) read_layer(layer, graph);
  finish(graph);
  return graph;
}

json to_spec(const Graph& graph) {
  json input{{"channels", graph.input.shape.channels},
             {"height", graph.input.shape.height},
             {"width", graph.input.shape.width}};
  if (!graph.input.mean.empty()) input["mean"] = graph.input.mean;
  if (!graph.input.standard_deviation.empty()) {
    input["standard_deviation"] = graph.input.standard_deviation;
  }
  json layers = json::array();
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    json layer{{"type", node.op->name}, {"name", node.name}};
    if (node.inputs != std::vector<int>{static_cast<int>(i)}) {
      for (const int input_value : node.inputs) {
        layer["inputs"].push_back(
            input_value == 0 ? "input" : graph.nodes[static_cast<std::size_t>(input_value - 1)].name);
      }
    }
    for (const Field& field : node.op->fields) {
      json value = field_json(node.attributes, field);
      if (!value.is_null()) layer[field.name] = std::move(value);
    }
    layers.push_back(std::move(layer));
  }
  return {{"name", graph.name}, {"input", input}, {"classes", graph.classes}, {"layers", layers}};
}

}  // namespace espalier
