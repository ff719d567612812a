#include "runtime/reference.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/shapes.h"
#include "ops/weights.h"
#include "runtime/instructions.h"
#include "runtime/tail.h"

namespace espalier {
namespace {

// Kernels for single images read and write up to the next multiple of this.
constexpr std::size_t padded(std::size_t size) { return (size + 15) / 16 * 16; }

// visit(position in the map) for the pixels of a window that lie inside the map.
template <class Visit>
void for_each_in_window(const PoolShape& s, int y, int x, Visit&& visit) {
  for (int i = 0; i < s.kernel_height; ++i) {
    const int row = y * s.stride_height + i - s.pad_top;
    if (row < 0 || row >= s.in_height) continue;
    for (int j = 0; j < s.kernel_width; ++j) {
      const int column = x * s.stride_width + j - s.pad_left;
      if (column >= 0 && column < s.in_width) visit(row * s.in_width + column);
    }
  }
}

}  // namespace

int requantized(std::int32_t sum, float multiplier, int zero_point, int lowest, int highest) {
  const float x = static_cast<float>(sum) * multiplier;
  const float inside =
      std::clamp(x, static_cast<float>(lowest - zero_point), static_cast<float>(highest - zero_point));
  return static_cast<int>(std::nearbyint(inside)) + zero_point;
}

ReferenceModel::ReferenceModel(const Graph& graph, const real* value, const Kernels& kernels)
    : graph_(graph), value_(value), kernels_(*kernels.single) {
  layers_.resize(graph.nodes.size());
  values_.resize(graph.nodes.size() + 1);
  known_.resize(values_.size());
  for (const Node& node : graph.nodes) {
    Layer& layer = layers_[node.index];
    if (has_weights(node)) layer.weights = layer_weights(node, conv_shape(node), value);
    if (node.op->prepare) {
      const auto size = static_cast<std::size_t>(node.op->packed_size(node, false));
      layer.packed.reserve(size + std::size_t{kReachBytes});
      layer.packed.resize(size);
      node.op->prepare(node, kernels_, value, layer.packed.data(), Way::kForward);
    }
    if (node.op->scratch_size) {
      layer.scratch.resize(static_cast<std::size_t>(node.op->scratch_size(node, kernels_)));
    }
  }
}

const real* ReferenceModel::infer(const std::uint8_t* image) {
  std::fill(known_.begin(), known_.end(), 0);
  load(image);
  for (const Node& node : graph_.nodes) {
    if (known_[node.index + 1]) continue;
    if (!run_on_codes(node)) run_on_numbers(node);
    known_[node.index + 1] = 1;
  }
  return numbers(static_cast<int>(graph_.nodes.size()));
}

void ReferenceModel::load(const std::uint8_t* image) {
  const InputInfo& input = graph_.input;
  Value& value = values_[0];
  value.shape = input.shape;
  value.is_codes = false;
  const auto pixels = static_cast<std::size_t>(input.shape.pixels());
  const auto size = static_cast<std::size_t>(input.shape.size());
  value.numbers.resize(padded(size));
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t channel = i / pixels;
    const double mean = input.mean.empty() ? 0 : input.mean[channel];
    const double deviation = input.standard_deviation.empty() ? 1 : input.standard_deviation[channel];
    value.numbers[i] = static_cast<real>(image[i]) * static_cast<real>(1 / (255 * deviation)) +
                       static_cast<real>(-mean / deviation);
  }
  known_[0] = 1;
}

const real* ReferenceModel::numbers(int id) {
  Value& value = values_[static_cast<std::size_t>(id)];
  if (!value.is_codes) return value.numbers.data();
  value.numbers.resize(padded(value.codes.size()));
  for (std::size_t i = 0; i < value.codes.size(); ++i) {
    value.numbers[i] = static_cast<float>(value.codes[i] - value.grid.zero_point) * value.grid.scale;
  }
  return value.numbers.data();
}

void ReferenceModel::begin_codes(Value& value, const Shape& shape, const CodeGrid& grid) {
  value.is_codes = true;
  value.grid = grid;
  value.shape = shape;
  value.codes.resize(static_cast<std::size_t>(shape.size()));
}

void ReferenceModel::end_tail(const Node& node) {
  for (const std::size_t v : tail_of(graph_, node.index + 1).values) {
    values_[v] = values_[node.index + 1];
    known_[v] = 1;
  }
}

// True if the node has an integer form here, and has run.
bool ReferenceModel::run_on_codes(const Node& node) {
  const auto id = [&](std::size_t i) { return static_cast<std::size_t>(node.inputs[i]); };
  Value& out = values_[node.index + 1];
  const Value& first = values_[id(0)];
  if (node.op == &kFakeQuantize) {
    quantize(node);
    return true;
  }
  if (node.op == &kDropout || node.op == &kFlatten) {
    out = first;  // a flattened map stays a map
    return true;
  }
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Value& in = values_[id(i)];
    if (!in.is_codes || (in.shape != node.in_shapes[i] && node.op != &kDense)) return false;
  }
  if (has_weights(node)) {
    if (layers_[node.index].weights.integers.empty()) return false;
    convolve(node, first, layers_[node.index]);
    return true;
  }
  const bool average = node.op == &kAvgPool || node.op == &kGlobalAvgPool;
  const PoolShape pool = average || node.op == &kMaxPool ? pool_shape(node) : PoolShape{};
  const std::size_t plane = static_cast<std::size_t>(first.shape.pixels());
  if (node.op == &kRelu || node.op == &kMaxPool) {
    begin_codes(out, node.out_shape, first.grid);
    std::size_t at = 0;
    if (node.op == &kRelu) {
      for (const std::uint8_t code : first.codes) {
        out.codes[at++] = static_cast<std::uint8_t>(std::max<int>(code, first.grid.zero_point));
      }
      return true;
    }
    for (std::size_t c = 0; c < static_cast<std::size_t>(node.out_shape.channels); ++c) {
      for (int y = 0; y < pool.out_height; ++y) {
        for (int x = 0; x < pool.out_width; ++x) {
          std::uint8_t best = 0;
          for_each_in_window(pool, y, x, [&](int i) {
            best = std::max(best, first.codes[c * plane + static_cast<std::size_t>(i)]);
          });
          out.codes[at++] = best;
        }
      }
    }
    return true;
  }
  const bool sum = node.op == &kAdd && node.inputs.size() == 2;
  if (!average && !sum && node.op != &kConcat) return false;
  const Tail tail = tail_of(graph_, node.index + 1);
  if (!tail.quantizer) return false;
  const CodeGrid grid = grid_of(*tail.quantizer, value_);
  const CodeRange range = range_of(grid, tail.rectifier);
  begin_codes(out, node.out_shape, grid);
  std::size_t at = 0;
  if (average) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(node.out_shape.channels); ++c) {
      for (int y = 0; y < pool.out_height; ++y) {
        for (int x = 0; x < pool.out_width; ++x) {
          std::int32_t total = 0;
          int count = 0;
          for_each_in_window(pool, y, x, [&](int i) {
            total += first.codes[c * plane + static_cast<std::size_t>(i)] - first.grid.zero_point;
            ++count;
          });
          out.codes[at++] = static_cast<std::uint8_t>(
              requantized(total, first.grid.scale / (grid.scale * static_cast<float>(count)), grid.zero_point,
                          range.lowest, range.highest));
        }
      }
    }
  } else if (sum) {
    const Value& other = values_[id(1)];
    const auto number = [](const Value& value, std::size_t i) {
      return static_cast<float>(value.codes[i] - value.grid.zero_point) * value.grid.scale;
    };
    for (; at < out.codes.size(); ++at) {
      const float x = (number(first, at) + number(other, at)) / grid.scale;
      const float inside = std::clamp(x, static_cast<float>(range.lowest - grid.zero_point),
                                      static_cast<float>(range.highest - grid.zero_point));
      out.codes[at] = static_cast<std::uint8_t>(static_cast<int>(std::nearbyint(inside)) + grid.zero_point);
    }
  } else {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Value& in = values_[id(i)];
      for (const std::uint8_t code : in.codes) {
        const float number = static_cast<float>(code - in.grid.zero_point) * in.grid.scale;
        const int translated = in.grid == grid ? code : code_of(number, grid);
        out.codes[at++] = static_cast<std::uint8_t>(std::clamp(translated, range.lowest, range.highest));
      }
    }
  }
  end_tail(node);
  return true;
}

void ReferenceModel::convolve(const Node& node, const Value& in, const Layer& layer) {
  const LayerWeights& weights = layer.weights;
  const ConvShape& s = weights.shape;
  const Tail tail = tail_of(graph_, node.index + 1);
  Value& out = values_[node.index + 1];
  CodeRange range{};
  if (tail.quantizer) {
    begin_codes(out, node.out_shape, grid_of(*tail.quantizer, value_));
    range = range_of(out.grid, tail.rectifier);
  } else {
    out.is_codes = false;
    out.shape = node.out_shape;
    out.numbers.resize(padded(static_cast<std::size_t>(node.out_shape.size())));
  }
  std::size_t at = 0;
  for (int o = 0; o < s.out_channels; ++o) {
    const int first_channel = o / s.group_out() * s.group_in();
    const float sum_scale = in.grid.scale * weights.scales[static_cast<std::size_t>(o)];
    const std::int32_t bias = weights.bias.empty()
                                  ? 0
                                  : bias_code(static_cast<float>(weights.bias[static_cast<std::size_t>(o)]),
                                              in.grid.scale, weights.scales[static_cast<std::size_t>(o)]);
    for (int y = 0; y < s.out_height; ++y) {
      for (int x = 0; x < s.out_width; ++x, ++at) {
        std::int32_t sum = bias;
        const std::int8_t* weight = weights.integers.data() + std::ptrdiff_t{o} * s.group_in() * s.taps();
        for (int i = 0; i < s.group_in(); ++i) {
          for (int ky = 0; ky < s.kernel_height; ++ky) {
            for (int kx = 0; kx < s.kernel_width; ++kx, ++weight) {
              const int row = y * s.stride_height + ky * s.dilation_height - s.pad_top;
              const int column = x * s.stride_width + kx * s.dilation_width - s.pad_left;
              if (row < 0 || row >= s.in_height || column < 0 || column >= s.in_width) continue;
              const std::ptrdiff_t from =
                  (std::ptrdiff_t{first_channel + i} * s.in_height + row) * s.in_width + column;
              sum += *weight * (in.codes[static_cast<std::size_t>(from)] - in.grid.zero_point);
            }
          }
        }
        if (tail.quantizer) {
          out.codes[at] = static_cast<std::uint8_t>(
              requantized(sum, sum_scale / out.grid.scale, out.grid.zero_point, range.lowest, range.highest));
        } else {
          out.numbers[at] = static_cast<float>(sum) * sum_scale;
        }
      }
    }
  }
  if (tail.quantizer) end_tail(node);
}

void ReferenceModel::quantize(const Node& node) {
  const Value& in = values_[static_cast<std::size_t>(node.inputs[0])];
  Value& out = values_[node.index + 1];
  const CodeGrid grid = grid_of(node, value_);
  begin_codes(out, in.shape, grid);
  if (in.is_codes && in.grid == grid) {
    out.codes = in.codes;
    return;
  }
  for (std::size_t i = 0; i < out.codes.size(); ++i) {
    const float number = in.is_codes ? static_cast<float>(in.codes[i] - in.grid.zero_point) * in.grid.scale
                                     : static_cast<float>(in.numbers[i]);
    out.codes[i] = static_cast<std::uint8_t>(code_of(number, grid));
  }
}

void ReferenceModel::run_on_numbers(const Node& node) {
  std::vector<const real*> in;
  for (const int input : node.inputs) in.push_back(numbers(input));
  Layer& layer = layers_[node.index];
  Value& out = values_[node.index + 1];
  out.is_codes = false;
  out.shape = node.out_shape;
  out.numbers.resize(padded(static_cast<std::size_t>(node.out_shape.size())));
  node.op->forward({.node = node,
                    .kernels = kernels_,
                    .in = in.data(),
                    .out = out.numbers.data(),
                    .value = value_,
                    .packed = layer.packed.data(),
                    .scratch = layer.scratch.data(),
                    .valid = 1});
}

}  // namespace espalier
