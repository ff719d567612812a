#include "compress/prune/pruner.h"

#include <algorithm>

#include "compress/report.h"
#include "core/error.h"
#include "core/math.h"

namespace espalier {
namespace {

// Of a unit from those of its weights.
double together(Criterion::Together how, std::span<const real> scores,
                std::span<const std::int32_t> weights) {
  if (how == Criterion::Together::kFirst) return scores[static_cast<std::size_t>(weights.front())];
  const bool squares = how == Criterion::Together::kRootMeanSquare;
  double sum = 0;
  int count = 0;
  for (const std::int32_t i : weights) {
    const double score = scores[static_cast<std::size_t>(i)];
    if (score < 0) continue;
    sum += squares ? score * score : score;
    ++count;
  }
  if (count == 0) return kNoScore;
  return squares ? math::sqrt(sum / count) : sum / count;
}

}  // namespace

Pruner::Pruner(Model& model, const PassContext& context, PruneSettings settings)
    : model_(model),
      context_(context),
      settings_(std::move(settings)),
      units_(make_units(model.graph, settings_.granularity, settings_.layers)) {
  auto& mask = model_.parameters.mask;
  if (mask.empty()) mask.assign(static_cast<std::size_t>(model_.graph.trainable_size), real{1});
  first_mask_ = mask;
  const Criterion& criterion = *settings_.criterion;
  if (criterion.needs == Criterion::Needs::kGradients) {
    gradients_ = std::make_unique<GradientStatistics>(model_.graph);
  } else if (criterion.needs == Criterion::Needs::kActivity) {
    activity_ = std::make_unique<ActivityStatistics>(model_.graph);
  } else {
    drop_unscored_units();
  }
  if (units_.count() == 0) {
    throw Error(ErrorCode::kArgument, "layers",
                "leaves nothing to prune in \"" + model_.graph.name +
                    "\"; name convolutions or dense layers that the granularity and the criterion fit (whole "
                    "channels of the last layer and of layers tied to it or to the image always stay)");
  }
}

void Pruner::drop_unscored_units() {
  std::vector<double> scores(units_.count());
  score_units(scores);
  if (std::find(scores.begin(), scores.end(), double{kNoScore}) == scores.end()) return;
  PruneUnits scored;
  for (std::size_t u = 0; u < units_.count(); ++u) {
    if (scores[u] == kNoScore) continue;
    const auto copy = [](const auto& from, std::int64_t first, std::int64_t end, auto& to) {
      to.insert(to.end(), from.begin() + first, from.begin() + end);
    };
    copy(units_.weights, units_.first[u], units_.first[u + 1], scored.weights);
    copy(units_.layer, units_.first[u], units_.first[u + 1], scored.layer);
    copy(units_.extras, units_.first_extra[u], units_.first_extra[u + 1], scored.extras);
    scored.end_unit(units_.pool[u]);
  }
  units_ = std::move(scored);
}

Work Pruner::measure() {
  if (gradients_) {
    gradients_->clear();
    co_await record_gradients(model_, context_, settings_.samples, *gradients_);
  }
  if (activity_) {
    activity_->clear();
    co_await record_activity(model_, context_, settings_.samples, *activity_);
  }
}

void Pruner::record(const Trainer&) {
  const Parameters& parameters = model_.parameters;
  if (gradients_) {
    take_scored_weights(model_, weights_);
    gradients_->add(weights_, parameters.gradient);
  }
  if (!activity_) return;
  if (!recorder_) recorder_ = std::make_unique<ActivityRecorder>(model_, context_, *activity_);
  recorder_->record(ActivityRecorder::kSlice);
}

void Pruner::score_units(std::vector<double>& scores) const {
  take_scored_weights(model_, weights_);
  std::vector<real> by_weight(static_cast<std::size_t>(model_.graph.trainable_size), kNoScore);
  const Criterion& criterion = *settings_.criterion;
  criterion.score({.model = model_,
                   .weights = weights_,
                   .gradients = gradients_.get(),
                   .activity = activity_.get(),
                   .seed = context_.training.seed},
                  by_weight);
  for (std::size_t u = 0; u < units_.count(); ++u) {
    const std::span members(units_.weights.data() + units_.first[u],
                            static_cast<std::size_t>(units_.size(u)));
    scores[u] = together(criterion.together, by_weight, members);
  }
}

std::vector<double> Pruner::unit_scores() const {
  std::vector<double> scores(units_.count());
  score_units(scores);
  return scores;
}

std::vector<std::uint8_t> Pruner::held(const aligned_vector<real>& mask) const {
  std::vector<std::uint8_t> held(units_.count());
  for (std::size_t u = 0; u < held.size(); ++u) {
    const auto begin = units_.weights.begin() + units_.first[u];
    const auto end = units_.weights.begin() + units_.first[u + 1];
    held[u] = std::all_of(begin, end, [&](std::int32_t i) { return mask[static_cast<std::size_t>(i)] == 0; });
  }
  return held;
}

PruneChoice Pruner::choose(std::span<const double> scores, std::span<const std::uint8_t> held,
                           double sparsity) const {
  return choose_share(model_.graph, units_, scores, held, sparsity, settings_.global);
}

PruneChoice Pruner::choose_fully(std::span<const double> scores, std::span<const std::uint8_t> held) {
  if (settings_.granularity.kind == PruneGranularity::Kind::kNOfM) {
    return choose_n_of_m(model_.graph, units_, scores, held, settings_.granularity.keep);
  }
  const PruneAmount& amount = settings_.amount;
  if (amount.threshold > 0) return choose_below(model_.graph, units_, scores, held, amount.threshold);
  return choose(scores, held, amount.bytes > 0 ? sparsity_for_bytes(scores, held) : amount.sparsity);
}

// Bytes fall as sparsity grows, so bisection finds the smallest number of weights.
double Pruner::sparsity_for_bytes(std::span<const double> scores, std::span<const std::uint8_t> held) {
  const aligned_vector<real> mask = model_.parameters.mask;
  const auto total = static_cast<std::int64_t>(units_.weights.size());
  const auto share = [total](std::int64_t count) {
    return static_cast<double>(count) / static_cast<double>(total);
  };
  const auto bytes = [&](std::int64_t count) {
    model_.parameters.mask = mask;
    apply(choose(scores, held, share(count)), model_.parameters.mask);
    const std::int64_t result = measure_bytes();
    model_.parameters.mask = mask;
    return result;
  };
  if (const std::int64_t smallest = bytes(total); smallest > settings_.amount.bytes) {
    throw Error(ErrorCode::kArgument, "bytes",
                "is " + std::to_string(settings_.amount.bytes) + ", but this pruning cannot make \"" +
                    model_.graph.name + "\" smaller than " + std::to_string(smallest) +
                    "; allow more bytes, or quantize the weights as well");
  }
  std::int64_t low = 0, high = total;  // `high` fits
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (bytes(middle) <= settings_.amount.bytes) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return share(high);
}

std::int64_t Pruner::measure_bytes() const { return espalier::measure(model_).total.bytes; }

double Pruner::full_sparsity() {
  if (settings_.amount.bytes == 0) return settings_.amount.sparsity;
  return sparsity_for_bytes(unit_scores(), held(model_.parameters.mask));
}

void Pruner::apply(const PruneChoice& choice, aligned_vector<real>& mask) const {
  const auto clear = [&mask](const std::vector<std::int32_t>& indices, std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) {
      mask[static_cast<std::size_t>(indices[static_cast<std::size_t>(i)])] = 0;
    }
  };
  for (std::size_t u = 0; u < units_.count(); ++u) {
    if (choice.pruned[u] == 0) continue;
    clear(units_.weights, units_.first[u], units_.first[u + 1]);
    clear(units_.extras, units_.first_extra[u], units_.first_extra[u + 1]);
  }
}

void Pruner::accept(PruneChoice choice) {
  choice_ = std::move(choice);
  forget();
}

void Pruner::forget() {
  if (gradients_) gradients_->clear();
  if (activity_) activity_->clear();
}

void Pruner::zero_pruned() {
  Parameters& parameters = model_.parameters;
  for (std::size_t i = 0; i < parameters.mask.size(); ++i) parameters.value[i] *= parameters.mask[i];
}

void Pruner::prune(double sparsity) {
  PruneChoice choice = choose(unit_scores(), held(model_.parameters.mask), sparsity);
  apply(choice, model_.parameters.mask);
  accept(std::move(choice));
  zero_pruned();
}

void Pruner::prune_fully() {
  PruneChoice choice = choose_fully(unit_scores(), held(model_.parameters.mask));
  apply(choice, model_.parameters.mask);
  accept(std::move(choice));
  zero_pruned();
}

void Pruner::splice() {
  std::vector<double> scores = unit_scores();
  const std::vector<std::uint8_t> out = held(model_.parameters.mask);
  for (std::size_t u = 0; u < scores.size(); ++u) {
    if (out[u] == 0) scores[u] *= kHysteresis;
  }
  const aligned_vector<real> before = model_.parameters.mask;
  model_.parameters.mask = first_mask_;
  PruneChoice choice = choose_fully(scores, held(first_mask_));
  apply(choice, model_.parameters.mask);
  for (const std::int32_t i : units_.weights) {
    const auto w = static_cast<std::size_t>(i);
    returned_ += before[w] == 0 && model_.parameters.mask[w] != 0 ? 1 : 0;
  }
  accept(std::move(choice));
}

}  // namespace espalier
