#include "compress/quantize/mixed_precision.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/quantize/rewrite.h"
#include "compress/report.h"
#include "core/error.h"
#include "core/heap_sort.h"
#include "ops/weights.h"

namespace espalier {
namespace {

// The images that sensitivities are measured on: the first of the validation images.
constexpr int kSensitivityImages = 2048;

Split first_images(const Split& split, int count, int image_size) {
  const int taken = std::min(count, split.count());
  Split first;
  first.images.assign(split.images.begin(), split.images.begin() + std::ptrdiff_t{taken} * image_size);
  first.labels.assign(split.labels.begin(), split.labels.begin() + taken);
  return first;
}

Work measure_loss(const Model& model, const PassContext& context, const Split& split,
                  const Progress& progress, double& loss) {
  Evaluator evaluator(model, context.dataset, split, context.kernels, context.pool);
  while (evaluator.advance()) co_yield progress;
  loss = evaluator.result().loss;
}

// Bytes of the whole model with every searched layer at `bits`, and of each layer.
struct Sizes {
  std::int64_t total = 0;
  std::vector<std::int64_t> layers;  // by node
};
Sizes sizes_at(const Model& model, const PrecisionSearch& search, int bits) {
  std::vector<WeightQuantization> weights = search.weights;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (search.searched[i]) weights[i].bits = bits;
  }
  const auto quantized =
      rewritten(model, quantized_spec(model.graph, weights, search.activation_bits, false));
  const ModelSize size = measure(*quantized);
  Sizes sizes{.total = size.total.bytes, .layers = std::vector<std::int64_t>(weights.size())};
  for (const Node& node : model.graph.nodes) {
    for (const LayerSize& layer : size.layers) {
      if (layer.name == node.name) sizes.layers[node.index] = layer.bytes;
    }
  }
  return sizes;
}

}  // namespace

std::vector<int> choose_precisions(std::span<const std::vector<PrecisionChoice>> layers,
                                   std::int64_t budget) {
  // Of all combinations of the first layers, those for which no other has fewer bytes and no greater cost.
  struct State {
    std::int64_t bytes;
    double cost;
    int from;  // in the states of the layer before
    int choice;
  };
  std::vector<std::vector<State>> states{{{0, 0, -1, -1}}};
  std::int64_t rest = 0;  // what the layers to come take at least
  for (const auto& choices : layers) {
    rest += std::min_element(choices.begin(), choices.end(), [](const auto& a, const auto& b) {
              return a.bytes < b.bytes;
            })->bytes;
  }
  if (rest > budget) return {};
  for (const auto& choices : layers) {
    rest -= std::min_element(choices.begin(), choices.end(), [](const auto& a, const auto& b) {
              return a.bytes < b.bytes;
            })->bytes;
    const std::vector<State>& before = states.back();
    std::vector<State> all;
    for (int s = 0; s < static_cast<int>(before.size()); ++s) {
      const State& state = before[static_cast<std::size_t>(s)];
      for (int c = 0; c < static_cast<int>(choices.size()); ++c) {
        const PrecisionChoice& choice = choices[static_cast<std::size_t>(c)];
        if (state.bytes + choice.bytes + rest > budget) continue;
        all.push_back({state.bytes + choice.bytes, state.cost + choice.cost, s, c});
      }
    }
    heap_sort(all, [](const State& a, const State& b) {
      return a.bytes != b.bytes ? a.bytes < b.bytes : a.cost < b.cost;
    });
    std::vector<State> kept;
    for (const State& state : all) {
      if (kept.empty() || state.cost < kept.back().cost) kept.push_back(state);
    }
    states.push_back(std::move(kept));
  }
  std::vector<int> chosen(layers.size());
  int at = static_cast<int>(states.back().size()) - 1;
  for (std::size_t i = layers.size(); i-- > 0;) {
    const State& state = states[i + 1][static_cast<std::size_t>(at)];
    chosen[i] = state.choice;
    at = state.from;
  }
  return chosen;
}

Work quantize_in_place(const Model& model, const Node& node, WeightQuantization q, RangeMethod method,
                       CodebookStart start, std::uint64_t seed, Progress progress, real* value) {
  const ParameterInfo& weight = weight_of(node);
  const auto size = static_cast<std::size_t>(weight.size);
  real* numbers = value + weight.offset;
  const real* mask = model.parameters.mask.empty() ? nullptr : model.parameters.mask.data() + weight.offset;
  if (q.scheme->codebook) {
    std::vector<real> kept;
    for (std::size_t i = 0; i < size; ++i) {
      if (!mask || mask[i] != 0) kept.push_back(numbers[i]);
    }
    const auto levels = find_codebook(kept, 1 << q.bits, q.pinned_zero, start, seed, node.index);
    for (std::size_t i = 0; i < size; ++i) {
      numbers[i] = *std::min_element(levels.begin(), levels.end(), [x = numbers[i]](real a, real b) {
        return std::abs(a - x) < std::abs(b - x);
      });
    }
    co_return;
  }
  const std::int64_t rows = weight.shape[0], row = weight.size / rows;
  std::int64_t done = 0;
  for (std::int64_t i = 0; i < group_count(q, rows, row); ++i) {
    const WeightGroup group = group_at(q, rows, row, i);
    const std::span<const real> values(numbers + group.begin, static_cast<std::size_t>(group.size));
    q.scheme->fake_quantize(values, q.scheme->fit(values, q.bits, method), q.bits, numbers + group.begin);
    done += group.size;
    if (done < kWeightsAtOnce) continue;
    done = 0;
    co_yield progress;
  }
  for (std::size_t i = 0; mask && i < size; ++i) numbers[i] *= mask[i];
}

Work search_precisions(const Model& model, const PassContext& context, PrecisionSearch& search) {
  if (context.dataset.validation.count() == 0) {
    throw Error(ErrorCode::kData, context.dataset.name,
                "has no validation images, on which bits are chosen; use more training images");
  }
  const Split images =
      first_images(context.dataset.validation, kSensitivityImages, context.dataset.image_size());

  std::vector<int> nodes;
  for (std::size_t i = 0; i < search.searched.size(); ++i) {
    if (search.searched[i]) nodes.push_back(static_cast<int>(i));
  }
  std::vector<std::vector<PrecisionChoice>> layers(nodes.size());
  int lowest = 8, highest = 1;
  for (const int n : nodes) {
    const QuantizationScheme& scheme = *search.weights[static_cast<std::size_t>(n)].scheme;
    lowest = std::min(lowest, scheme.min_bits);
    highest = std::max(highest, scheme.max_bits);
  }
  std::int64_t fixed = 0;  // what is not searched
  for (int bits = lowest; bits <= highest; ++bits) {
    const Sizes sizes = sizes_at(model, search, bits);
    fixed = sizes.total;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      PrecisionChoice choice;
      choice.bits = bits;
      choice.bytes = sizes.layers[static_cast<std::size_t>(nodes[i])];
      fixed -= choice.bytes;
      layers[i].push_back(choice);
    }
  }
  std::int64_t smallest = fixed;
  for (const auto& choices : layers) smallest += choices.front().bytes;
  if (smallest > search.budget) {
    throw Error(ErrorCode::kArgument, "bytes",
                "is " + std::to_string(search.budget) + ", but this model takes at least " +
                    std::to_string(smallest) +
                    " with the scheme's fewest bits; allow so many or prune first");
  }

  Model candidate = model;
  auto& value = candidate.parameters.value;
  Progress progress{.stage = "sensitivity",
                    .total = static_cast<std::int64_t>(layers.size()) * (highest - lowest + 1)};
  double loss = 0;
  co_await measure_loss(candidate, context, images, progress, loss);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = model.graph.nodes[static_cast<std::size_t>(nodes[i])];
    WeightQuantization quantization = search.weights[node.index];
    for (PrecisionChoice& choice : layers[i]) {
      quantization.bits = choice.bits;
      co_await quantize_in_place(candidate, node, quantization, search.method, search.start,
                                 context.training.seed, progress, value.data());
      double quantized_loss = 0;
      co_await measure_loss(candidate, context, images, progress, quantized_loss);
      choice.cost = std::max(quantized_loss - loss, 0.0);
      value = model.parameters.value;
      ++progress.done;
    }
    // More bits are not worse: what says so is noise.
    for (std::size_t c = layers[i].size() - 1; c-- > 0;) {
      layers[i][c].cost = std::max(layers[i][c].cost, layers[i][c + 1].cost);
    }
  }
  const std::vector<int> chosen = choose_precisions(layers, search.budget - fixed);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    search.weights[static_cast<std::size_t>(nodes[i])].bits =
        layers[i][static_cast<std::size_t>(chosen[i])].bits;
  }
}

}  // namespace espalier
