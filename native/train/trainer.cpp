#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "ops/weights.h"
#include "train/layers.h"

namespace espalier {

std::unique_ptr<Model> Model::create(const nlohmann::json& spec, std::uint64_t seed, const Dataset* dataset) {
  auto model = std::make_unique<Model>(compile(spec));
  if (dataset) {
    check_fits(model->graph, *dataset);
    if (model->graph.input.mean.empty() && dataset->train.count() > 0) {
      PixelStatistics statistics = pixel_statistics(*dataset);
      model->graph.input.mean = std::move(statistics.mean);
      model->graph.input.standard_deviation = std::move(statistics.standard_deviation);
    }
  }
  initialize(model->graph, seed, model->parameters);
  return model;
}

void check_fits(const Graph& graph, const Dataset& dataset) {
  const Shape shape{dataset.channels, dataset.height, dataset.width};
  if (shape != graph.input.shape) {
    throw Error(ErrorCode::kData, dataset.name,
                "has images of " + to_string(shape) + ", but the model \"" + graph.name + "\" takes " +
                    to_string(graph.input.shape) + "; change \"input\" in its spec or use other data");
  }
  if (dataset.classes() != graph.classes) {
    throw Error(ErrorCode::kData, dataset.name,
                "has " + std::to_string(dataset.classes()) + " classes, but the model \"" + graph.name +
                    "\" has " + std::to_string(graph.classes) +
                    "; change \"classes\" in its spec or use other data");
  }
}

namespace {

std::vector<bool> frozen(const std::vector<double>& rates) {
  std::vector<bool> result;
  for (const double rate : rates) result.push_back(rate == 0);
  return result;
}

}  // namespace

Trainer::Trainer(Model& model, const Dataset& dataset, const TrainingConfig& config, const Kernels& kernels,
                 ThreadPool& pool, const TrainingTerms& terms)
    : model_(model),
      dataset_(dataset),
      config_(config),
      terms_(terms),
      pool_(pool),
      schedule_(find_schedule(config.schedule)),
      loss_(find_loss(config.loss)),
      rates_(layer_rates(model.graph, config)),
      optimizer_(model.graph, config, rates_, kernels, pool),
      augmentation_(parse_augmentation(config.augment)),
      batcher_(dataset.channels, dataset.height, dataset.width, kernels.lanes, config.batch_size,
               model.graph.input.mean, model.graph.input.standard_deviation),
      executor_(model.graph, kernels, pool,
                {.training = true, .max_batch = config.batch_size, .frozen = frozen(rates_)}) {
  check_fits(model.graph, dataset);
  population_ = dataset.train.count();
  if (config.limit > 0) population_ = std::min(population_, config.limit);
  if (population_ == 0) {
    throw Error(ErrorCode::kData, dataset.name, "has no training images; a training needs at least one");
  }
  good_ = model.parameters.value;
  targets_.resize(static_cast<std::size_t>(config.batch_size));
  steps_per_epoch_ = (population_ + config.batch_size - 1) / config.batch_size;
  total_steps_ = steps_per_epoch_ * config.epochs;
}

StepResult Trainer::step() {
  StepResult result;
  while (!advance(result)) {
  }
  return result;
}

bool Trainer::advance(StepResult& result) {
  if (!under_way_) {
    const Batch batch = take_batch();
    executor_.prepare(model_.parameters);
    executor_.begin(batch, loss_.function, config_.label_smoothing, model_.parameters);
    under_way_ = true;
    images_ = batch.count;
  }
  if (executor_.advance()) return false;
  under_way_ = false;
  const BatchResult batch_result = executor_.finish();
  mask_gradient();
  const double norm = optimizer_.gradient_norm(model_.parameters);
  const double loss = batch_result.loss;
  if (!std::isfinite(loss) || !std::isfinite(norm) || loss > kLargestLoss) diverged(loss);
  keep_good_weights();
  const double rate =
      learning_rate(schedule_, config_.learning_rate, step_, total_steps_, config_.warmup_steps);
  optimizer_.update(model_.parameters, step_, rate, norm);
  after_update();
  ++step_;
  result = {.loss = loss,
            .correct = batch_result.correct,
            .images = images_,
            .gradient_norm = norm,
            .learning_rate = rate};
  return true;
}

void Trainer::mask_gradient() {
  const auto& mask = model_.parameters.mask;
  if (keep_pruned_values_) return;
  for (std::size_t i = 0; i < mask.size(); ++i) model_.parameters.gradient[i] *= mask[i];
}

// Momentum and weight decay do not revive pruned weights; grids that are not learned follow their weights.
void Trainer::after_update() {
  auto& value = model_.parameters.value;
  const auto& mask = model_.parameters.mask;
  if (!keep_pruned_values_) {
    for (std::size_t i = 0; i < mask.size(); ++i) value[i] *= mask[i];
  }
  for (const Node& node : model_.graph.nodes) {
    const WeightQuantization& quantize = node.attributes.quantize;
    if (!quantize.scheme || quantize.learned || rates_[node.index] == 0) continue;
    fit_weights(node, RangeMethod::kMinMax, value.data());
  }
}

Batch Trainer::take_batch() {
  const auto epoch = static_cast<std::uint64_t>(step_ / steps_per_epoch_);
  const int first = static_cast<int>(step_ % steps_per_epoch_) * config_.batch_size;
  const int count = std::min(config_.batch_size, population_ - first);
  batcher_.load_training(dataset_.train, population_, augmentation_, config_.seed, epoch, first, count,
                         pool_);
  for (int i = 0; i < count; ++i) {
    const auto slot = static_cast<std::size_t>(i);
    targets_[slot] = {batcher_.labels()[slot], batcher_.other_labels()[slot], batcher_.lambdas()[slot]};
  }
  return {.images = batcher_.images(),
          .targets = targets_.data(),
          .count = count,
          .seed = config_.seed,
          .step = static_cast<std::uint64_t>(step_)};
}

void Trainer::diverged(double loss) {
  model_.parameters.value = good_;
  const std::string what = loss > kLargestLoss && std::isfinite(loss)
                               ? "the loss has grown to " + nlohmann::json(std::round(loss)).dump()
                               : "the loss is no longer a number";
  throw Error(ErrorCode::kDiverged, "training",
              what + " at step " + std::to_string(step_ + 1) + "; lower the learning rate (now " +
                  nlohmann::json(config_.learning_rate).dump() +
                  ") or set clip_norm; the weights are back at those of step " + std::to_string(good_step_));
}

// These weights gave a finite loss just now.
void Trainer::keep_good_weights() {
  if (step_ % kGoodSteps != 0) return;
  std::copy(model_.parameters.value.begin(), model_.parameters.value.end(), good_.begin());
  good_step_ = step_;
}

}  // namespace espalier
