// Inference over a split or a few images: accuracy, confusion, probabilities, feature maps.
#include <algorithm>

#include "core/error.h"
#include "train/trainer.h"

namespace espalier {
namespace {

constexpr int kSlice = 256;
constexpr int kPredictBatch = 64;
constexpr int kFewImages = 3;

}  // namespace

Evaluator::Evaluator(const Model& model, const Dataset& dataset, const Split& split, const Kernels& kernels,
                     ThreadPool& pool)
    : model_(model),
      split_(split),
      pool_(pool),
      batcher_(dataset.channels, dataset.height, dataset.width, kernels.lanes, kSlice, model.graph.input.mean,
               model.graph.input.standard_deviation),
      executor_(model.graph, kernels, pool, {.max_batch = kSlice}),
      answers_(split, model.graph.classes, kSlice) {
  check_fits(model.graph, dataset);
  executor_.prepare(model.parameters);
}

bool Evaluator::advance() {
  const int done = answers_.done(), count = std::min(kSlice, split_.count() - done);
  if (count <= 0) return false;
  const auto image_size = static_cast<std::size_t>(model_.graph.input.shape.size());
  const std::uint8_t* bytes = split_.images.data() + static_cast<std::size_t>(done) * image_size;
  const int lanes = executor_.plan().lanes;
  const std::size_t block_size = image_size * static_cast<std::size_t>(lanes);
  // A block goes from bytes to predictions while it is in the cache of one core.
  pool_.run((count + lanes - 1) / lanes, [&](int block, int thread) {
    batcher_.load_plain_block(bytes, count, block);
    const real* logits =
        executor_.infer_block(batcher_.images() + static_cast<std::size_t>(block) * block_size, thread);
    answers_.take(logits, lanes, block * lanes, std::min(lanes, count - block * lanes));
  });
  answers_.finish_slice(count);
  return done + count < split_.count();
}

EvaluationResult evaluate(const Model& model, const Dataset& dataset, const Split& split,
                          const Kernels& kernels, ThreadPool& pool) {
  Evaluator evaluator(model, dataset, split, kernels, pool);
  while (evaluator.advance()) {
  }
  return evaluator.result();
}

Predictor::Runner::Runner(const Model& model, const Kernels& kernels, ThreadPool& pool,
                          const PlanOptions& options)
    : batcher(model.graph.input.shape.channels, model.graph.input.shape.height, model.graph.input.shape.width,
              kernels.lanes, options.max_batch, model.graph.input.mean, model.graph.input.standard_deviation),
      executor(model.graph, kernels, pool, options) {}

Predictor::Predictor(const Model& model, const Kernels& kernels, ThreadPool& pool)
    : model_(model), kernels_(kernels), pool_(pool) {
  logits_.resize(static_cast<std::size_t>(kPredictBatch * model.graph.classes));
}

void Predictor::prepare() {
  for (Runner* runner : {single_.get(), batch_.get()}) {
    if (runner) runner->prepared = false;
  }
}

Predictor::Runner& Predictor::runner(std::unique_ptr<Runner>& runner, const Kernels& kernels,
                                     const PlanOptions& options) {
  if (!runner) runner = std::make_unique<Runner>(model_, kernels, pool_, options);
  if (!runner->prepared) runner->executor.prepare(model_.parameters);
  runner->prepared = true;
  return *runner;
}
Predictor::Runner& Predictor::single() {
  return runner(single_, *kernels_.single, {.max_batch = 1, .keep_values = true});
}
Predictor::Runner& Predictor::batch() { return runner(batch_, kernels_, {.max_batch = kPredictBatch}); }

void Predictor::predict(const std::uint8_t* images, int count, real* probabilities) {
  const int classes = model_.graph.classes;
  const std::ptrdiff_t image_size = model_.graph.input.shape.size();
  const int at_once = count <= kFewImages ? 1 : kPredictBatch;
  Runner& runner = at_once == 1 ? single() : batch();
  for (int first = 0; first < count; first += at_once) {
    const int slice = std::min(at_once, count - first);
    runner.batcher.load_plain(images + first * image_size, slice, pool_);
    runner.executor.infer({.images = runner.batcher.images(), .count = slice}, logits_.data());
    for (std::ptrdiff_t i = 0; i < slice; ++i) {
      softmax(logits_.data() + i * classes, classes, probabilities + (first + i) * classes);
    }
  }
}

std::vector<real> Predictor::activation(const std::uint8_t* image, std::string_view layer, Shape& shape) {
  int value = 0;
  if (layer != "input") {
    const auto& nodes = model_.graph.nodes;
    const auto at = std::find_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.name == layer; });
    if (at == nodes.end()) {
      throw Error(ErrorCode::kArgument, std::string(layer),
                  "is not a layer of the model \"" + model_.graph.name + "\"");
    }
    value = static_cast<int>(at - nodes.begin()) + 1;
  }
  shape = model_.graph.value_shape(value);
  std::vector<real> out(static_cast<std::size_t>(shape.size()));
  Runner& runner = single();
  runner.batcher.load_plain(image, 1, pool_);
  if (value == 0) {
    std::copy_n(runner.batcher.images(), out.size(), out.begin());
    return out;
  }
  runner.executor.infer({.images = runner.batcher.images(), .count = 1}, logits_.data());
  runner.executor.copy_value(value, 0, out.data());
  return out;
}

}  // namespace espalier
