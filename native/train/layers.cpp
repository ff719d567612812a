#include "train/layers.h"

#include <cstdlib>

#include "core/error.h"

namespace espalier {

bool names_layer(std::string_view pattern, std::string_view layer) {
  if (pattern.ends_with('*')) return layer.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == layer;
}

std::vector<bool> layers_named(const Graph& graph, std::span<const std::string> patterns, const char* field) {
  std::vector<bool> named(graph.nodes.size(), false);
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (const Node& node : graph.nodes) {
      if (!names_layer(pattern, node.name)) continue;
      named[node.index] = true;
      any = true;
    }
    if (!any) {
      throw Error(ErrorCode::kArgument, field,
                  "names \"" + pattern + "\", but the model \"" + graph.name +
                      "\" has no such layer; its layers are " + names_of(graph.nodes));
    }
  }
  return named;
}

std::vector<double> layer_rates(const Graph& graph, const TrainingConfig& config) {
  std::vector<double> rates(graph.nodes.size(), 1.0);
  for (const std::string& text : config.layer_rates) {
    const std::size_t equals = text.find('=');
    const std::string pattern = text.substr(0, equals);
    const char* number = equals == std::string::npos ? "" : text.c_str() + equals + 1;
    char* end = nullptr;
    const double rate = std::strtod(number, &end);
    if (end == number || *end != '\0' || !(rate >= 0 && rate <= 1e6)) {
      throw Error(ErrorCode::kArgument, "layer_rates",
                  "must be layer=factor with a factor from 0 to 1000000, found \"" + text + "\"");
    }
    const std::vector<bool> named = layers_named(graph, std::span(&pattern, 1), "layer_rates");
    for (std::size_t i = 0; i < rates.size(); ++i) {
      if (named[i]) rates[i] = rate;
    }
  }
  const std::vector<bool> frozen = layers_named(graph, config.freeze, "freeze");
  bool any = false;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    if (frozen[i]) rates[i] = 0;
    any = any || (rates[i] > 0 && graph.nodes[i].parameter_count() > 0);
  }
  if (!any) {
    throw Error(ErrorCode::kArgument, "freeze",
                "leaves nothing to train; free at least one layer with weights");
  }
  return rates;
}

}  // namespace espalier
