#include "compress/prune/statistics.h"

#include <algorithm>
#include <cmath>

#include "compress/finetune.h"
#include "compress/prune/criterion.h"
#include "core/error.h"
#include "ops/weights.h"
#include "train/tables.h"

namespace espalier {
namespace {

Batcher make_batcher(const Model& model, const PassContext& context, int images) {
  const InputInfo& input = model.graph.input;
  return {input.shape.channels, input.shape.height,      input.shape.width, context.kernels.lanes, images,
          input.mean,           input.standard_deviation};
}

bool is_activation(const Node& node) {
  return node.op == &kRelu || node.op == &kRelu6 || node.op == &kLeakyRelu || node.op == &kTanh ||
         node.op == &kSigmoid;
}

// Layers through which a channel stays the same channel.
bool keeps_channels(const Node& node) {
  return node.op == &kBatchNorm || node.op == &kMaxPool || node.op == &kAvgPool || node.op == &kAdd ||
         node.op == &kFakeQuantize;
}

// The value behind the activation that follows `value`; 0: none does.
int behind_activation(const Graph& graph, int value) {
  for (const Node& node : graph.nodes) {
    if (std::find(node.inputs.begin(), node.inputs.end(), value) == node.inputs.end()) continue;
    const int out = static_cast<int>(node.index) + 1;
    if (is_activation(node)) return out;
    if (!keeps_channels(node)) continue;
    if (const int found = behind_activation(graph, out)) return found;
  }
  return 0;
}

}  // namespace

int training_images(const PassContext& context) {
  int population = context.dataset.train.count();
  if (context.training.limit > 0) population = std::min(population, context.training.limit);
  if (population == 0) {
    throw Error(ErrorCode::kData, context.dataset.name,
                "has no training images; this criterion measures on at least one");
  }
  return population;
}

GradientStatistics::GradientStatistics(const Graph& graph) {
  const auto size = static_cast<std::size_t>(graph.trainable_size);
  size_.resize(size);
  product_.resize(size);
  square_.resize(size);
}

void GradientStatistics::add(std::span<const real> weights, std::span<const real> gradient) {
  for (std::size_t i = 0; i < size_.size(); ++i) {
    const double g = gradient[i];
    size_[i] += std::abs(g);
    product_[i] += std::abs(weights[i] * g);
    square_[i] += g * g;
  }
  ++samples_;
}

void GradientStatistics::clear() {
  for (auto* sums : {&size_, &product_, &square_}) std::fill(sums->begin(), sums->end(), 0.0);
  samples_ = 0;
}

void take_scored_weights(const Model& model, std::vector<real>& weights) {
  const auto& value = model.parameters.value;
  weights.assign(value.begin(), value.end());
  for (const Node& node : model.graph.nodes) {
    const QuantizationScheme* scheme = node.attributes.quantize.scheme;
    if (scheme && scheme->codebook) fake_quantize_weights(node, value.data(), weights.data());
  }
  const auto& mask = model.parameters.mask;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0 && value[i] == 0) weights[i] = 0;
  }
}

Work record_gradients(const Model& model, const PassContext& context, int samples,
                      GradientStatistics& statistics) {
  const int population = training_images(context);
  const int count = std::min(samples, population);
  // A copy: its gradient slab is written to.
  const std::unique_ptr<Model> copy = copy_of(model);
  PlanOptions options{.training = true, .max_batch = 1};
  for (const Node& node : model.graph.nodes) options.frozen.push_back(!has_weights(node));
  Executor executor(copy->graph, context.kernels, context.pool, options);
  executor.masked_gradients(true);
  Batcher batcher = make_batcher(model, context, 1);
  std::vector<real> weights;
  take_scored_weights(model, weights);
  const LossType& loss = find_loss(context.training.loss);
  const Augmentation none;
  executor.prepare(copy->parameters);
  for (int i = 0; i < count; ++i) {
    batcher.load_training(context.dataset.train, none,
                          {.population = population, .seed = context.training.seed, .first = i, .count = 1},
                          context.pool);
    const Target target{batcher.labels()[0], batcher.labels()[0], 1};
    const Batch batch{.images = batcher.images(), .targets = &target, .count = 1};
    executor.train(batch, loss.function, context.training.label_smoothing, copy->parameters);
    statistics.add(weights, copy->parameters.gradient);
    co_yield Progress{.stage = "gradients", .done = i + 1, .total = count};
  }
}

ActivityStatistics::ActivityStatistics(const Graph& graph) : layers_(graph.nodes.size()) {
  for (const Node& node : graph.nodes) {
    if (!has_weights(node)) continue;
    Layer& layer = layers_[node.index];
    const int own = static_cast<int>(node.index) + 1;
    const int behind = behind_activation(graph, own);
    layer.value = behind > 0 ? behind : own;
    layer.size.resize(static_cast<std::size_t>(node.out_shape.channels));
    layer.nonzeros.resize(layer.size.size());
  }
}

void ActivityStatistics::add(const Node& node, std::span<const real> values) {
  Layer& layer = layers_[node.index];
  const std::size_t pixels = values.size() / layer.size.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    layer.size[i / pixels] += std::abs(double{values[i]});
    layer.nonzeros[i / pixels] += values[i] != 0 ? 1 : 0;
  }
  layer.count += static_cast<double>(pixels);
}

void ActivityStatistics::clear() {
  for (Layer& layer : layers_) {
    std::fill(layer.size.begin(), layer.size.end(), 0.0);
    std::fill(layer.nonzeros.begin(), layer.nonzeros.end(), 0.0);
    layer.count = 0;
  }
}

bool ActivityStatistics::empty() const {
  return std::all_of(layers_.begin(), layers_.end(), [](const Layer& layer) { return layer.count == 0; });
}

double ActivityStatistics::mean_size(const Node& node, int channel) const {
  const Layer& layer = layers_[node.index];
  return layer.size[static_cast<std::size_t>(channel)] / std::max(layer.count, 1.0);
}

double ActivityStatistics::share_of_nonzeros(const Node& node, int channel) const {
  const Layer& layer = layers_[node.index];
  return layer.nonzeros[static_cast<std::size_t>(channel)] / std::max(layer.count, 1.0);
}

ActivityRecorder::ActivityRecorder(const Model& model, const PassContext& context,
                                   ActivityStatistics& statistics)
    : model_(model),
      context_(context),
      statistics_(statistics),
      batcher_(make_batcher(model, context, context.kernels.lanes)),
      executor_(model.graph, context.kernels, context.pool,
                {.max_batch = context.kernels.lanes, .keep_values = true}),
      population_(training_images(context)) {
  logits_.resize(static_cast<std::size_t>(context.kernels.lanes * model.graph.classes));
}

void ActivityRecorder::record(int images) {
  executor_.prepare(model_.parameters);
  const Augmentation none;
  while (images > 0) {
    if (next_ == population_) next_ = 0;
    const int count = std::min({images, context_.kernels.lanes, population_ - next_});
    batcher_.load_training(
        context_.dataset.train, none,
        {.population = population_, .seed = context_.training.seed, .first = next_, .count = count},
        context_.pool);
    executor_.infer({.images = batcher_.images(), .count = count}, logits_.data());
    for (int image = 0; image < count; ++image) {
      for (const Node& node : model_.graph.nodes) {
        const int value = statistics_.observed(node);
        if (value < 0) continue;
        values_.resize(static_cast<std::size_t>(model_.graph.value_shape(value).size()));
        executor_.copy_value(value, image, values_.data());
        statistics_.add(node, values_);
      }
    }
    next_ += count;
    images -= count;
  }
}

Work record_activity(const Model& model, const PassContext& context, int samples,
                     ActivityStatistics& statistics) {
  ActivityRecorder recorder(model, context, statistics);
  const int count = std::min(samples, recorder.population());
  for (int done = 0; done < count;) {
    const int images = std::min(ActivityRecorder::kSlice, count - done);
    recorder.record(images);
    done += images;
    co_yield Progress{.stage = "activations", .done = done, .total = count};
  }
}

}  // namespace espalier
