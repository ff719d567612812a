// What is pruned together. A *unit* is a set of weights that stay or go as one:
//
//   weight    each weight
//   N:M       each weight, but of M neighbours along the input dimension (the same tap of neighbouring input
//             channels) at most N stay
//   row       a row of a kernel; of dense layers and kernels one pixel wide, each weight
//   channel   an output channel of a convolution or a neuron of a dense layer: its weights, and with them its
//             bias and the gamma and beta of the batch norms behind it
//
// Channels that an addition ties together are one unit, and a depthwise convolution's follow those of its
// input. Channels of the image and of the network's output are never pruned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace espalier {

struct PruneGranularity {
  enum class Kind { kWeight, kNOfM, kRow, kChannel };
  Kind kind = Kind::kWeight;
  int keep = 0;  // N
  int of = 0;    // M
};

// "weight", "2:4", "row", "channel". Error{kArgument} otherwise.
PruneGranularity parse_granularity(const std::string& text);

// Unit u has the weights [first[u], first[u + 1]) of `weights`, which are slab indices; `layer` says which
// node each belongs to, and the weights of one layer stand together. `extras` are what goes with them.
struct PruneUnits {
  std::vector<std::int64_t> first{0};
  std::vector<std::int32_t> weights;
  std::vector<std::int32_t> layer;
  std::vector<std::int64_t> first_extra{0};
  std::vector<std::int32_t> extras;
  std::vector<int> pool;                  // by unit: the layer, or one of the layers that are tied together
  std::vector<std::int64_t> first_group;  // N:M: units [first_group[g], first_group[g + 1]) are neighbours

  std::size_t count() const { return pool.size(); }
  std::int64_t size(std::size_t unit) const { return first[unit + 1] - first[unit]; }
  void end_unit(int unit_pool) {
    first.push_back(static_cast<std::int64_t>(weights.size()));
    first_extra.push_back(static_cast<std::int64_t>(extras.size()));
    pool.push_back(unit_pool);
  }
};

// Of the layers that `layers` (by node) allows; a channel is left alone unless all layers that it is tied to
// are allowed.
PruneUnits make_units(const Graph& graph, const PruneGranularity& granularity,
                      const std::vector<bool>& layers);

}  // namespace espalier
