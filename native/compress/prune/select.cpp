#include "compress/prune/select.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/prune/criterion.h"
#include "ops/weights.h"

namespace espalier {
namespace {

class Chooser {
 public:
  Chooser(const Graph& graph, const PruneUnits& units, std::span<const double> scores,
          std::span<const std::uint8_t> held)
      : units_(units), scores_(scores), held_(held) {
    choice_.pruned.resize(units.count());
    choice_.spared.resize(graph.nodes.size());
    for (const Node& node : graph.nodes) kept_.push_back(has_weights(node) ? weight_of(node).size : 0);
  }

  // Of the units of `order`, as many of the first as have `target` weights.
  void take(std::vector<std::int32_t> order, std::int64_t target) {
    if (order.empty()) return;
    const auto before = [this](std::int32_t a, std::int32_t b) {
      const auto i = static_cast<std::size_t>(a), j = static_cast<std::size_t>(b);
      if (held_[i] != held_[j]) return held_[i] > held_[j];
      if (scores_[i] != scores_[j]) return scores_[i] < scores_[j];
      return a < b;
    };
    const std::int64_t size = units_.size(static_cast<std::size_t>(order.front()));
    const bool alike = std::all_of(order.begin(), order.end(), [&](std::int32_t u) {
      return units_.size(static_cast<std::size_t>(u)) == size;
    });
    const std::int64_t count = std::min<std::int64_t>(target / size, static_cast<std::int64_t>(order.size()));
    if (alike && count > held_in(order)) {
      // Several times faster than sorting; enough unless a layer would be emptied.
      if (count < static_cast<std::int64_t>(order.size())) {
        std::nth_element(order.begin(), order.begin() + count, order.end(), before);
      }
      const std::vector<std::int64_t> kept = kept_;
      for (std::int64_t i = 0; i < count; ++i) count_out(order[static_cast<std::size_t>(i)]);
      bool emptied = false;
      for (std::size_t n = 0; n < kept.size(); ++n) emptied = emptied || (kept[n] > 0 && kept_[n] == 0);
      if (!emptied) {
        for (std::int64_t i = 0; i < count; ++i) mark(order[static_cast<std::size_t>(i)]);
        return;
      }
      kept_ = kept;
    }
    std::sort(order.begin(), order.end(), before);
    std::int64_t taken = 0;
    for (const std::int32_t unit : order) {
      const auto u = static_cast<std::size_t>(unit);
      if (!held_[u]) {
        if (taken + units_.size(u) > target) break;
        if (empties_a_layer(u)) continue;
      }
      taken += units_.size(u);
      count_out(unit);
      mark(unit);
    }
  }

  void take_below(double threshold) {
    std::vector<std::int32_t> order;
    std::int64_t target = 0;
    for (std::size_t u = 0; u < units_.count(); ++u) {
      if (!held_[u] && !(scores_[u] < threshold)) continue;
      order.push_back(static_cast<std::int32_t>(u));
      target += units_.size(u);
    }
    take(std::move(order), target);
  }

  PruneChoice finish() { return std::move(choice_); }

 private:
  std::int64_t held_in(const std::vector<std::int32_t>& order) const {
    return std::count_if(order.begin(), order.end(),
                         [this](std::int32_t u) { return held_[static_cast<std::size_t>(u)] != 0; });
  }
  // Calls visit(node, weights) for each layer of a unit.
  template <class Visit>
  void for_each_layer(std::size_t unit, Visit&& visit) const {
    for (auto i = static_cast<std::size_t>(units_.first[unit]);
         i < static_cast<std::size_t>(units_.first[unit + 1]);) {
      const std::int32_t layer = units_.layer[i];
      std::int64_t count = 0;
      for (; i < static_cast<std::size_t>(units_.first[unit + 1]) && units_.layer[i] == layer; ++i) ++count;
      visit(static_cast<std::size_t>(layer), count);
    }
  }
  void count_out(std::int32_t unit) {
    for_each_layer(static_cast<std::size_t>(unit),
                   [this](std::size_t layer, std::int64_t count) { kept_[layer] -= count; });
  }
  bool empties_a_layer(std::size_t unit) {
    bool empties = false;
    for_each_layer(unit, [&](std::size_t layer, std::int64_t count) {
      if (kept_[layer] > count) return;
      empties = true;
      choice_.spared[layer] = true;
    });
    return empties;
  }
  void mark(std::int32_t unit) {
    const auto u = static_cast<std::size_t>(unit);
    choice_.pruned[u] = 1;
    if (!held_[u]) choice_.threshold = std::max(choice_.threshold, scores_[u]);
  }

  const PruneUnits& units_;
  std::span<const double> scores_;
  std::span<const std::uint8_t> held_;
  std::vector<std::int64_t> kept_;  // by node: weights that are left
  PruneChoice choice_;
};

}  // namespace

PruneChoice choose_share(const Graph& graph, const PruneUnits& units, std::span<const double> scores,
                         std::span<const std::uint8_t> held, double share, bool global) {
  Chooser chooser(graph, units, scores, held);
  std::vector<std::vector<std::int32_t>> pools(global ? 1 : graph.nodes.size());
  std::vector<std::int64_t> weights(pools.size());
  for (std::size_t u = 0; u < units.count(); ++u) {
    const auto pool = global ? std::size_t{0} : static_cast<std::size_t>(units.pool[u]);
    pools[pool].push_back(static_cast<std::int32_t>(u));
    weights[pool] += units.size(u);
  }
  for (std::size_t pool = 0; pool < pools.size(); ++pool) {
    chooser.take(std::move(pools[pool]), std::llround(share * static_cast<double>(weights[pool])));
  }
  return chooser.finish();
}

PruneChoice choose_below(const Graph& graph, const PruneUnits& units, std::span<const double> scores,
                         std::span<const std::uint8_t> held, double threshold) {
  Chooser chooser(graph, units, scores, held);
  chooser.take_below(threshold);
  return chooser.finish();
}

PruneChoice choose_n_of_m(const Graph& graph, const PruneUnits& units, std::span<const double> scores,
                          std::span<const std::uint8_t> held, int keep) {
  Chooser chooser(graph, units, scores, held);
  for (std::size_t g = 0; g + 1 < units.first_group.size(); ++g) {
    const std::int64_t first = units.first_group[g], end = units.first_group[g + 1];
    if (end - first <= keep) continue;
    std::vector<std::int32_t> group(static_cast<std::size_t>(end - first));
    std::iota(group.begin(), group.end(), static_cast<std::int32_t>(first));
    chooser.take(std::move(group), end - first - keep);
  }
  return chooser.finish();
}

double cubic_sparsity(double final, double x) {
  const double left = 1 - std::clamp(x, 0.0, 1.0);
  return final * (1 - left * left * left);
}

}  // namespace espalier
