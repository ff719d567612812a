// One pruning of one model: measures what the criterion needs, scores units, chooses, sets masks. When it
// does so is the schedule's matter (prune.cpp).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compress/pass.h"
#include "compress/prune/criterion.h"
#include "compress/prune/granularity.h"
#include "compress/prune/select.h"
#include "compress/prune/statistics.h"

namespace espalier {

// How much goes: one of the three, unless the granularity says it (N:M). 0: not this one.
struct PruneAmount {
  double sparsity = 0;     // share of the prunable weights: biases and batch norm are not counted
  double threshold = 0;    // the article's: everything whose score is below it
  std::int64_t bytes = 0;  // the smallest sparsity whose measure().total.bytes is at most this
};

struct PruneSettings {
  const Criterion* criterion = &kMagnitude;
  PruneGranularity granularity;
  bool global = true;
  PruneAmount amount;
  int samples = 512;
  std::vector<bool> layers;  // by node, which may be pruned
};

class Pruner {
 public:
  // Weights that `model` has masked already stay so. All must outlive the pruner. Error{kArgument} when
  // nothing can be pruned.
  Pruner(Model& model, const PassContext& context, PruneSettings settings);

  // Statistics of the model as it is, on settings.samples training images; nothing if none are needed.
  Work measure();
  // Statistics of a training: after each step, until the next choice.
  void record(const Trainer& trainer);

  // Sets the mask for `sparsity`; pruned values become 0. Statistics start anew.
  void prune(double sparsity);
  // For the whole amount.
  void prune_fully();
  // The same for a training that keeps values behind the mask: only what was masked from the beginning is
  // sure to stay; everything else is chosen again. A pruned unit returns when its score is `kHysteresis`
  // times that of a kept one, so that masks do not flicker. Values stay.
  void splice();
  void zero_pruned();

  // Whether the sparsity is known only from scores: a byte budget.
  bool depends_on_scores() const { return settings_.amount.bytes > 0; }
  void forget();  // the statistics
  // The sparsity that the whole amount means now. Error{kArgument} when the bytes cannot be reached.
  double full_sparsity();

  const PruneUnits& units() const { return units_; }
  std::vector<double> unit_scores() const;
  const PruneChoice& choice() const { return choice_; }
  std::int64_t returned() const { return returned_; }  // weights that splicing has brought back

  static constexpr double kHysteresis = 1.1;

 private:
  void score_units(std::vector<double>& scores) const;
  void drop_unscored_units();
  std::vector<std::uint8_t> held(const aligned_vector<real>& mask) const;
  PruneChoice choose(std::span<const double> scores, std::span<const std::uint8_t> held,
                     double sparsity) const;
  PruneChoice choose_fully(std::span<const double> scores, std::span<const std::uint8_t> held);
  double sparsity_for_bytes(std::span<const double> scores, std::span<const std::uint8_t> held);
  // `mask` with the units of `choice` masked too.
  void apply(const PruneChoice& choice, aligned_vector<real>& mask) const;
  void accept(PruneChoice choice);
  std::int64_t measure_bytes() const;

  Model& model_;
  const PassContext& context_;
  PruneSettings settings_;
  PruneUnits units_;
  aligned_vector<real> first_mask_;  // the model's before this pruning
  std::unique_ptr<GradientStatistics> gradients_;
  std::unique_ptr<ActivityStatistics> activity_;
  std::unique_ptr<ActivityRecorder> recorder_;
  PruneChoice choice_;
  std::int64_t returned_ = 0;
  mutable std::vector<real> weights_;  // scratch
};

}  // namespace espalier
