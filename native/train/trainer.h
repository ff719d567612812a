// Training a model on a dataset, one step at a time. A step reads: take a batch, run it forward and
// backward, clip, update. Everything random is a function of (seed, epoch, image), so the state is
// the weights, the optimizer's moments and the number of steps done.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/augment.h"
#include "data/batcher.h"
#include "data/dataset.h"
#include "graph/executor.h"
#include "graph/graph.h"
#include "graph/model.h"
#include "train/answers.h"
#include "train/config.h"
#include "train/optimizer.h"
#include "train/tables.h"
#include "train/terms.h"

namespace espalier {

class Anchor;
class Rehearsal;
class Teacher;

// Error{kData} if images or classes do not fit the model.
void check_fits(const Graph& graph, const Dataset& dataset);

struct StepResult {
  double loss = 0;  // all terms of it
  int correct = 0;
  int images = 0;
  double gradient_norm = 0;
  double learning_rate = 0;
};

class Trainer {
 public:
  // All must outlive the trainer (`terms` is copied). Throws what check_fits and the configuration's checks
  // throw, and Error{kArgument} for terms that do not fit the model.
  Trainer(Model& model, const Dataset& dataset, const TrainingConfig& config, const Kernels& kernels,
          ThreadPool& pool, const TrainingTerms& terms = {});
  ~Trainer();

  // One step. Throws Error{kDiverged} when the loss is no longer a number, or absurd: the message says at
  // which step and what to lower, and the weights are the last ones (of at most kGoodSteps steps
  // before) that are known to be good.
  StepResult step();

  // The same in pieces of a few milliseconds: true when the step is done and `result` is filled.
  // Weights change in the last piece only; a step that is not continued has not happened.
  bool advance(StepResult& result);

  bool done() const { return step_ >= total_steps_; }
  std::int64_t step_count() const { return step_; }
  std::int64_t total_steps() const { return total_steps_; }
  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  int training_images() const { return population_; }
  // Epochs completed; step_count() is a multiple of steps_per_epoch() at each one's end.
  int epoch() const { return static_cast<int>(step_ / steps_per_epoch_); }
  const TrainingConfig& config() const { return config_; }
  Model& model() { return model_; }
  // Pruned weights keep the values and gradients that they have behind the mask, so that a later mask may
  // bring them back (dynamic network surgery, Guo et al. 2016). Otherwise they are 0 after every step.
  void keep_pruned_values(bool keep) {
    keep_pruned_values_ = keep;
    executor_.masked_gradients(keep);
  }
  const Plan& plan() const { return executor_.plan(); }

  // Optimizer state for a checkpoint: `moments(i)` runs parallel to the trainable slab.
  int moment_count() const { return optimizer_.moment_count(); }
  aligned_vector<real>& moments(int i) { return optimizer_.moments(i); }
  const aligned_vector<real>& moments(int i) const { return optimizer_.moments(i); }
  // Continues at `step` after weights and moments were restored.
  void restore(std::int64_t step) {
    step_ = step;
    stage_ = Stage::kBegin;
  }

  static constexpr int kGoodSteps = 50;
  // Nats: a network that is this wrong is not learning any more.
  static constexpr double kLargestLoss = 1e4;

 private:
  // What the next piece of a step is.
  enum class Stage { kBegin, kTarget, kRehearsal };

  BatchRange range_of(std::int64_t step) const;
  void take_batch();
  StepResult finish_step();
  [[noreturn]] void diverged(double loss);
  void keep_good_weights();
  void mask_gradient();

  Model& model_;
  const Dataset& dataset_;
  TrainingConfig config_;
  ThreadPool& pool_;
  const ScheduleType& schedule_;
  const LossFunction loss_;
  std::vector<double> rates_;  // by node, factors on the learning rate; 0: frozen
  Optimizer optimizer_;
  Augmentation augmentation_;
  Batcher batcher_;
  Executor executor_;
  std::unique_ptr<Teacher> teacher_;  // null where the term is absent
  std::unique_ptr<Anchor> anchor_;
  std::unique_ptr<Rehearsal> rehearsal_;
  aligned_vector<real> good_;   // weights that are known to give a finite loss …
  std::int64_t good_step_ = 0;  // … and the step they are from
  std::vector<Target> targets_;
  bool keep_pruned_values_ = false;
  Stage stage_ = Stage::kBegin;
  Batch batch_;         // of the step under way
  int population_ = 0;  // training images in use
  std::int64_t steps_per_epoch_ = 0;
  std::int64_t total_steps_ = 0;
  std::int64_t step_ = 0;
};

// Evaluates in slices, so that a page can pause or abort in between.
class Evaluator {
 public:
  // Throws what check_fits throws. An empty split gives count 0.
  Evaluator(const Model& model, const Dataset& dataset, const Split& split, const Kernels& kernels,
            ThreadPool& pool);

  // The next 256 images. False when there are none left.
  bool advance();
  int done() const { return answers_.done(); }
  int total() const { return split_.count(); }
  const EvaluationResult& result() { return answers_.result(); }

 private:
  const Model& model_;
  const Split& split_;
  ThreadPool& pool_;
  Batcher batcher_;
  Executor executor_;
  Answers answers_;
};

EvaluationResult evaluate(const Model& model, const Dataset& dataset, const Split& split,
                          const Kernels& kernels, ThreadPool& pool);

// Class probabilities and feature maps of byte images [channels][height][width]. A few images run one by one,
// with the kernels for single images; many in lanes. Both give the same bits. A call like an earlier one
// allocates nothing.
class Predictor {
 public:
  Predictor(const Model& model, const Kernels& kernels, ThreadPool& pool);

  // Must be called after the weights changed (a training goes on) and before the next prediction.
  void prepare();
  // probabilities: [count][classes].
  void predict(const std::uint8_t* images, int count, real* probabilities);
  // The output of a layer ("input": the normalised image) for one image, [channels][height][width].
  // Error{kArgument} for a name that the model does not have.
  std::vector<real> activation(const std::uint8_t* image, std::string_view layer, Shape& shape);

 private:
  // Built when first used. Its weights are packed anew when they have changed since it last ran.
  struct Runner {
    Batcher batcher;
    Executor executor;
    bool prepared = false;

    Runner(const Model& model, const Kernels& kernels, ThreadPool& pool, const PlanOptions& options);
  };
  Runner& runner(std::unique_ptr<Runner>& runner, const Kernels& kernels, const PlanOptions& options);
  Runner& single();
  Runner& batch();

  const Model& model_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::unique_ptr<Runner> single_;
  std::unique_ptr<Runner> batch_;
  std::vector<real> logits_;
};

// Softmax of one image's outputs, in double.
void softmax(const real* logits, int classes, real* probabilities);

}  // namespace espalier
