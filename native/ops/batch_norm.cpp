// Batch normalization (Ioffe and Szegedy 2015), per channel:
//
//   out = gamma · (in - mean) / sqrt(variance + epsilon) + beta
//
// Training takes mean and (biased) variance over the batch's pixels and moves the running
// statistics, whose variance is unbiased (as PyTorch does); inference takes the running ones.
// Sums are taken around the running mean, which keeps a one-pass variance accurate.
//
// backward, with n values per channel, x̂ = (in - mean)·inv_std:
//   grad_beta = sum(g), grad_gamma = sum(g·x̂)
//   grad_in = gamma·inv_std · (g - grad_beta/n - x̂·grad_gamma/n)
#include <limits>

#include "core/math.h"
#include "core/training_only.h"
#include "ops/configure.h"
#include "ops/op.h"

namespace espalier {
namespace {

constexpr Field kFields[] = {
    {.name = "epsilon",
     .target = &Attributes::epsilon,
     .summary = "Added to the variance.",
     .minimum = 1e-12,
     .maximum = 1},
    {.name = "momentum",
     .target = &Attributes::momentum,
     .summary = "Share of the batch in the running statistics at each step.",
     .minimum = 0,
     .maximum = 1},
};

constexpr real kAny = std::numeric_limits<real>::infinity();

enum { kGamma, kBeta, kRunningMean, kRunningVariance };

void configure(Node& node) {
  node.out_shape = node.in_shape();
  const int channels = node.in_shape().channels;
  add_parameter(node, "weight", {channels}, Initializer::kOne);
  add_parameter(node, "bias", {channels}, Initializer::kZero);
  add_parameter(node, "running_mean", {channels}, Initializer::kZero, 1, false);
  add_parameter(node, "running_variance", {channels}, Initializer::kOne, 1, false);
}

// Rows of [channels] that a step leaves for its later sweeps.
struct Statistics {
  real* variance;  // of the batch, unbiased
  real* mean;
  real* scale;  // out = in·scale + shift
  real* shift;
  real* inv_std;
  real* grad_a;  // grad_in = grad_a·grad_out + grad_b·in + grad_c
  real* grad_b;
  real* grad_c;

  Statistics(real* base, int channels)
      : variance(base),
        mean(base + channels),
        scale(base + 2 * channels),
        shift(base + 3 * channels),
        inv_std(base + 4 * channels),
        grad_a(base + 5 * channels),
        grad_b(base + 6 * channels),
        grad_c(base + 7 * channels) {}
};
std::int64_t statistics_size(const Node& node) { return 8 * std::int64_t{node.in_shape().channels}; }

// Before the batch: the affine map of inference, what the sums are centred on, and zeros.
std::int64_t packed_size(const Node& node, bool) { return 4 * std::int64_t{node.in_shape().channels}; }
void prepare(const Node& node, const Kernels&, const real* value, real* packed, Way way) {
  if (way == Way::kBackward) return;
  const int channels = node.in_shape().channels;
  const auto parameter = [&](int i) { return value + node.parameters[static_cast<std::size_t>(i)].offset; };
  for (int c = 0; c < channels; ++c) {
    const double inv_std = 1.0 / math::sqrt(double{parameter(kRunningVariance)[c]} + node.attributes.epsilon);
    const double scale = parameter(kGamma)[c] * inv_std;
    packed[c] = static_cast<real>(scale);
    packed[channels + c] = static_cast<real>(parameter(kBeta)[c] - parameter(kRunningMean)[c] * scale);
    packed[2 * channels + c] = parameter(kRunningMean)[c];
    packed[3 * channels + c] = 0;
  }
}

void forward(const BlockContext& c) {
  const Shape& shape = c.node.in_shape();
  const real* scale = c.packed;
  const real* shift = c.packed + shape.channels;
  if (c.training) {
    const Statistics statistics(c.statistics, shape.channels);
    scale = statistics.scale;
    shift = statistics.shift;
  }
  const Rectifier rectifier = c.node.rectifier;
  c.kernels.scale_shift(c.in[0], shape.channels, shape.pixels(), scale, shift,
                        rectifier == Rectifier::kNone ? -kAny : 0, rectifier == Rectifier::kRelu6 ? 6 : kAny,
                        c.out);
}

void partial_statistics(const BlockContext& c) {
  const Shape& shape = c.node.in_shape();
  c.kernels.centered_moments(c.in[0], shape.channels, shape.pixels(), c.packed + 2 * shape.channels, c.valid,
                             c.partial);
}

// The sum of partials[group][row][channel] over the groups, in order.
double sum_partials(const BatchContext& c, int row, int channel, int channels) {
  double sum = 0;
  for (int group = 0; group < c.blocks_of_8; ++group) {
    sum += c.partials[(std::int64_t{group} * 2 + row) * channels + channel];
  }
  return sum;
}

void reduce_statistics(const BatchContext& c) {
  const Node& node = c.node;
  const int channels = node.in_shape().channels;
  const double count = static_cast<double>(c.images) * node.in_shape().pixels();
  const Statistics statistics(c.statistics, channels);
  const auto parameter = [&](int i) { return c.value + node.parameters[static_cast<std::size_t>(i)].offset; };
  for (int channel = 0; channel < channels; ++channel) {
    const double shifted = sum_partials(c, 0, channel, channels) / count;
    const double squares = sum_partials(c, 1, channel, channels) / count;
    const double mean = parameter(kRunningMean)[channel] + shifted;
    const double variance = squares - shifted * shifted > 0 ? squares - shifted * shifted : 0;
    const double inv_std = 1.0 / math::sqrt(variance + node.attributes.epsilon);
    const double scale = parameter(kGamma)[channel] * inv_std;
    statistics.mean[channel] = static_cast<real>(mean);
    statistics.inv_std[channel] = static_cast<real>(inv_std);
    statistics.scale[channel] = static_cast<real>(scale);
    statistics.shift[channel] = static_cast<real>(parameter(kBeta)[channel] - mean * scale);
    statistics.variance[channel] = static_cast<real>(count > 1 ? variance * count / (count - 1) : variance);
  }
}

void move_running_statistics(const BatchContext& c) {
  const Node& node = c.node;
  const int channels = node.in_shape().channels;
  const Statistics statistics(c.statistics, channels);
  const double momentum = node.attributes.momentum;
  const auto move = [&](int parameter, const real* batch) {
    real* running = c.value + node.parameters[static_cast<std::size_t>(parameter)].offset;
    for (int channel = 0; channel < channels; ++channel) {
      running[channel] = static_cast<real>((1 - momentum) * running[channel] + momentum * batch[channel]);
    }
  };
  move(kRunningMean, statistics.mean);
  move(kRunningVariance, statistics.variance);
}

void partial_gradients(const BlockContext& c) {
  const Shape& shape = c.node.in_shape();
  const Statistics statistics(c.statistics, shape.channels);
  c.kernels.gradient_moments(c.in[0], c.grad_out, shape.channels, shape.pixels(), statistics.mean, c.partial);
}

void reduce_gradients(const BatchContext& c) {
  const Node& node = c.node;
  const int channels = node.in_shape().channels;
  const double count = static_cast<double>(c.images) * node.in_shape().pixels();
  const Statistics statistics(c.statistics, channels);
  for (int channel = 0; channel < channels; ++channel) {
    const double inv_std = statistics.inv_std[channel];
    const double grad_beta = sum_partials(c, 0, channel, channels);
    const double grad_gamma = sum_partials(c, 1, channel, channels) * inv_std;
    c.gradient[node.parameters[kGamma].offset + channel] = static_cast<real>(grad_gamma);
    c.gradient[node.parameters[kBeta].offset + channel] = static_cast<real>(grad_beta);
    const double scale = c.value[node.parameters[kGamma].offset + channel] * inv_std;
    const double slope = -scale * inv_std * grad_gamma / count;
    statistics.grad_a[channel] = static_cast<real>(scale);
    statistics.grad_b[channel] = static_cast<real>(slope);
    statistics.grad_c[channel] =
        static_cast<real>(-scale * grad_beta / count - slope * statistics.mean[channel]);
  }
}

void backward(const BlockContext& c) {
  if (!c.grad_in[0]) return;
  const Shape& shape = c.node.in_shape();
  if (!c.training) {  // frozen: the map of inference
    const real* scale = c.packed;
    const real* zero = c.packed + 3 * shape.channels;
    c.kernels.scale_shift(c.grad_out, shape.channels, shape.pixels(), scale, zero, -kAny, kAny, c.grad_in[0]);
    return;
  }
  const Statistics statistics(c.statistics, shape.channels);
  c.kernels.combine(c.grad_out, c.in[0], shape.channels, shape.pixels(), statistics.grad_a, statistics.grad_b,
                    statistics.grad_c, c.valid, c.grad_in[0]);
}

}  // namespace

constinit const OpType kBatchNorm{.name = "batch_norm",
                                  .summary = "Batch normalization with learned scale and shift.",
                                  .fields = kFields,
                                  .configure = configure,
                                  .forward = forward,
                                  .backward = training_only(backward),
                                  .needs_input = true,
                                  .recompute = true,
                                  .packed_size = packed_size,
                                  .prepare = prepare,
                                  .statistics_size = training_only(statistics_size),
                                  .partial_statistics = training_only(partial_statistics),
                                  .reduce_statistics = training_only(reduce_statistics),
                                  .move_running_statistics = training_only(move_running_statistics),
                                  .partial_gradients = training_only(partial_gradients),
                                  .reduce_gradients = training_only(reduce_gradients)};

}  // namespace espalier
