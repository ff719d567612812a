// One optimizer step over the parameter slabs, and the state it keeps between steps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "graph/executor.h"
#include "train/config.h"
#include "train/tables.h"

namespace espalier {

// What follows an update: pruned weights are 0 again, whatever momentum and weight decay did (unless
// `keep_pruned`), and grids that are not learned follow their weights, in nodes whose rate is not 0.
void settle(const Graph& graph, std::span<const double> rates, bool keep_pruned, ThreadPool& pool,
            Parameters& parameters);

class Optimizer {
 public:
  // `rates`: factors on the learning rate by node, 0 for frozen ones, which are not touched (layer_rates() in
  // train/layers.h). `kernels` and `pool` must outlive the optimizer.
  Optimizer(const Graph& graph, const TrainingConfig& config, std::span<const double> rates,
            const Kernels& kernels, ThreadPool& pool);

  // L2 norm of the gradient of all trainable parameters.
  double gradient_norm(const Parameters& parameters);

  // Moves the trainable parameters. `step` counts from 0; `gradient_norm` is what clipping compares.
  void update(Parameters& parameters, std::int64_t step, double learning_rate, double gradient_norm);

  // State for a checkpoint: `moments(i)` runs parallel to the trainable slab.
  int moment_count() const { return static_cast<int>(moments_.size()); }
  aligned_vector<real>& moments(int i) { return moments_[static_cast<std::size_t>(i)]; }
  const aligned_vector<real>& moments(int i) const { return moments_[static_cast<std::size_t>(i)]; }

 private:
  // Neighbouring weights with one learning rate and decay, at most kChunk of them: a task of the pool.
  struct Chunk {
    std::int64_t begin;
    std::int64_t count;
    double rate;  // factor on the learning rate
    bool decays;
  };
  static constexpr std::int64_t kChunk = 16384;

  const OptimizerType& type_;
  TrainingConfig config_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::int64_t size_;
  std::vector<double> squares_;  // sums over the pieces of the gradient
  std::vector<Chunk> chunks_;
  std::vector<aligned_vector<real>> moments_;
};

}  // namespace espalier
