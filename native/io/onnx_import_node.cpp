#include "io/onnx_import_node.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "graph/assemble.h"

namespace espalier::onnx_import {
namespace {

std::string title(const onnx::Node& node) {
  const std::string name = !node.name.empty() ? node.name : !node.outputs.empty() ? node.outputs.front() : "";
  return node.op + " (node \"" + name + "\")";
}

}  // namespace

double decimal_of(float number) {
  for (double power = 1; power < 1e13; power *= 10) {
    const double decimal = std::nearbyint(double{number} * power) / power;
    if (static_cast<float>(decimal) == number) return decimal;
  }
  return double{number};
}

void NodeImport::refuse(const std::string& what) const {
  throw Error(ErrorCode::kUnsupported, {}, "has the operator " + title(node_) + what);
}

void NodeImport::contradicts(const std::string& what) const {
  fail("has an operator " + title(node_) + " " + what);
}

const Attribute* NodeImport::attribute(std::string_view name, Attribute::Type type) const {
  for (const Attribute& a : node_.attributes) {
    if (a.name != name) continue;
    require(a.type == type, "whose attribute \"" + a.name + "\" is of another type");
    return &a;
  }
  return nullptr;
}

std::int64_t NodeImport::whole(std::string_view name, std::int64_t otherwise) const {
  const Attribute* a = attribute(name, Attribute::Type::kInt);
  return a ? a->whole : otherwise;
}

double NodeImport::number(std::string_view name, double otherwise) const {
  const Attribute* a = attribute(name, Attribute::Type::kFloat);
  return a ? decimal_of(a->number) : otherwise;
}

std::string NodeImport::text(std::string_view name, const std::string& otherwise) const {
  const Attribute* a = attribute(name, Attribute::Type::kString);
  return a ? a->text : otherwise;
}

std::vector<std::int64_t> NodeImport::wholes(std::string_view name,
                                             std::vector<std::int64_t> otherwise) const {
  const Attribute* a = attribute(name, Attribute::Type::kInts);
  if (!a) return otherwise;
  require(otherwise.empty() || a->wholes.size() == otherwise.size(),
          "whose \"" + std::string(name) + "\" has " + std::to_string(a->wholes.size()) +
              " numbers instead of " + std::to_string(otherwise.size()));
  return a->wholes;
}

int NodeImport::small(std::int64_t number) const {
  require(number >= -(1 << 20) && number <= 1 << 20, "with a size that cannot be");
  return static_cast<int>(number);
}

const std::string& NodeImport::input_name(std::size_t i) const {
  require(has_input(i), "without its input " + std::to_string(i));
  return node_.inputs[i];
}

const Value& NodeImport::value(std::size_t i) const {
  const std::string& name = input_name(i);
  const auto at = network_.values.find(name);
  if (at != network_.values.end()) return at->second;
  if (network_.constants.contains(name)) refuse(", whose input \"" + name + "\" is a constant here");
  contradicts("that reads \"" + name + "\", which no node before it writes");
}

const Constant* NodeImport::maybe_constant(std::size_t i) const {
  if (!has_input(i)) return nullptr;
  const auto at = network_.constants.find(node_.inputs[i]);
  return at == network_.constants.end() ? nullptr : &at->second;
}

const Constant& NodeImport::constant(std::size_t i) const {
  const Constant* found = maybe_constant(i);
  if (found) return *found;
  if (network_.values.contains(input_name(i)))
    refuse(", whose input \"" + input_name(i) + "\" is not a constant");
  contradicts("that reads \"" + input_name(i) + "\", which is missing from the file");
}

float NodeImport::scalar(std::size_t i) const {
  const Constant& c = constant(i);
  require(c.numbers.size() == 1, "whose input \"" + input_name(i) + "\" is not one number");
  return c.numbers[0];
}

void NodeImport::set(const Value& v) {
  require(!node_.outputs.empty() && !node_.outputs[0].empty(), "without an output");
  for (std::size_t i = 1; i < node_.outputs.size(); ++i) {
    if (!node_.outputs[i].empty() && network_.readers.contains(node_.outputs[i])) {
      refuse(", whose output \"" + node_.outputs[i] + "\" is used");
    }
  }
  require(
      network_.values.emplace(node_.outputs[0], v).second && !network_.constants.contains(node_.outputs[0]),
      "that writes \"" + node_.outputs[0] + "\" a second time");
}

void NodeImport::set_constant(Constant c) {
  network_.count(c.numbers.size() + c.wholes.size());
  require(!node_.outputs.empty(), "without an output");
  require(!network_.values.contains(node_.outputs[0]) &&
              network_.constants.emplace(node_.outputs[0], std::move(c)).second,
          "that writes \"" + node_.outputs[0] + "\" a second time");
}

Value NodeImport::append(const OpType& op, std::vector<Value> from, Attributes attributes,
                         std::vector<std::vector<float>> parameters) {
  Layer layer{.node = {.op = &op, .name = fresh_name(op), .attributes = attributes},
              .parameters = std::move(parameters)};
  for (const Value& v : from) {
    if (v.classified) refuse(", which reads what a Softmax gives");
    if (v.is_codes && &op != &kMaxPool && &op != &kFlatten) {
      refuse(", which reads codes; a DequantizeLinear belongs before it");
    }
    layer.node.inputs.push_back(v.id);
  }
  if (network_.graph.nodes.size() >= kMostLayers) fail("has more than 1,000 layers");
  add_node(network_.graph, layer.node);
  for (const std::vector<float>& numbers : layer.parameters) network_.count(numbers.size());
  network_.layers.push_back(std::move(layer));
  return {.id = static_cast<int>(network_.layers.size()), .flat = from[0].flat};
}

// The node's own name where it has one that is still free.
std::string NodeImport::fresh_name(const OpType& op) const {
  const auto taken = [&](const std::string& name) {
    return name == "input" || std::any_of(network_.layers.begin(), network_.layers.end(),
                                          [&](const Layer& l) { return l.node.name == name; });
  };
  std::string name = node_.name;
  // What onnx_export.cpp puts behind a layer's name.
  for (const std::string_view ending : {".codes", ".moved", ".byte"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  if (!name.empty() && name.size() < 256 && !taken(name)) return name;
  name = automatic_name(op, network_.layers.size());
  while (taken(name)) name += "_";
  return name;
}

Value NodeImport::flattened(Value v) {
  if (v.flat) return v;
  if (shape_of(v).pixels() > 1) {
    const Value out = append(kFlatten, {v}, {});
    v.id = out.id;
  }
  v.flat = true;
  return v;
}

}  // namespace espalier::onnx_import
