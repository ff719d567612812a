// Which units go, given their scores: the lowest, up to a share of the weights; or all below a threshold; or
// all but N of M neighbours.
//
// A share F of n weights is round(F · n) of them, halves up. Units are taken in the order of their scores
// (ties: in the order of the slab) as long as they fit into that number, so single weights hit it exactly,
// and larger units stay below it by less than one unit. No layer is emptied: the unit that would do so stays.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/prune/granularity.h"

namespace espalier {

struct PruneChoice {
  std::vector<std::uint8_t> pruned;  // by unit
  std::vector<bool> spared;          // by node: the layer would have been emptied
  double threshold = 0;              // the largest score that went
};

// `scores` and `held` are by unit. Units that are held are pruned already: they go first and count.
// `global`: the share is taken of all units at once; otherwise of each pool.
PruneChoice choose_share(const Graph& graph, const PruneUnits& units, std::span<const double> scores,
                         std::span<const std::uint8_t> held, double share, bool global);

PruneChoice choose_below(const Graph& graph, const PruneUnits& units, std::span<const double> scores,
                         std::span<const std::uint8_t> held, double threshold);

PruneChoice choose_n_of_m(const Graph& graph, const PruneUnits& units, std::span<const double> scores,
                          std::span<const std::uint8_t> held, int keep);

// The sparsity of gradual pruning (Zhu and Gupta 2017): final · (1 - (1 - x)³) after the share x of the ramp;
// few weights are left to choose from towards the end, so it slows down.
double cubic_sparsity(double final, double x);

}  // namespace espalier
