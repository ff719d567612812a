// A model in the form in which it is stored: integers where weights and features are, each layer's weights in
// its own format, nothing that only training needs.
//
// The graph becomes a short list of instructions. conv → relu → fake_quantize is one of them: integer sums,
// their bias and clamp, codes out. What has no integer form runs on numbers, and codes and numbers are
// converted where the two meet.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/aligned.h"
#include "core/thread_pool.h"
#include "graph/executor.h"
#include "graph/graph.h"
#include "train/trainer.h"

namespace espalier {

struct RuntimeOptions {
  bool reference = false;        // plain loops over the graph (runtime/reference.h) instead of the formats
  std::string_view format = {};  // forced for every layer that it can hold; else the best one
};

// What runs a layer that has weights, and why.
struct LayerExecution {
  std::string layer;
  std::string type;
  std::string format;
  std::int64_t bytes = 0;  // of its packed weights
  std::int64_t macs = 0;   // for one image, zeros included
  double density = 1;      // share of weights that are not 0
  std::string why;         // empty: there was nothing to choose
};

class Instruction;
class ReferenceModel;
struct Map;

class PackedModel {
 public:
  // Error{kArgument} for a format that does not exist. The model is not used afterwards.
  PackedModel(const Model& model, const Kernels& kernels, ThreadPool& pool,
              const RuntimeOptions& options = {});
  ~PackedModel();

  // logits: [count][classes] of byte images [count][channels][height][width]. Allocates nothing.
  void infer(const std::uint8_t* images, int count, real* logits);

  // The same as class probabilities, which are softmax(logits).
  void predict(const std::uint8_t* images, int count, real* probabilities);

  // One block of up to lanes() images: their outputs [classes][lanes], until the thread's next call.
  const real* infer_block(const std::uint8_t* images, int count, int thread);

  int lanes() const { return kernels_.lanes; }
  const Graph& graph() const { return graph_; }
  std::span<const LayerExecution> layers() const { return layers_; }
  std::int64_t bytes() const;  // of all packed weights

  // For benchmarks: one instruction by itself, for a block.
  int instruction_count() const { return static_cast<int>(instructions_.size()); }
  std::string_view instruction_name(int i) const;
  void run_instruction(int i, const std::uint8_t* images, int count);

 private:
  friend class Packer;

  const real* infer_reference(const std::uint8_t* images, int count, int thread);

  const Kernels& kernels_;
  ThreadPool& pool_;
  Graph graph_;
  aligned_vector<real> parameters_;  // of the layers that run on numbers
  std::vector<std::unique_ptr<Map>> maps_;
  std::vector<std::unique_ptr<Instruction>> instructions_;
  std::vector<LayerExecution> layers_;
  const Map* output_ = nullptr;
  std::int64_t scratch_ = 0;  // where it begins in a thread's memory
  std::int64_t thread_bytes_ = 0;
  aligned_vector<std::uint8_t> memory_;
  std::unique_ptr<PackedModel> single_;                     // with the kernels for single images
  std::vector<std::unique_ptr<ReferenceModel>> reference_;  // one for each thread, if that was asked for
  std::vector<real> outputs_;                               // of these
};

// Evaluator (train/trainer.h) with a packed model.
class PackedEvaluator {
 public:
  // All must outlive the evaluator; `pool` is the model's. Throws what check_fits throws.
  PackedEvaluator(PackedModel& model, const Dataset& dataset, const Split& split, ThreadPool& pool);

  // The next 256 images. False when there are none left.
  bool advance();
  int done() const { return answers_.done(); }
  int total() const { return split_.count(); }
  const EvaluationResult& result() { return answers_.result(); }

 private:
  PackedModel& model_;
  const Split& split_;
  ThreadPool& pool_;
  Answers answers_;
};

}  // namespace espalier
