#include "train/optimizer.h"

#include <algorithm>

#include "core/math.h"

namespace espalier {

Optimizer::Optimizer(const Graph& graph, const TrainingConfig& config, const Kernels& kernels,
                     ThreadPool& pool)
    : type_(find_optimizer(config.optimizer)),
      config_(config),
      kernels_(kernels),
      pool_(pool),
      size_(graph.trainable_size) {
  for (int i = 0; i < type_.moments; ++i) moments_.emplace_back(static_cast<std::size_t>(size_));
}

double Optimizer::gradient_norm(const Parameters& parameters) const {
  return math::sqrt(kernels_.sum_of_squares(parameters.gradient.data(), size_));
}

void Optimizer::update(Parameters& parameters, std::int64_t step, double learning_rate,
                       double gradient_norm) {
  UpdateContext common{};
  common.learning_rate = static_cast<real>(learning_rate);
  common.momentum = static_cast<real>(config_.momentum);
  common.beta2 = static_cast<real>(config_.beta2);
  common.weight_decay = static_cast<real>(config_.weight_decay);
  common.epsilon = static_cast<real>(config_.epsilon);
  // As torch.nn.utils.clip_grad_norm_.
  common.gradient_scale = static_cast<real>(
      config_.clip_norm > 0 ? std::min(1.0, config_.clip_norm / (gradient_norm + 1e-6)) : 1.0);
  const auto bias_correction = [t = static_cast<double>(step + 1)](double beta) {
    return static_cast<real>(beta > 0 ? 1 / (1 - math::pow(beta, t)) : 1.0);
  };
  common.bias_correction1 = bias_correction(config_.momentum);
  common.bias_correction2 = bias_correction(config_.beta2);

  constexpr std::int64_t kChunk = 16384;
  pool_.run(static_cast<int>((size_ + kChunk - 1) / kChunk), [&](int chunk, int) {
    const std::int64_t at = chunk * kChunk;
    UpdateContext context = common;
    context.value = parameters.value.data() + at;
    context.gradient = parameters.gradient.data() + at;
    context.moment1 = type_.moments > 0 ? moments_[0].data() + at : nullptr;
    context.moment2 = type_.moments > 1 ? moments_[1].data() + at : nullptr;
    context.count = std::min(kChunk, size_ - at);
    kernels_.update(type_.update, context);
  });
}

}  // namespace espalier
