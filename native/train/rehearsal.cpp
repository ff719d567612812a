#include "train/rehearsal.h"

#include <algorithm>

#include "core/error.h"
#include "core/random.h"
#include "train/trainer.h"

namespace espalier {
namespace {

std::vector<SharedTensor> find_trunk(const Model& model, const Model& task) {
  std::vector<SharedTensor> trunk = shared_tensors(model.graph, task.graph);
  if (trunk.empty()) {
    throw Error(ErrorCode::kArgument, "lambda",
                "has nothing to rehearse: \"" + model.graph.name + "\" and \"" + task.graph.name +
                    "\" have no tensor of the same name and shape; set it to 0");
  }
  return trunk;
}

std::vector<bool> frozen_in_task(const Model& model, const Model& task, std::span<const double> rates) {
  std::vector<bool> frozen(task.graph.nodes.size(), false);
  for (const Node& node : model.graph.nodes) {
    if (rates[node.index] != 0) continue;
    for (const Node& other : task.graph.nodes) {
      if (other.name == node.name) frozen[other.index] = true;
    }
  }
  return frozen;
}

// 1 where the task has trainable tensors of its own that are not frozen.
std::vector<double> head_rates(const Model& model, const Model& task, std::span<const double> rates) {
  const std::vector<bool> frozen = frozen_in_task(model, task, rates);
  std::vector<double> result(task.graph.nodes.size(), 0);
  for (const Node& node : task.graph.nodes) {
    for (const ParameterInfo& info : node.parameters) {
      if (info.trainable && !frozen[node.index]) result[node.index] = 1;
    }
  }
  std::vector<std::size_t> shared(task.graph.nodes.size(), 0);
  for (const SharedTensor& tensor : shared_tensors(model.graph, task.graph)) {
    if (++shared[tensor.other_node->index] == tensor.other_node->parameters.size()) {
      result[tensor.other_node->index] = 0;
    }
  }
  return result;
}

// Another order of images than the target's, from the same seed.
std::uint64_t own_seed(std::uint64_t seed) {
  Random random(seed, RandomStream::kRehearsal);
  const std::uint64_t high = random.bits();
  return high << 32 | random.bits();
}

}  // namespace

Rehearsal::Rehearsal(Model& model, const TrainingTerms& terms, const TrainingConfig& config,
                     std::span<const double> rates, const Kernels& kernels, ThreadPool& pool)
    : model_(model),
      task_(*terms.source_task),
      data_(*terms.source_data),
      config_(config),
      lambda_(terms.lambda),
      pool_(pool),
      loss_(find_loss(config.loss).function),
      trunk_(find_trunk(model, task_)),
      model_rates_(rates.begin(), rates.end()),
      rates_(head_rates(model, task_, rates)),
      augmentation_(parse_augmentation(config.augment)),
      batcher_(data_.channels, data_.height, data_.width, kernels.lanes, config.batch_size,
               task_.graph.input.mean, task_.graph.input.standard_deviation),
      executor_(
          task_.graph, kernels, pool,
          {.training = true, .max_batch = config.batch_size, .frozen = frozen_in_task(model, task_, rates)}),
      optimizer_(task_.graph, config, rates_, kernels, pool),
      seed_(own_seed(config.seed)) {
  check_fits(task_.graph, data_);
  if (data_.train.count() == 0) {
    throw Error(ErrorCode::kData, data_.name, "has no training images, so there is nothing to rehearse");
  }
  targets_.resize(static_cast<std::size_t>(config.batch_size));
  steps_per_epoch_ = (data_.train.count() + config.batch_size - 1) / config.batch_size;
  take_trunk();
  good_ = task_.parameters.value;
}

void Rehearsal::take_trunk() {
  const auto& mask = model_.parameters.mask;
  auto& task_mask = task_.parameters.mask;
  if (!mask.empty() && task_mask.empty()) {
    task_mask.assign(static_cast<std::size_t>(task_.graph.trainable_size), real{1});
  }
  for (const SharedTensor& shared : trunk_) {
    const auto begin = shared.info->offset, to = shared.other->offset, size = shared.info->size;
    std::copy_n(model_.parameters.value.begin() + begin, size, task_.parameters.value.begin() + to);
    if (mask.empty() || !shared.info->trainable || !shared.other->trainable) continue;
    std::copy_n(mask.begin() + begin, size, task_mask.begin() + to);
  }
}

void Rehearsal::begin(std::int64_t step) {
  take_trunk();
  const auto epoch = static_cast<std::uint64_t>(step / steps_per_epoch_);
  const int first = static_cast<int>(step % steps_per_epoch_) * config_.batch_size;
  const int count = std::min(config_.batch_size, data_.train.count() - first);
  batcher_.load_training(
      data_.train, augmentation_,
      {.population = data_.train.count(), .seed = seed_, .epoch = epoch, .first = first, .count = count},
      pool_);
  for (int i = 0; i < count; ++i) {
    const auto slot = static_cast<std::size_t>(i);
    targets_[slot] = {batcher_.labels()[slot], batcher_.other_labels()[slot], batcher_.lambdas()[slot]};
  }
  executor_.prepare(task_.parameters);
  executor_.begin({.images = batcher_.images(),
                   .targets = targets_.data(),
                   .count = count,
                   .seed = seed_,
                   .step = static_cast<std::uint64_t>(step)},
                  loss_, config_.label_smoothing, task_.parameters);
}

// Running statistics, from the model to the task or back.
void Rehearsal::copy_statistics(const Parameters& from, Parameters& to, bool to_task) const {
  for (const SharedTensor& shared : trunk_) {
    if (shared.info->trainable || shared.other->trainable) continue;
    const std::int64_t model_at = shared.info->offset, task_at = shared.other->offset;
    std::copy_n(from.value.begin() + (to_task ? model_at : task_at), shared.info->size,
                to.value.begin() + (to_task ? task_at : model_at));
  }
}

double Rehearsal::finish() {
  copy_statistics(model_.parameters, task_.parameters, true);
  const double loss = executor_.finish().loss;
  copy_statistics(task_.parameters, model_.parameters, false);

  // From here on the task's gradient is that of lambda · loss, and only the head's.
  auto& gradient = task_.parameters.gradient;
  const auto lambda = static_cast<real>(lambda_);
  for (real& g : gradient) g *= lambda;
  for (const SharedTensor& shared : trunk_) {
    if (!shared.other->trainable) continue;
    real* own = gradient.data() + shared.other->offset;
    if (shared.info->trainable && model_rates_[shared.node->index] != 0) {
      real* sum = model_.parameters.gradient.data() + shared.info->offset;
      for (std::int64_t i = 0; i < shared.info->size; ++i) sum[i] += own[i];
    }
    std::fill_n(own, shared.other->size, real{0});
  }
  multiply(pool_, task_.parameters.mask, gradient.data());
  return lambda_ * loss;
}

void Rehearsal::update(std::int64_t step, double learning_rate) {
  optimizer_.update(task_.parameters, step, learning_rate, optimizer_.gradient_norm(task_.parameters));
  settle(task_.graph, rates_, false, pool_, task_.parameters);
  take_trunk();
}

void Rehearsal::keep_good() { good_ = task_.parameters.value; }

void Rehearsal::restore_good() {
  task_.parameters.value = good_;
  take_trunk();
}

}  // namespace espalier
