// Runs a graph over batches: block by block through the segments between batch norms, with all
// memory placed beforehand (graph/plan.h). A step allocates nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "core/real.h"
#include "core/thread_pool.h"
#include "graph/graph.h"
#include "graph/plan.h"
#include "kernels/kernels.h"
#include "kernels/sparse_weights.h"
#include "ops/op.h"

namespace espalier {

// Parameters live in parallel slabs: one offset addresses a weight, its gradient and its mask. What layers
// compute with is effective = fake_quantize(mask · value); gradients reach `value` straight through.
struct Parameters {
  aligned_vector<real> value;
  aligned_vector<real> gradient;
  aligned_vector<real> mask;  // 1, or 0 where a weight is pruned; empty: nothing is

  explicit Parameters(const Graph& graph)
      : value(static_cast<std::size_t>(graph.slab_size)),
        gradient(static_cast<std::size_t>(graph.trainable_size)) {}
};

// numbers[i] *= mask[i] for as many as the mask has.
void multiply(ThreadPool& pool, const aligned_vector<real>& mask, real* numbers);

// What layers compute with: fake_quantize(mask · value) in `effective`, or the values themselves where there
// is nothing to do.
const real* make_effective(const Graph& graph, const Parameters& parameters, ThreadPool& pool,
                           aligned_vector<real>& effective);

// Uniform weights whose variance keeps that of the signal: 2 / fan_in before a rectifier (He et al.
// 2015), 1 / fan_in elsewhere (LeCun et al. 1998); zero biases. Deterministic in the seed.
void initialize(const Graph& graph, std::uint64_t seed, Parameters& parameters);

// What an image should be: `label` with weight `lambda`, `other_label` with the rest (mixup).
struct Target {
  int label = 0;
  int other_label = 0;
  real lambda = 1;
};

struct LossContext;
using LossFunction = void (*)(const LossContext&);

// What a teacher says to a batch, for the losses that compare with it (train/losses.cpp).
struct Teaching {
  const real* outputs = nullptr;  // [count][classes]
  LossFunction loss = nullptr;    // the loss on the labels
  double temperature = 1;
  double share = 0;  // of the teacher's term; the loss on the labels has the rest
};

// Images in lanes, [blocks][channels][height][width][lanes], normalised; lanes of the last block
// behind `count` are zero.
struct Batch {
  const real* images = nullptr;
  const Target* targets = nullptr;  // [count]; null for inference
  int count = 0;
  std::uint64_t seed = 0;  // with `step`, what dropout draws from
  std::uint64_t step = 0;
  const Teaching* teaching = nullptr;  // null: there is no teacher
};

// A loss turns a block of outputs [classes][lanes] into their gradient and one loss per image.
struct LossContext {
  const Kernels& kernels;
  const real* logits;
  real* grad_logits;
  const Target* targets;  // [valid]
  double* losses;         // [valid]
  int* predictions;       // [valid] the largest output
  int valid;
  int classes;
  real scale;  // multiplies the gradient: 1 / images in the batch
  double label_smoothing;
  const Teaching* teaching;  // null without a teacher
  const real* teacher;       // its outputs, [valid][classes]
};

struct BatchResult {
  double loss = 0;  // mean over the images
  int correct = 0;
};

class Executor {
 public:
  // `graph`, `kernels` and `pool` must outlive the executor.
  Executor(const Graph& graph, const Kernels& kernels, ThreadPool& pool, const PlanOptions& options);

  const Plan& plan() const { return plan_; }

  // Must be called after every change of the parameters: masks, quantizes and packs weights for the inner
  // loops. A layer whose mask leaves few weights runs on those alone, with the same results; when a mask has
  // changed, memory is allocated.
  void prepare(const Parameters& parameters);

  // Whether gradients of masked weights are wanted, for those who may bring them back. Else they are 0 in
  // layers that run on their surviving weights, and perhaps in others. At first they are not. Before
  // prepare().
  void masked_gradients(bool wanted) { masked_gradients_ = wanted; }

  // Mean loss and gradients (into parameters.gradient) of one batch; running statistics move.
  BatchResult train(const Batch& batch, LossFunction loss, double label_smoothing, Parameters& parameters);

  // The same in pieces, for those who must answer in between: begin(), advance() until it is false,
  // finish(). The values of the parameters change in finish() only, so a step that is begun and never
  // finished has not happened. The batch and the parameters must stay as they are meanwhile.
  void begin(const Batch& batch, LossFunction loss, double label_smoothing, Parameters& parameters);
  bool advance();  // one sweep over the batch
  BatchResult finish();

  // Outputs of the last layer, [count][classes].
  void infer(const Batch& batch, real* logits);

  // The same for one block of images, by one of the pool's threads: outputs [classes][lanes], good until that
  // thread's next block.
  const real* infer_block(const real* images, int thread);

  // After infer with PlanOptions::keep_values and count <= lanes: image `image` of a value, copied
  // to `out` as [channels][height][width].
  void copy_value(int value, int image, real* out) const;

  // Likewise, all images of the block: [channels][height][width][lanes].
  const real* block_value(int value) const;

 private:
  // What every block of one call shares.
  struct Call {
    Batch batch;
    LossFunction loss = nullptr;
    double label_smoothing = 0;
    const real* value = nullptr;
  };
  void follow_mask(const aligned_vector<real>& mask);
  const SparseLayer* sparse(std::size_t node) const { return sparse_[node].used ? &sparse_[node] : nullptr; }
  void run_sweep(const Plan::Sweep& sweep, const Call& call, real* gradient);
  void run_block(const Plan::Sweep& sweep, const Call& call, int block, int shard, int thread);
  void run_loss(const Plan::Step& step, const Call& call, int block, int valid, int thread);
  real* resolve(const Plan::Buffer& buffer, const Call& call, int block, int thread);
  real* at(std::int64_t offset) { return offset < 0 ? nullptr : arena_.data() + offset; }
  BatchContext batch_context(int node, const Call& call, Parameters& parameters);

  const Graph graph_;  // in the order in which it runs
  const Kernels& kernels_;
  ThreadPool& pool_;
  Plan plan_;
  aligned_vector<real> arena_;
  aligned_vector<real> scratch_;  // the largest that a layer wants, for each thread
  std::int64_t scratch_size_ = 0;
  aligned_vector<real> effective_;   // empty while it would only repeat the values
  std::vector<SparseLayer> sparse_;  // by node
  bool masked_gradients_ = false;
  const real* weights_ = nullptr;     // what prepare() was called for: the effective parameters
  Call call_;                         // of the step under way
  Parameters* parameters_ = nullptr;  // its parameters; null: none is under way
  std::size_t next_sweep_ = 0;
  aligned_vector<double> losses_;
  aligned_vector<int> predictions_;
};

}  // namespace espalier
