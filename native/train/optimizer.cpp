#include "train/optimizer.h"

#include <algorithm>

#include "core/heap_sort.h"
#include "core/math.h"
#include "ops/weights.h"

namespace espalier {

void settle(const Graph& graph, std::span<const double> rates, bool keep_pruned, ThreadPool& pool,
            Parameters& parameters) {
  auto& value = parameters.value;
  if (!keep_pruned) multiply(pool, parameters.mask, value.data());
  for (const Node& node : graph.nodes) {
    const WeightQuantization& quantize = node.attributes.quantize;
    if (!quantize.scheme || quantize.learned || rates[node.index] == 0) continue;
    fit_weights(node, RangeMethod::kMinMax, value.data());
  }
}

Optimizer::Optimizer(const Graph& graph, const TrainingConfig& config, std::span<const double> rates,
                     const Kernels& kernels, ThreadPool& pool)
    : type_(find_optimizer(config.optimizer)),
      config_(config),
      kernels_(kernels),
      pool_(pool),
      size_(graph.trainable_size),
      squares_(static_cast<std::size_t>((size_ + ThreadPool::kPiece - 1) / ThreadPool::kPiece)) {
  for (int i = 0; i < type_.moments; ++i) moments_.emplace_back(static_cast<std::size_t>(size_));
  // In the order of the slab; parameters that follow each other and are alike are one piece.
  std::vector<Chunk> tensors;
  for (const Node& node : graph.nodes) {
    for (const ParameterInfo& info : node.parameters) {
      if (!info.trainable || rates[node.index] == 0) continue;
      const std::int64_t padded = (info.size + 15) / 16 * 16;
      tensors.push_back({info.offset, padded, rates[node.index], info.decays});
    }
  }
  heap_sort(tensors, [](const Chunk& a, const Chunk& b) { return a.begin < b.begin; });
  for (const Chunk& tensor : tensors) {
    if (!chunks_.empty()) {
      Chunk& last = chunks_.back();
      if (last.begin + last.count == tensor.begin && last.rate == tensor.rate &&
          last.decays == tensor.decays) {
        last.count += tensor.count;
        continue;
      }
    }
    chunks_.push_back(tensor);
  }
  std::vector<Chunk> pieces;
  for (const Chunk& chunk : chunks_) {
    for (std::int64_t at = 0; at < chunk.count; at += kChunk) {
      pieces.push_back({chunk.begin + at, std::min(kChunk, chunk.count - at), chunk.rate, chunk.decays});
    }
  }
  chunks_ = std::move(pieces);
}

double Optimizer::gradient_norm(const Parameters& parameters) {
  pool_.run_pieces(size_, [&](std::int64_t begin, std::int64_t end) {
    squares_[static_cast<std::size_t>(begin / ThreadPool::kPiece)] =
        kernels_.sum_of_squares(parameters.gradient.data() + begin, end - begin);
  });
  double sum = 0;
  for (const double square : squares_) sum += square;
  return math::sqrt(sum);
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

  pool_.run(static_cast<int>(chunks_.size()), [&](int i, int) {
    const Chunk& chunk = chunks_[static_cast<std::size_t>(i)];
    UpdateContext context = common;
    context.value = parameters.value.data() + chunk.begin;
    context.gradient = parameters.gradient.data() + chunk.begin;
    context.moment1 = type_.moments > 0 ? moments_[0].data() + chunk.begin : nullptr;
    context.moment2 = type_.moments > 1 ? moments_[1].data() + chunk.begin : nullptr;
    context.count = chunk.count;
    context.learning_rate = static_cast<real>(learning_rate * chunk.rate);
    if (!chunk.decays) context.weight_decay = 0;
    kernels_.update(type_.update, context);
  });
}

}  // namespace espalier
