#include "graph/executor.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "core/math.h"
#include "core/random.h"
#include "graph/run_order.h"
#include "ops/op.h"
#include "ops/shapes.h"
#include "ops/weights.h"

namespace espalier {
namespace {

constexpr int kMaxInputs = 16;

// Whether a rectifier takes the node's output (a batch norm between them does not matter): it
// halves the variance, which the weights make up for.
bool is_rectified(const Graph& graph, std::size_t index) {
  const int value = static_cast<int>(index) + 1;
  for (std::size_t n = index + 1; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.inputs.front() != value) continue;
    if (node.op == &kRelu || node.op == &kRelu6 || node.op == &kLeakyRelu) return true;
    if (node.op == &kBatchNorm && is_rectified(graph, n)) return true;
  }
  return false;
}

}  // namespace

void initialize(const Graph& graph, std::uint64_t seed, Parameters& parameters) {
  std::uint64_t tensor = 0;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const ParameterInfo& info : graph.nodes[n].parameters) {
      real* value = parameters.value.data() + info.offset;
      switch (info.initializer) {
        case Initializer::kZero:
          std::fill_n(value, info.size, real{0});
          break;
        case Initializer::kOne:
          std::fill_n(value, info.size, real{1});
          break;
        case Initializer::kUniform: {
          const double bound = math::sqrt((is_rectified(graph, n) ? 6.0 : 3.0) / info.fan_in);
          Random random(seed, RandomStream::kInitialization, tensor);
          for (std::int64_t i = 0; i < info.size; ++i) {
            value[i] = static_cast<real>(random.uniform(-bound, bound));
          }
          break;
        }
      }
      ++tensor;
    }
    const Node& node = graph.nodes[n];
    if (node.attributes.quantize.scheme) fit_weights(node, RangeMethod::kMinMax, parameters.value.data());
  }
}

void multiply(ThreadPool& pool, const aligned_vector<real>& mask, real* numbers) {
  pool.run_pieces(static_cast<std::int64_t>(mask.size()), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) numbers[i] *= mask[static_cast<std::size_t>(i)];
  });
}

const real* make_effective(const Graph& graph, const Parameters& parameters, ThreadPool& pool,
                           aligned_vector<real>& effective) {
  const auto quantized = [](const Node& node) { return node.attributes.quantize.scheme != nullptr; };
  const bool any = std::any_of(graph.nodes.begin(), graph.nodes.end(), quantized);
  if (!any && parameters.mask.empty()) return parameters.value.data();
  effective.assign(parameters.value.begin(), parameters.value.end());
  const auto apply_mask = [&] { multiply(pool, parameters.mask, effective.data()); };
  apply_mask();
  if (!any) return effective.data();
  pool.run(static_cast<int>(graph.nodes.size()), [&](int n, int) {
    const Node& node = graph.nodes[static_cast<std::size_t>(n)];
    if (quantized(node)) fake_quantize_weights(node, parameters.value.data(), effective.data());
  });
  apply_mask();  // a grid may not have a zero
  return effective.data();
}

Executor::Executor(const Graph& graph, const Kernels& kernels, ThreadPool& pool, const PlanOptions& options)
    : graph_(options.keep_values ? graph : in_run_order(graph)), kernels_(kernels), pool_(pool) {
  PlanOptions with_threads = options;
  with_threads.threads = pool.threads();
  plan_ = make_plan(graph_, kernels.lanes, with_threads);
  arena_.resize(static_cast<std::size_t>(plan_.arena_size));
  for (const Node& node : graph.nodes) {
    if (node.op->scratch_size) scratch_size_ = std::max(scratch_size_, node.op->scratch_size(node, kernels));
  }
  scratch_.resize(static_cast<std::size_t>(scratch_size_ * pool.threads()));
  sparse_.resize(graph_.nodes.size());
  const auto images = static_cast<std::size_t>(plan_.max_blocks) * static_cast<std::size_t>(kernels.lanes);
  losses_.resize(images);
  predictions_.resize(images);
}

void Executor::prepare(const Parameters& parameters) {
  weights_ = make_effective(graph_, parameters, pool_, effective_);
  follow_mask(parameters.mask);
  const auto nodes = static_cast<int>(graph_.nodes.size());
  pool_.run(plan_.training ? 2 * nodes : nodes, [&](int i, int) {
    const auto n = static_cast<std::size_t>(i % nodes);
    const Node& node = graph_.nodes[n];
    if (sparse_[n].used) {
      SparseWeights& weights = i < nodes ? sparse_[n].forward : sparse_[n].backward;
      return weights.take_values(weights_ + weight_of(node).offset);
    }
    if (!node.op->prepare) return;
    node.op->prepare(node, kernels_, weights_, at(plan_.packed[n]),
                     i < nodes ? Way::kForward : Way::kBackward);
  });
}

// Finds the layers that run on their surviving weights, and those anew whose mask is another one. A single
// image is a prediction now and then, which is over before weights are listed.
void Executor::follow_mask(const aligned_vector<real>& mask) {
  if (kernels_.lanes == 1) return;
  std::int64_t scratch = scratch_size_;
  for (std::size_t n = 0; n < sparse_.size(); ++n) {
    SparseLayer& layer = sparse_[n];
    layer.used = false;
    if (mask.empty() || !has_weights(graph_.nodes[n])) continue;
    const ParameterInfo& weight = weight_of(graph_.nodes[n]);
    const real* kept = mask.data() + weight.offset;
    const std::int64_t whole = weight.size / 16 * 16;
    auto count = static_cast<std::int64_t>(kernels_.sum_of_squares(kept, whole));  // of ones
    for (std::int64_t i = whole; i < weight.size; ++i) count += kept[i] != 0 ? 1 : 0;
    const ConvShape shape = conv_shape(graph_.nodes[n]);
    const double density = static_cast<double>(count) / static_cast<double>(weight.size);
    if (density >= sparse_break_even(kernels_, shape)) continue;
    layer.used = true;
    const bool by_rounds = graph_.nodes[n].op->round_backward != nullptr;
    layer.masked_gradients =
        masked_gradients_ || (by_rounds && !sparse_dense_gradient_pays(kernels_, density));
    const std::vector<std::int32_t>& places = layer.forward.places;
    const bool same =
        count == static_cast<std::int64_t>(places.size()) && !layer.forward.first.empty() &&
        std::all_of(places.begin(), places.end(), [kept](auto place) { return kept[place] != 0; });
    if (same) continue;
    const SparseLayout forward = kernels_.sparse_forward_layout(shape);
    layer.forward = forward_weights(shape, forward, kept);
    scratch = std::max(scratch, forward.scratch);
    if (!plan_.training) continue;
    const SparseLayout backward = kernels_.sparse_backward_layout(shape);
    layer.backward = backward_weights(shape, backward, kept);
    scratch = std::max(scratch, backward.scratch);
  }
  if (scratch == scratch_size_) return;
  scratch_size_ = (scratch + 15) / 16 * 16;
  scratch_.resize(static_cast<std::size_t>(scratch_size_ * pool_.threads()));
}

BatchResult Executor::train(const Batch& batch, LossFunction loss, double label_smoothing,
                            Parameters& parameters) {
  begin(batch, loss, label_smoothing, parameters);
  while (advance()) {
  }
  return finish();
}

void Executor::begin(const Batch& batch, LossFunction loss, double label_smoothing, Parameters& parameters) {
  call_ = {batch, loss, label_smoothing, weights_};
  parameters_ = &parameters;
  next_sweep_ = 0;
  real* shards = at(plan_.shard_gradients);
  pool_.run_pieces(plan_.shard_gradient_size * kShards, [&](std::int64_t begin, std::int64_t end) {
    std::memset(shards + begin, 0, static_cast<std::size_t>(end - begin) * sizeof(real));
  });
}

bool Executor::advance() {
  const Plan::Sweep& sweep = plan_.sweeps[next_sweep_];
  run_sweep(sweep, call_, parameters_->gradient.data());
  for (const int n : sweep.reduce_statistics) {
    const Node& node = graph_.nodes[static_cast<std::size_t>(n)];
    node.op->reduce_statistics(batch_context(n, call_, *parameters_));
  }
  for (const int n : sweep.reduce_gradients) {
    const Node& node = graph_.nodes[static_cast<std::size_t>(n)];
    node.op->reduce_gradients(batch_context(n, call_, *parameters_));
  }
  return ++next_sweep_ < plan_.sweeps.size();
}

BatchResult Executor::finish() {
  for (const Plan::Sweep& sweep : plan_.sweeps) {
    for (const int n : sweep.reduce_statistics) {
      const Node& node = graph_.nodes[static_cast<std::size_t>(n)];
      node.op->move_running_statistics(batch_context(n, call_, *parameters_));
    }
  }
  const real* shards = at(plan_.shard_gradients);
  const std::int64_t size = plan_.shard_gradient_size;
  real* gradient = parameters_->gradient.data();
  pool_.run_pieces(size, [&](std::int64_t begin, std::int64_t end) {
    kernels_.add_rows(kShards, size, shards + begin, end - begin, gradient + begin);
  });

  const auto& mask = parameters_->mask;
  for (const Node& node : graph_.nodes) {
    if (!node.attributes.quantize.scheme || plan_.frozen[node.index]) continue;
    quantized_weight_gradient(node, parameters_->value.data(), mask.empty() ? nullptr : mask.data(),
                              parameters_->gradient.data());
  }

  const Batch& batch = call_.batch;
  BatchResult result;
  for (int i = 0; i < batch.count; ++i) {
    result.loss += losses_[static_cast<std::size_t>(i)];
    result.correct += predictions_[static_cast<std::size_t>(i)] == batch.targets[i].label ? 1 : 0;
  }
  result.loss /= batch.count;
  parameters_ = nullptr;
  return result;
}

void Executor::infer(const Batch& batch, real* logits) {
  const int lanes = plan_.lanes;
  const int blocks = (batch.count + lanes - 1) / lanes;
  const int classes = graph_.classes;
  const std::int64_t block_size = std::int64_t{graph_.input.shape.size()} * lanes;
  pool_.run(blocks, [&](int block, int thread) {
    const real* out = infer_block(batch.images + block * block_size, thread);
    const int valid = std::min(lanes, batch.count - block * lanes);
    for (int lane = 0; lane < valid; ++lane) {
      for (int c = 0; c < classes; ++c) {
        logits[(static_cast<std::int64_t>(block) * lanes + lane) * classes + c] = out[c * lanes + lane];
      }
    }
  });
}

const real* Executor::infer_block(const real* images, int thread) {
  const Call call{.batch = {.images = images, .count = plan_.lanes}, .value = weights_};
  run_block(plan_.sweeps.front(), call, 0, 0, thread);
  return resolve(plan_.values.back(), call, 0, thread);
}

const real* Executor::block_value(int value) const {
  const Plan::Buffer& buffer = plan_.values[static_cast<std::size_t>(value)];
  assert(buffer.scope == Plan::Scope::kBlock);
  return arena_.data() + plan_.threads + buffer.offset;
}

void Executor::copy_value(int value, int image, real* out) const {
  const real* source = block_value(value) + image;
  const int size = graph_.value_shape(value).size();
  for (int i = 0; i < size; ++i) out[i] = source[static_cast<std::int64_t>(i) * plan_.lanes];
}

void Executor::run_sweep(const Plan::Sweep& sweep, const Call& call, real* gradient) {
  const int count = call.batch.count;
  const int rounds = (count + kRoundImages - 1) / kRoundImages;
  for (int round = 0; round < rounds; ++round) {
    const int first_image = round * kRoundImages;
    const int images = std::min(kRoundImages, count - first_image);
    pool_.run((images + kShardImages - 1) / kShardImages, [&](int shard, int thread) {
      const int begin = first_image + shard * kShardImages;
      const int end = std::min(begin + kShardImages, count);
      for (int image = begin; image < end; image += plan_.lanes) {
        run_block(sweep, call, image / plan_.lanes, shard, thread);
      }
    });
    for (const int n : sweep.round_nodes) {
      const Node& node = graph_.nodes[static_cast<std::size_t>(n)];
      const int parts = pool_.threads();
      pool_.run(parts, [&](int part, int) {
        node.op->round_backward({.node = node,
                                 .kernels = kernels_,
                                 .sparse = sparse(static_cast<std::size_t>(n)),
                                 .stash = at(plan_.stash[static_cast<std::size_t>(n)]),
                                 .gradient = gradient,
                                 .images = images,
                                 .first = round == 0,
                                 .part = part,
                                 .parts = parts});
      });
    }
  }
}

void Executor::run_block(const Plan::Sweep& sweep, const Call& call, int block, int shard, int thread) {
  const int lanes = plan_.lanes;
  const int first_image = block * lanes;
  const int valid = std::min(lanes, call.batch.count - first_image);
  std::array<const real*, kMaxInputs> in{};
  std::array<real*, kMaxInputs> grad_in{};

  for (const Plan::Step& step : sweep.steps) {
    if (step.action == Plan::Action::kLoss) {
      run_loss(step, call, block, valid, thread);
      continue;
    }
    const auto n = static_cast<std::size_t>(step.node);
    const Node& node = graph_.nodes[n];
    const OpType& op = *node.op;
    for (std::size_t i = 0; i < step.in.size(); ++i) in[i] = resolve(step.in[i], call, block, thread);
    for (std::size_t i = 0; i < step.grad_in.size(); ++i) {
      grad_in[i] = resolve(step.grad_in[i], call, block, thread);
    }
    const bool frozen = plan_.frozen[n];
    const bool partials = plan_.training && op.whole_batch() && !frozen;
    const std::int64_t groups = lanes / 8;
    const BlockContext context{
        .node = node,
        .kernels = kernels_,
        .in = in.data(),
        .out = resolve(step.out, call, block, thread),
        .grad_out = resolve(step.grad_out, call, block, thread),
        .grad_in = grad_in.data(),
        .value = call.value,
        .packed = at(plan_.packed[n]),
        .sparse = sparse(n),
        .scratch = scratch_.data() + thread * scratch_size_,
        .gradient = plan_.training ? at(plan_.shard_gradients + shard * plan_.shard_gradient_size) : nullptr,
        .stash = plan_.training ? at(plan_.stash[n]) : nullptr,
        .statistics = at(plan_.statistics[n]),
        .partial = partials ? at(plan_.partials[n]) + block * groups * 2 * node.in_shape().channels : nullptr,
        .image_in_round = first_image % kRoundImages,
        .valid = valid,
        .image_in_batch = static_cast<std::uint64_t>(first_image),
        .seed = call.batch.seed,
        .step = call.batch.step,
        .training = plan_.training && !frozen,
        .frozen = frozen};
    switch (step.action) {
      case Plan::Action::kForward:
        op.forward(context);
        break;
      case Plan::Action::kPartialStatistics:
        op.partial_statistics(context);
        break;
      case Plan::Action::kPartialGradients:
        op.partial_gradients(context);
        break;
      case Plan::Action::kBackward:
        op.backward(context);
        break;
      case Plan::Action::kLoss:
        break;
    }
    for (std::size_t i = 0; i < step.accumulate_to.size(); ++i) {
      if (real* sum = resolve(step.accumulate_to[i], call, block, thread)) {
        const int size = graph_.value_shape(node.inputs[i]).size() * lanes;
        kernels_.add(size, sum, grad_in[i], sum);
      }
    }
  }
}

void Executor::run_loss(const Plan::Step& step, const Call& call, int block, int valid, int thread) {
  const auto first = static_cast<std::size_t>(block) * static_cast<std::size_t>(plan_.lanes);
  const Teaching* teaching = call.batch.teaching;
  const auto classes = static_cast<std::size_t>(graph_.classes);
  call.loss({.kernels = kernels_,
             .logits = resolve(step.in[0], call, block, thread),
             .grad_logits = resolve(step.out, call, block, thread),
             .targets = call.batch.targets + first,
             .losses = losses_.data() + first,
             .predictions = predictions_.data() + first,
             .valid = valid,
             .classes = graph_.classes,
             .scale = real{1} / static_cast<real>(call.batch.count),
             .label_smoothing = call.label_smoothing,
             .teaching = teaching,
             .teacher = teaching ? teaching->outputs + first * classes : nullptr});
}

real* Executor::resolve(const Plan::Buffer& buffer, const Call& call, int block, int thread) {
  switch (buffer.scope) {
    case Plan::Scope::kNone:
      return nullptr;
    case Plan::Scope::kImages:
      // Only ever read: layers get it as an input.
      return const_cast<real*>(call.batch.images) + block * buffer.size;
    case Plan::Scope::kBlock:
      return at(plan_.threads + thread * plan_.thread_size + buffer.offset);
    case Plan::Scope::kBatch:
      return at(buffer.offset + block * buffer.size);
  }
  return nullptr;
}

BatchContext Executor::batch_context(int n, const Call& call, Parameters& parameters) {
  const auto index = static_cast<std::size_t>(n);
  return {.node = graph_.nodes[index],
          .value = parameters.value.data(),
          .gradient = parameters.gradient.data(),
          .statistics = at(plan_.statistics[index]),
          .partials = at(plan_.partials[index]),
          .blocks_of_8 = (call.batch.count + 7) / 8,
          .images = call.batch.count};
}

}  // namespace espalier
