#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "train/anchor.h"
#include "train/layers.h"
#include "train/rehearsal.h"
#include "train/teacher.h"

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

namespace {

void check_images(const Graph& graph, const Dataset& dataset) {
  const Shape shape{dataset.channels, dataset.height, dataset.width};
  if (shape == graph.input.shape) return;
  throw Error(ErrorCode::kData, dataset.name,
              "has images of " + to_string(shape) + ", but the model \"" + graph.name + "\" takes " +
                  to_string(graph.input.shape) + "; change \"input\" in its spec or use other data");
}

}  // namespace

void check_fits(const Graph& graph, const Dataset& dataset) {
  check_images(graph, dataset);
  if (dataset.classes() == graph.classes) return;
  throw Error(ErrorCode::kData, dataset.name,
              "has " + std::to_string(dataset.classes()) + " classes, but the model \"" + graph.name +
                  "\" has " + std::to_string(graph.classes) +
                  "; change \"classes\" in its spec or use other data");
}

namespace {

std::vector<bool> frozen(const std::vector<double>& rates) {
  std::vector<bool> result;
  for (const double rate : rates) result.push_back(rate == 0);
  return result;
}

LossFunction loss_with(const TrainingTerms& terms, LossFunction loss) {
  if (!terms.teacher) return loss;
  return terms.imitate ? imitation_loss : distillation_loss;
}

}  // namespace

Trainer::Trainer(Model& model, const Dataset& dataset, const TrainingConfig& config, const Kernels& kernels,
                 ThreadPool& pool, const TrainingTerms& terms)
    : model_(model),
      dataset_(dataset),
      config_(config),
      pool_(pool),
      schedule_(find_schedule(config.schedule)),
      loss_(loss_with(terms, find_loss(config.loss).function)),
      rates_(layer_rates(model.graph, config)),
      optimizer_(model.graph, config, rates_, kernels, pool),
      augmentation_(parse_augmentation(config.augment)),
      batcher_(dataset.channels, dataset.height, dataset.width, kernels.lanes, config.batch_size,
               model.graph.input.mean, model.graph.input.standard_deviation),
      executor_(model.graph, kernels, pool,
                {.training = true, .max_batch = config.batch_size, .frozen = frozen(rates_)}) {
  // Imitated outputs are no classes.
  if (terms.teacher && terms.imitate) {
    check_images(model.graph, dataset);
  } else {
    check_fits(model.graph, dataset);
  }
  population_ = dataset.train.count();
  if (config.limit > 0) population_ = std::min(population_, config.limit);
  if (population_ == 0) {
    throw Error(ErrorCode::kData, dataset.name, "has no training images; a training needs at least one");
  }
  if (terms.teacher) {
    teacher_ = std::make_unique<Teacher>(terms, model.graph, find_loss(config.loss).function,
                                         config.batch_size, kernels, pool);
  }
  if (terms.anchor && terms.l2sp > 0) {
    anchor_ = std::make_unique<Anchor>(terms, model.graph, rates_, pool);
  }
  if (terms.source_task && terms.source_data && terms.lambda > 0) {
    rehearsal_ = std::make_unique<Rehearsal>(model, terms, config_, rates_, kernels, pool);
  }
  good_ = model.parameters.value;
  targets_.resize(static_cast<std::size_t>(config.batch_size));
  steps_per_epoch_ = (population_ + config.batch_size - 1) / config.batch_size;
  total_steps_ = steps_per_epoch_ * config.epochs;
}

Trainer::~Trainer() = default;

StepResult Trainer::step() {
  StepResult result;
  while (!advance(result)) {
  }
  return result;
}

bool Trainer::advance(StepResult& result) {
  switch (stage_) {
    case Stage::kBegin:
      take_batch();
      if (teacher_) teacher_->teach(batch_);
      executor_.prepare(model_.parameters);
      executor_.begin(batch_, loss_, config_.label_smoothing, model_.parameters);
      stage_ = Stage::kTarget;
      if (teacher_) return false;
      [[fallthrough]];
    case Stage::kTarget:
      if (executor_.advance()) return false;
      if (!rehearsal_) break;
      rehearsal_->begin(step_);
      stage_ = Stage::kRehearsal;
      return false;
    case Stage::kRehearsal:
      if (rehearsal_->advance()) return false;
      break;
  }
  stage_ = Stage::kBegin;
  result = finish_step();
  return true;
}

StepResult Trainer::finish_step() {
  const BatchResult batch_result = executor_.finish();
  double loss = batch_result.loss;
  if (rehearsal_) loss += rehearsal_->finish();
  if (anchor_) loss += anchor_->add_gradient(model_.parameters);
  mask_gradient();
  const double norm = optimizer_.gradient_norm(model_.parameters);
  if (!std::isfinite(loss) || !std::isfinite(norm) || loss > kLargestLoss) diverged(loss);
  keep_good_weights();
  const double rate =
      learning_rate(schedule_, config_.learning_rate, step_, total_steps_, config_.warmup_steps);
  optimizer_.update(model_.parameters, step_, rate, norm);
  settle(model_.graph, rates_, keep_pruned_values_, pool_, model_.parameters);
  if (rehearsal_) rehearsal_->update(step_, rate);
  ++step_;
  return {.loss = loss,
          .correct = batch_result.correct,
          .images = batch_.count,
          .gradient_norm = norm,
          .learning_rate = rate};
}

void Trainer::mask_gradient() {
  if (keep_pruned_values_) return;
  multiply(pool_, model_.parameters.mask, model_.parameters.gradient.data());
}

// The images that `step` trains on.
BatchRange Trainer::range_of(std::int64_t step) const {
  const int first = static_cast<int>(step % steps_per_epoch_) * config_.batch_size;
  return {.population = population_,
          .seed = config_.seed,
          .epoch = static_cast<std::uint64_t>(step / steps_per_epoch_),
          .first = first,
          .count = std::min(config_.batch_size, population_ - first)};
}

void Trainer::take_batch() {
  const BatchRange range = range_of(step_);
  batcher_.load_training(dataset_.train, augmentation_, range, pool_);
  for (int i = 0; i < range.count; ++i) {
    const auto slot = static_cast<std::size_t>(i);
    targets_[slot] = {batcher_.labels()[slot], batcher_.other_labels()[slot], batcher_.lambdas()[slot]};
  }
  batch_ = {.images = batcher_.images(),
            .targets = targets_.data(),
            .count = range.count,
            .seed = config_.seed,
            .step = static_cast<std::uint64_t>(step_)};
  if (step_ + 1 < total_steps_) {
    batcher_.prefetch_training(dataset_.train, augmentation_, range_of(step_ + 1), pool_);
  }
}

void Trainer::diverged(double loss) {
  model_.parameters.value = good_;
  if (rehearsal_) rehearsal_->restore_good();
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
  const real* value = model_.parameters.value.data();
  pool_.run_pieces(static_cast<std::int64_t>(good_.size()), [&](std::int64_t begin, std::int64_t end) {
    std::copy(value + begin, value + end, good_.begin() + begin);
  });
  if (rehearsal_) rehearsal_->keep_good();
  good_step_ = step_;
}

}  // namespace espalier
