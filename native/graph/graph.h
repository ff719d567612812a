// A model spec, compiled: nodes in execution order, every shape proved, every parameter placed.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/node.h"

namespace espalier {

// A pixel enters the network as (pixel / 255 - mean) / standard_deviation. Empty: 0 and 1.
struct InputInfo {
  Shape shape;
  std::vector<double> mean;
  std::vector<double> standard_deviation;

  // Means and deviations lie within `most` and its inverse, so that pixels stay numbers of float32.
  bool is_normalisation_in_range(double most = 1e18) const;
};

struct Graph {
  std::string name;
  InputInfo input;
  int classes = 0;
  std::vector<Node> nodes;
  std::int64_t slab_size = 0;       // numbers in a slab, padding included
  std::int64_t trainable_size = 0;  // the slab's first part; running statistics follow
  std::int64_t sharded_size = 0;    // its first part: gradients that are added up block by block

  const Shape& value_shape(int value) const {
    return value == 0 ? input.shape : nodes[static_cast<std::size_t>(value - 1)].out_shape;
  }
  std::int64_t parameter_count() const;                  // padding excluded, running statistics excluded
  std::int64_t macs() const;                             // multiply-accumulates for one image
  std::vector<const ParameterInfo*> parameters() const;  // in file order
};

// Compiles a spec. Throws Error{kSpec} whose `where` is "layer.field".
Graph compile(const nlohmann::json& spec);

// The spec of a graph, complete (every default written out); compile() reads it back.
nlohmann::json to_spec(const Graph& graph);

// The JSON Schema of a spec, made from the layer table.
nlohmann::json spec_schema();

// Layer types with their fields and summaries, for menus and documentation.
nlohmann::json layer_catalog();

// Built-in specs, in the order of the documentation.
struct Preset {
  std::string_view name;
  std::string_view spec;  // JSON
};
std::span<const Preset> presets();
const Preset* find_preset(std::string_view name);

// A preset with its input and classes replaced by the dataset's.
nlohmann::json preset_spec(std::string_view name, int channels, int height, int width, int classes);

}  // namespace espalier
