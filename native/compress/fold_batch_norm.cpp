#include "compress/fold_batch_norm.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "compress/quantize/rewrite.h"
#include "core/math.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

// A batch norm, and the layer that takes it over: its own depthwise convolution, or the one before it.
struct Fold {
  const Node* norm = nullptr;
  const Node* producer = nullptr;  // null: becomes a depthwise convolution
};

const Node* foldable_producer(const Graph& graph, const Node& norm) {
  const int source = norm.inputs.front();
  if (source == 0) return nullptr;
  const Node& producer = graph.nodes[static_cast<std::size_t>(source - 1)];
  if (!has_weights(producer) || producer.attributes.quantize.scheme) return nullptr;
  int readers = 0;
  for (const Node& node : graph.nodes) {
    readers += static_cast<int>(std::count(node.inputs.begin(), node.inputs.end(), source));
  }
  return readers == 1 ? &producer : nullptr;
}

// Numbers of a model as its layers see them, and their masks.
struct Source {
  const Parameters& parameters;
  // Running statistics have no mask.
  real mask(std::int64_t at) const {
    const auto i = static_cast<std::size_t>(at);
    return i < parameters.mask.size() ? parameters.mask[i] : real{1};
  }
  double value(std::int64_t at) const {
    return static_cast<double>(parameters.value[static_cast<std::size_t>(at)]) * mask(at);
  }
};

const Node& node_named(const Graph& graph, const std::string& name) {
  return *std::find_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const Node& node) { return node.name == name; });
}

void fold_into(const Source& source, const Fold& fold, const Node& target, Parameters& parameters) {
  enum { kGamma, kBeta, kMean, kVariance };
  const auto& norm = fold.norm->parameters;
  const ParameterInfo& weight = weight_of(target);
  const ParameterInfo& bias = *bias_of(target);
  const ParameterInfo* old_bias = fold.producer ? bias_of(*fold.producer) : nullptr;
  const std::int64_t row = weight.size / bias.size;
  for (std::int64_t c = 0; c < bias.size; ++c) {
    const double variance = source.value(norm[kVariance].offset + c);
    const double scale =
        source.value(norm[kGamma].offset + c) / math::sqrt(variance + fold.norm->attributes.epsilon);
    for (std::int64_t i = c * row; i < (c + 1) * row; ++i) {
      const std::int64_t from = fold.producer ? weight_of(*fold.producer).offset + i : -1;
      const double old = fold.producer ? source.value(from) : 1;
      const auto to = static_cast<std::size_t>(weight.offset + i);
      parameters.value[to] = static_cast<real>(old * scale);
      if (parameters.mask.empty()) continue;
      parameters.mask[to] =
          (fold.producer ? source.mask(from) : real{1}) * source.mask(norm[kGamma].offset + c);
    }
    const double old = old_bias ? source.value(old_bias->offset + c) : 0;
    const auto to = static_cast<std::size_t>(bias.offset + c);
    parameters.value[to] = static_cast<real>((old - source.value(norm[kMean].offset + c)) * scale +
                                             source.value(norm[kBeta].offset + c));
    if (!parameters.mask.empty()) parameters.mask[to] = 1;
  }
}

std::unique_ptr<Model> fold_all(const Model& model) {
  const Graph& graph = model.graph;
  json spec = explicit_spec(graph);
  std::vector<Fold> folds;
  json layers = json::array();
  for (const Node& node : graph.nodes) {
    json& layer = spec["layers"][node.index];
    if (node.op != &kBatchNorm) {
      layers.push_back(layer);
      continue;
    }
    const Fold fold{&node, foldable_producer(graph, node)};
    folds.push_back(fold);
    if (fold.producer) continue;
    json conv = json::object();
    conv["type"] = std::string(kConv.name);
    conv["name"] = node.name;
    conv["inputs"] = layer["inputs"];
    conv["out_channels"] = node.out_shape.channels;
    conv["groups"] = node.out_shape.channels;
    conv["kernel"] = 1;
    layers.push_back(std::move(conv));
  }
  for (const Fold& fold : folds) {
    if (!fold.producer) continue;
    for (json& layer : layers) {
      if (layer["name"] == fold.producer->name) layer["bias"] = true;
      for (json& input : layer["inputs"]) {
        if (input == fold.norm->name) input = fold.producer->name;
      }
    }
  }
  spec["layers"] = std::move(layers);

  auto result = rewritten(model, spec);
  for (const Fold& fold : folds) {
    const std::string& name = fold.producer ? fold.producer->name : fold.norm->name;
    fold_into({model.parameters}, fold, node_named(result->graph, name), result->parameters);
  }
  return result;
}

bool has_batch_norm(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [](const Node& node) { return node.op == &kBatchNorm; });
}

}  // namespace

std::unique_ptr<Model> fold_batch_norm(const Model& model) {
  return has_batch_norm(model.graph) ? fold_all(model) : std::make_unique<Model>(model);
}

}  // namespace espalier
