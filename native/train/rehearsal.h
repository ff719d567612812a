// Rehearsal of the source task while a model learns another one: each step also takes a batch of the source's
// images through the model's trunk and the source's own head,
//
//   loss(θ; D_T) + lambda · loss(θ, head; D_S)
//
// The trunk is every tensor that has the same name and shape in both.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/augment.h"
#include "data/batcher.h"
#include "graph/executor.h"
#include "train/config.h"
#include "train/copy.h"
#include "train/optimizer.h"
#include "train/tables.h"
#include "train/terms.h"

namespace espalier {

class Rehearsal {
 public:
  // `rates` are those of the model's nodes; layers of the source that share a name with one of rate 0 are
  // frozen, too. Error{kArgument} at "lambda" when the models have no tensor in common; Error{kData}.
  Rehearsal(Model& model, const TrainingTerms& terms, const TrainingConfig& config,
            std::span<const double> rates, const Kernels& kernels, ThreadPool& pool);

  // A step in pieces, as Executor's: neither model's parameters change before finish(), but for the trunk's
  // copy in the source task.
  void begin(std::int64_t step);
  bool advance() { return executor_.advance(); }
  // Adds the trunk's gradient to the model's, moves running statistics; returns the term's value.
  double finish();
  // After the model's update: moves the head and takes over the new trunk.
  void update(std::int64_t step, double learning_rate);

  // Weights that are known to be good, and back to them (Trainer::step).
  void keep_good();
  void restore_good();

 private:
  void take_trunk();
  void copy_statistics(const Parameters& from, Parameters& to, bool to_task) const;

  Model& model_;
  Model& task_;
  const Dataset& data_;
  const TrainingConfig& config_;
  double lambda_;
  ThreadPool& pool_;
  LossFunction loss_;
  std::vector<SharedTensor> trunk_;  // `node` of the model, `other` of the task
  std::vector<double> model_rates_;
  std::vector<double> rates_;  // by node of the task; 0: shared or frozen
  Augmentation augmentation_;
  Batcher batcher_;
  Executor executor_;
  Optimizer optimizer_;
  std::vector<Target> targets_;
  aligned_vector<real> good_;
  std::uint64_t seed_;
  std::int64_t steps_per_epoch_ = 0;
};

}  // namespace espalier
