#include "runtime/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/math.h"
#include "core/thread_pool.h"
#include "ops/shapes.h"
#include "ops/weights.h"
#include "runtime/format.h"
#include "runtime/instructions.h"

namespace espalier {

// What a layer gives: numbers, codes, or something that is still to be rounded to codes and that only the
// next quantizer can finish.
struct ReferenceModel::Value {
  Shape shape;
  std::vector<real> numbers;  // always
  std::vector<int> codes;     // and these codes of a grid …
  CodeGrid grid;

  // … or integer sums: number = sum · scale, where a code's is sum · (scale / the grid's scale).
  std::vector<std::int32_t> sums;
  std::vector<float> scales;               // of each sum
  std::vector<float> divisors;             // of a mean: how many pixels
  bool is_code_sum = false;                // the sum of two codes' numbers
  Rectifier rectifier = Rectifier::kNone;  // that the numbers have been through, and the sums not
};

namespace {

// Whether layers only pass the value on to a quantizer.
bool reaches_quantizer(const Graph& graph, std::size_t value) {
  bool rectified = false;
  for (;;) {
    const Node* reader = nullptr;
    for (const Node& node : graph.nodes) {
      for (const int input : node.inputs) {
        if (input != static_cast<int>(value)) continue;
        if (reader) return false;
        reader = &node;
      }
    }
    if (!reader) return false;
    if (reader->op == &kFakeQuantize) return true;
    const bool rectifies = reader->op == &kRelu || reader->op == &kRelu6;
    if ((!rectifies && reader->op != &kDropout) || (rectifies && rectified)) return false;
    rectified = rectified || rectifies;
    value = reader->index + 1;
  }
}

float number_of(int code, const CodeGrid& grid) {
  return grid.scale * static_cast<float>(code - grid.zero_point);
}

}  // namespace

ReferenceModel::ReferenceModel(const Model& model) : graph_(model.graph) {
  ThreadPool pool(1);
  aligned_vector<real> effective;
  const real* values = make_effective(graph_, model.parameters, pool, effective);
  parameters_.assign(values, values + graph_.slab_size);
}

std::vector<ReferenceModel::Value> ReferenceModel::run(const std::uint8_t* image) const {
  const real* parameters = parameters_.data();
  std::vector<Value> values(graph_.nodes.size() + 1);

  const InputInfo& input = graph_.input;
  values[0].shape = input.shape;
  for (int c = 0, at = 0; c < input.shape.channels; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    const double mean = input.mean.empty() ? 0 : input.mean[channel];
    const double deviation = input.standard_deviation.empty() ? 1 : input.standard_deviation[channel];
    const auto scale = static_cast<real>(1 / (255 * deviation));
    const auto offset = static_cast<real>(-mean / deviation);
    for (int i = 0; i < input.shape.pixels(); ++i, ++at) {
      values[0].numbers.push_back(static_cast<real>(image[at]) * scale + offset);
    }
  }

  for (const Node& node : graph_.nodes) {
    Value& out = values[node.index + 1];
    const Value& in = values[static_cast<std::size_t>(node.inputs[0])];
    out.shape = node.out_shape;
    const auto size = static_cast<std::size_t>(node.out_shape.size());

    if (node.op == &kFlatten || node.op == &kDropout) {
      out = in;
      out.shape = node.out_shape;
    } else if (node.op == &kFakeQuantize) {
      out.grid = {.scale = static_cast<float>(std::max(parameters[node.parameters[0].offset], real(1e-12))),
                  .zero_point = static_cast<int>(parameters[node.parameters[1].offset]),
                  .highest = (1 << node.attributes.bits) - 1};
      const CodeRange range = range_of(out.grid, in.rectifier);
      const auto low = static_cast<float>(range.lowest - out.grid.zero_point);
      const auto high = static_cast<float>(range.highest - out.grid.zero_point);
      const auto zero_point = static_cast<float>(out.grid.zero_point);
      for (std::size_t i = 0; i < size; ++i) {
        if (!in.sums.empty()) {
          const float multiplier = in.divisors.empty() ? in.scales[i] / out.grid.scale
                                                       : in.scales[i] / (out.grid.scale * in.divisors[i]);
          const float x = std::clamp(static_cast<float>(in.sums[i]) * multiplier, low, high);
          out.codes.push_back(static_cast<int>(std::nearbyint(x)) + out.grid.zero_point);
        } else if (in.is_code_sum) {
          const float x = std::clamp(static_cast<float>(in.numbers[i]) / out.grid.scale, low, high);
          out.codes.push_back(static_cast<int>(std::nearbyint(x + zero_point)));
        } else {
          out.codes.push_back(code_of(static_cast<float>(in.numbers[i]), out.grid));
        }
        out.numbers.push_back(number_of(out.codes[i], out.grid));
      }
    } else if (has_weights(node)) {
      ConvShape shape = conv_shape(node);
      const LayerWeights weights = layer_weights(node, shape, parameters);
      const bool integer = !weights.integers.empty() && !in.codes.empty();
      const bool finishes = integer && reaches_quantizer(graph_, node.index + 1);
      for (int o = 0; o < shape.out_channels; ++o) {
        const auto row = static_cast<std::size_t>(o);
        const int first_in = o / shape.group_out() * shape.group_in();
        const float scale = integer ? in.grid.scale * weights.scales[row] : 0;
        const real bias = weights.bias.empty() ? 0 : weights.bias[row];
        for (int y = 0; y < shape.out_height; ++y) {
          for (int x = 0; x < shape.out_width; ++x) {
            std::int32_t sum =
                integer ? bias_code(static_cast<float>(bias), in.grid.scale, weights.scales[row]) : 0;
            double number = bias;
            for (int i = 0; i < shape.group_in(); ++i) {
              for (int ky = 0; ky < shape.kernel_height; ++ky) {
                for (int kx = 0; kx < shape.kernel_width; ++kx) {
                  const int iy = y * shape.stride_height + ky * shape.dilation_height - shape.pad_top;
                  const int ix = x * shape.stride_width + kx * shape.dilation_width - shape.pad_left;
                  if (iy < 0 || ix < 0 || iy >= shape.in_height || ix >= shape.in_width) continue;
                  const auto at =
                      static_cast<std::size_t>(((first_in + i) * shape.in_height + iy) * shape.in_width + ix);
                  const auto w = static_cast<std::size_t>(
                      ((o * shape.group_in() + i) * shape.kernel_height + ky) * shape.kernel_width + kx);
                  if (integer) {
                    sum += weights.integers[w] * (in.codes[at] - in.grid.zero_point);
                  } else {
                    number += double{weights.values[w]} * in.numbers[at];
                  }
                }
              }
            }
            out.numbers.push_back(integer ? static_cast<real>(static_cast<float>(sum) * scale)
                                          : static_cast<real>(number));
            if (!finishes) continue;
            out.sums.push_back(sum);
            out.scales.push_back(scale);
          }
        }
      }
    } else if (node.op == &kRelu || node.op == &kRelu6) {
      out = in;
      for (std::size_t i = 0; i < size; ++i) {
        real& x = out.numbers[i];
        x = x > 0 ? x : 0;
        if (node.op == &kRelu6) x = x < 6 ? x : 6;
        if (!out.codes.empty()) out.codes[i] = std::max(out.codes[i], out.grid.zero_point);
      }
      if (node.op == &kRelu6) out.codes.clear();
      out.rectifier = node.op == &kRelu ? Rectifier::kRelu : Rectifier::kRelu6;
    } else if (node.op == &kMaxPool || node.op == &kAvgPool || node.op == &kGlobalAvgPool) {
      const PoolShape shape = pool_shape(node);
      const bool max = node.op == &kMaxPool;
      const bool finishes = !max && !in.codes.empty() && reaches_quantizer(graph_, node.index + 1);
      if (max) out.grid = in.grid;
      for (int c = 0; c < shape.channels; ++c) {
        for (int y = 0; y < shape.out_height; ++y) {
          for (int x = 0; x < shape.out_width; ++x) {
            real largest = -std::numeric_limits<real>::infinity();
            double sum = 0;
            int code = 0, code_sum = 0, count = 0;
            for (int ky = 0; ky < shape.kernel_height; ++ky) {
              for (int kx = 0; kx < shape.kernel_width; ++kx) {
                const int iy = y * shape.stride_height + ky - shape.pad_top;
                const int ix = x * shape.stride_width + kx - shape.pad_left;
                if (iy < 0 || ix < 0 || iy >= shape.in_height || ix >= shape.in_width) continue;
                const auto at = static_cast<std::size_t>((c * shape.in_height + iy) * shape.in_width + ix);
                largest = std::max(largest, in.numbers[at]);
                sum += in.numbers[at];
                ++count;
                if (in.codes.empty()) continue;
                code = std::max(code, in.codes[at]);
                code_sum += in.codes[at] - in.grid.zero_point;
              }
            }
            out.numbers.push_back(max ? largest : static_cast<real>(sum / count));
            if (max && !in.codes.empty()) out.codes.push_back(code);
            if (!finishes) continue;
            out.sums.push_back(code_sum);
            out.scales.push_back(in.grid.scale);
            out.divisors.push_back(static_cast<float>(count));
          }
        }
      }
    } else if (node.op == &kAdd) {
      const Value* first = &in;
      const Value* second = &values[static_cast<std::size_t>(node.inputs[1])];
      out.is_code_sum = node.inputs.size() == 2 && !first->codes.empty() && !second->codes.empty() &&
                        reaches_quantizer(graph_, node.index + 1);
      for (std::size_t i = 0; i < size; ++i) {
        real sum = first->numbers[i];
        for (std::size_t k = 1; k < node.inputs.size(); ++k) {
          sum += values[static_cast<std::size_t>(node.inputs[k])].numbers[i];
        }
        out.numbers.push_back(sum);
      }
    } else if (node.op == &kConcat) {
      for (const int i : node.inputs) {
        const Value& part = values[static_cast<std::size_t>(i)];
        out.numbers.insert(out.numbers.end(), part.numbers.begin(), part.numbers.end());
      }
    } else if (node.op == &kBatchNorm) {
      const auto parameter = [&](std::size_t i, int c) {
        return double{parameters[node.parameters[i].offset + c]};
      };
      const int pixels = node.out_shape.pixels();
      for (std::size_t i = 0; i < size; ++i) {
        const int c = static_cast<int>(i) / pixels;
        const double scale = parameter(0, c) / math::sqrt(parameter(3, c) + node.attributes.epsilon);
        const double shift = parameter(1, c) - parameter(2, c) * scale;
        out.numbers.push_back(static_cast<real>(double{in.numbers[i]} * scale + shift));
      }
    } else {
      for (const real number : in.numbers) {
        const double x = number;
        double y = 0;
        if (node.op == &kLeakyRelu) y = x > 0 ? x : node.attributes.slope * x;
        if (node.op == &kTanh) y = 1 - 2 / (math::exp(2 * x) + 1);
        if (node.op == &kSigmoid) y = 1 / (1 + math::exp(-x));
        out.numbers.push_back(static_cast<real>(y));
      }
    }
  }
  return values;
}

void ReferenceModel::infer(const std::uint8_t* image, real* logits) const {
  const std::vector<Value> values = run(image);
  std::copy(values.back().numbers.begin(), values.back().numbers.end(), logits);
}

std::vector<int> ReferenceModel::codes(const std::uint8_t* image, std::string_view layer) const {
  for (const Node& node : graph_.nodes) {
    if (node.name == layer && node.op == &kFakeQuantize) return run(image)[node.index + 1].codes;
  }
  throw Error(ErrorCode::kArgument, std::string(layer), "is not a layer that quantizes features");
}

}  // namespace espalier
