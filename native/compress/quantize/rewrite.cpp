#include "compress/quantize/rewrite.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ops/op.h"

namespace espalier {
namespace {

using nlohmann::json;

// Rectifiers run in the same loop as the layer before them.
bool is_rectifier(const Node& node) {
  return node.op == &kRelu || node.op == &kRelu6 || node.op == &kLeakyRelu;
}

// Whether the layer's numbers are among its inputs' (or their grid's) numbers.
bool keeps_grid(const Node& node) {
  return node.op == &kMaxPool || node.op == &kFlatten || node.op == &kDropout || node.op == &kRelu;
}

// The only reader of a value; null when there are several or none.
const Node* only_reader(const Graph& graph, int value) {
  const Node* reader = nullptr;
  for (const Node& node : graph.nodes) {
    for (const int input : node.inputs) {
      if (input != value) continue;
      if (reader) return nullptr;
      reader = &node;
    }
  }
  return reader;
}

int value_of(const Node& node) { return static_cast<int>(node.index) + 1; }

// Whether nothing but layers that keep numbers as they are lies between the value and the outputs.
bool is_output(const Graph& graph, int value) {
  while (value != static_cast<int>(graph.nodes.size())) {
    const Node* reader = only_reader(graph, value);
    if (!reader || !keeps_grid(*reader)) return false;
    value = value_of(*reader);
  }
  return true;
}

}  // namespace

std::string value_name(const Graph& graph, int value) {
  return value == 0 ? "input" : graph.nodes[static_cast<std::size_t>(value - 1)].name;
}

json explicit_spec(const Graph& graph) {
  json spec = to_spec(graph);
  for (const Node& node : graph.nodes) {
    json inputs = json::array();
    for (const int input : node.inputs) inputs.push_back(value_name(graph, input));
    spec["layers"][node.index]["inputs"] = std::move(inputs);
  }
  return spec;
}

std::unique_ptr<Model> rewritten(const Model& model, const json& spec) {
  auto result = std::make_unique<Model>(compile(spec));
  initialize(result->graph, 1, result->parameters);
  const auto& mask = model.parameters.mask;
  if (!mask.empty()) {
    result->parameters.mask.assign(static_cast<std::size_t>(result->graph.trainable_size), real{1});
  }
  const auto tensors = model.graph.parameters();
  for (const ParameterInfo* to : result->graph.parameters()) {
    const auto at = std::find_if(tensors.begin(), tensors.end(),
                                 [&](const ParameterInfo* p) { return p->name == to->name; });
    if (at == tensors.end() || (*at)->size != to->size) continue;
    const ParameterInfo& from = **at;
    std::copy_n(model.parameters.value.begin() + from.offset, from.size,
                result->parameters.value.begin() + to->offset);
    if (mask.empty() || !from.trainable || !to->trainable) continue;
    std::copy_n(mask.begin() + from.offset, from.size, result->parameters.mask.begin() + to->offset);
  }
  return result;
}

std::vector<int> quantized_values(const Graph& graph) {
  std::vector<int> values;
  const auto add = [&](int value) {
    if (!is_output(graph, value)) values.push_back(value);
  };
  add(0);
  for (const Node& node : graph.nodes) {
    const int value = value_of(node);
    const int source = node.inputs.front();
    // A rectifier that is the only reader of a new number is what its grid is for.
    const bool behind = is_rectifier(node) && source > 0 && only_reader(graph, source) == &node &&
                        !keeps_grid(graph.nodes[static_cast<std::size_t>(source - 1)]);
    if (behind) {
      add(value);
      continue;
    }
    if (keeps_grid(node)) continue;
    const Node* reader = only_reader(graph, value);
    if (!reader || !is_rectifier(*reader)) add(value);
  }
  return values;
}

std::string quantizer_name(const Graph& graph, int value) {
  std::string name = value_name(graph, value) + "_quantize";
  const auto taken = [&](const Node& node) { return node.name == name; };
  while (std::any_of(graph.nodes.begin(), graph.nodes.end(), taken)) name += "_";
  return name;
}

json quantized_spec(const Graph& graph, std::span<const WeightQuantization> weights, int activation_bits,
                    bool learned) {
  Graph changed = graph;
  for (std::size_t i = 0; i < weights.size(); ++i) changed.nodes[i].attributes.quantize = weights[i];
  json spec = explicit_spec(changed);
  if (activation_bits == 0) return spec;

  const std::vector<int> values = quantized_values(graph);
  const auto is_value = [&](int value) {
    return std::find(values.begin(), values.end(), value) != values.end();
  };
  json layers = json::array();
  const auto add_quantizer = [&](int value) {
    if (!is_value(value)) return;
    json layer = json::object();
    layer["type"] = std::string(kFakeQuantize.name);
    layer["name"] = quantizer_name(graph, value);
    layer["inputs"] = json::array();
    layer["inputs"].push_back(value_name(graph, value));
    layer["bits"] = activation_bits;
    layer["learned"] = learned;
    layers.push_back(std::move(layer));
  };
  add_quantizer(0);
  for (const Node& node : graph.nodes) {
    json layer = spec["layers"][node.index];
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (is_value(node.inputs[i])) layer["inputs"][i] = quantizer_name(graph, node.inputs[i]);
    }
    layers.push_back(std::move(layer));
    add_quantizer(value_of(node));
  }
  spec["layers"] = std::move(layers);
  return spec;
}

bool is_quantized(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
    return node.attributes.quantize.scheme || node.op == &kFakeQuantize;
  });
}

}  // namespace espalier
