// Layers by name: which ones a training freezes, and how fast the others learn.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "train/config.h"

namespace espalier {

// Whether `pattern` means the layer: its name, or the beginning of it with a * ("conv*"; "*" is every layer).
bool names_layer(std::string_view pattern, std::string_view layer);

// By node, whether any of the patterns means it. A pattern that means no layer is Error{kArgument} at
// `field`, listing the layers.
std::vector<bool> layers_named(const Graph& graph, std::span<const std::string> patterns, const char* field);

// By node, the factor on the learning rate: config.layer_rates, 0 where config.freeze names the layer, 1
// elsewhere. Error{kArgument} when nothing is left to train.
std::vector<double> layer_rates(const Graph& graph, const TrainingConfig& config);

}  // namespace espalier
