// Quantization: the schemes' promises over random numbers, grids by tensor, channel and group, folding,
// calibration, mixed precision, and the pass as a whole on the built-in digits.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "compress/finetune.h"
#include "compress/fold_batch_norm.h"
#include "compress/quantize/calibrate.h"
#include "compress/quantize/mixed_precision.h"
#include "compress/quantize/rewrite.h"
#include "core/error.h"
#include "core/random.h"
#include "data/digits.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

std::vector<const QuantizationScheme*> grid_schemes() {
  std::vector<const QuantizationScheme*> schemes;
  for (const QuantizationScheme* scheme : quantization_schemes()) {
    if (!scheme->codebook) schemes.push_back(scheme);
  }
  return schemes;
}

std::vector<real> random_numbers(Random& random, int count, double size) {
  std::vector<real> numbers;
  const double shift = random.uniform(-0.7, 0.7);
  for (int i = 0; i < count; ++i) {
    const double x = random.uniform(-1, 1) + random.uniform(-1, 1) + shift;
    numbers.push_back(static_cast<real>(x * size));
  }
  return numbers;
}

std::vector<real> through(const QuantizationScheme& scheme, const std::vector<real>& values, const Grid& grid,
                          int bits) {
  std::vector<std::int32_t> codes(values.size());
  std::vector<real> out(values.size());
  scheme.quantize(values, grid, bits, codes.data());
  for (const std::int32_t code : codes) {
    EXPECT_GE(code, scheme.lowest_code(bits)) << scheme.name;
    EXPECT_LE(code, scheme.highest_code(bits)) << scheme.name;
  }
  scheme.dequantize(codes, grid, bits, out.data());
  return out;
}

// Every scheme, every bit width, many tensors of many sizes.
void for_random_cases(
    const std::function<void(const QuantizationScheme&, int, const std::vector<real>&)>& test) {
  Random random(11, RandomStream::kInitialization, 1);
  for (const QuantizationScheme* scheme : grid_schemes()) {
    for (int bits = scheme->min_bits; bits <= scheme->max_bits; ++bits) {
      for (const int count : {1, 2, 3, 7, 8, 9, 25, 64, 500}) {
        for (const double size : {1e-30, 1e-5, 0.03, 1.0, 700.0, 1e30}) {
          test(*scheme, bits, random_numbers(random, count, size));
        }
      }
    }
  }
}

constexpr RangeMethod kMethods[] = {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kMse,
                                    RangeMethod::kEntropy};

TEST(Schemes, fake_quantization_is_quantize_then_dequantize_bit_for_bit) {
  for_random_cases([](const QuantizationScheme& scheme, int bits, const std::vector<real>& values) {
    for (const RangeMethod method : kMethods) {
      const Grid grid = scheme.fit(values, bits, method);
      std::vector<real> fake(values.size());
      scheme.fake_quantize(values, grid, bits, fake.data());
      const std::vector<real> expected = through(scheme, values, grid, bits);
      ASSERT_EQ(std::memcmp(fake.data(), expected.data(), fake.size() * sizeof(real)), 0)
          << scheme.name << ", " << bits << " bits, " << values.size() << " numbers";
    }
  });
}

TEST(Schemes, rounding_errs_by_half_a_step_and_the_article_by_a_whole_one) {
  for_random_cases([](const QuantizationScheme& scheme, int bits, const std::vector<real>& values) {
    const bool rounds = &scheme == &kAffine || &scheme == &kSymmetric;
    if (!rounds && &scheme != &kArticle) return;
    const Grid grid = scheme.fit(values, bits, RangeMethod::kMinMax);
    const std::vector<real> out = through(scheme, values, grid, bits);
    double largest = 0;
    for (const real x : values) largest = std::max(largest, std::abs(static_cast<double>(x)));
    // Float: the scale's rounding times 2^bits codes, and that of the numbers.
    const double bound = static_cast<double>(grid.scale) * (rounds ? 0.5 : 1.0) + 4e-7 * largest;
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_LE(std::abs(static_cast<double>(values[i]) - out[i]), bound)
          << scheme.name << ", " << bits << " bits, " << values[i];
    }
  });
}

TEST(Schemes, the_article_maps_the_largest_number_to_code_0_and_the_smallest_to_the_last) {
  for_random_cases([](const QuantizationScheme& scheme, int bits, const std::vector<real>& values) {
    if (&scheme != &kArticle || values.size() < 2) return;
    const Grid grid = scheme.fit(values, bits, RangeMethod::kMinMax);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const std::array<real, 2> ends{*high, *low};
    std::int32_t codes[2];
    scheme.quantize(ends, grid, bits, codes);
    ASSERT_EQ(codes[0], 0);
    ASSERT_EQ(codes[1], (1 << bits) - 1);
  });
}

// For each number in range the article's formula itself, in double.
TEST(Schemes, the_article_is_its_formula) {
  Random random(5, RandomStream::kInitialization, 2);
  for (int bits = 1; bits <= 8; ++bits) {
    const std::vector<real> values = random_numbers(random, 400, 1);
    const Grid grid = kArticle.fit(values, bits, RangeMethod::kMinMax);
    std::vector<std::int32_t> codes(values.size());
    kArticle.quantize(values, grid, bits, codes.data());
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double xmax = *high, range = xmax - static_cast<double>(*low);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double exact = (xmax - values[i]) / range * ((1 << bits) - 1);
      if (std::abs(exact - std::round(exact)) < 1e-4) continue;  // the float step decides there
      ASSERT_EQ(codes[i], static_cast<std::int32_t>(std::floor(exact)));
    }
  }
}

TEST(Schemes, powers_of_two_err_by_a_third_or_by_half_of_the_smallest) {
  for_random_cases([](const QuantizationScheme& scheme, int bits, const std::vector<real>& values) {
    if (&scheme != &kPowerOfTwo) return;
    const Grid grid = scheme.fit(values, bits, RangeMethod::kMinMax);
    const std::vector<real> out = through(scheme, values, grid, bits);
    const double smallest = std::ldexp(static_cast<double>(grid.scale), 1 - scheme.highest_code(bits));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double size = std::abs(static_cast<double>(values[i]));
      ASSERT_LE(std::abs(static_cast<double>(values[i]) - out[i]),
                std::max(size / 3, smallest / 2) * (1 + 1e-6))
          << bits << " bits, " << values[i];
      int exponent = 0;
      ASSERT_TRUE(out[i] == 0 || std::abs(std::frexp(out[i], &exponent)) == 0.5);
    }
  });
}

TEST(Schemes, binary_and_ternary_scales_have_the_least_squared_error_of_their_codes) {
  for_random_cases([](const QuantizationScheme& scheme, int bits, const std::vector<real>& values) {
    if ((&scheme != &kBinary && &scheme != &kTernary) || std::abs(values[0]) > 1e20) return;
    for (const RangeMethod method : {RangeMethod::kMinMax, RangeMethod::kMse}) {
      const Grid grid = scheme.fit(values, bits, method);
      const auto error = [&](double factor) {
        Grid other = grid;
        other.scale = static_cast<real>(grid.scale * factor);
        const std::vector<real> out = through(scheme, values, other, bits);
        double sum = 0;
        for (std::size_t i = 0; i < values.size(); ++i) {
          const double d = static_cast<double>(values[i]) - out[i];
          sum += d * d;
        }
        return sum;
      };
      ASSERT_LE(error(1), error(1.01)) << scheme.name;
      ASSERT_LE(error(1), error(0.99)) << scheme.name;
    }
  });
}

double squared_error(const QuantizationScheme& scheme, const std::vector<real>& values, int bits,
                     RangeMethod method) {
  const std::vector<real> out = through(scheme, values, scheme.fit(values, bits, method), bits);
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double d = static_cast<double>(values[i]) - out[i];
    sum += d * d;
  }
  return sum;
}

TEST(Schemes, the_mse_range_never_errs_more_than_the_whole_range) {
  for_random_cases([](const QuantizationScheme& scheme, int bits, const std::vector<real>& values) {
    ASSERT_LE(squared_error(scheme, values, bits, RangeMethod::kMse),
              squared_error(scheme, values, bits, RangeMethod::kMinMax) * (1 + 1e-6))
        << scheme.name << ", " << bits << " bits";
  });
}

TEST(Schemes, the_percentile_range_leaves_out_a_lonely_outlier) {
  Random random(5, RandomStream::kInitialization, 3);
  std::vector<real> values = random_numbers(random, 5000, 1);
  values[17] = 100;
  EXPECT_GT(kSymmetric.fit(values, 8, RangeMethod::kMinMax).scale, 0.5);
  EXPECT_LT(kSymmetric.fit(values, 8, RangeMethod::kPercentile).scale, 0.03);
}

TEST(Schemes, quantized_numbers_stay_where_they_are) {
  for_random_cases([](const QuantizationScheme& scheme, int bits, const std::vector<real>& values) {
    if (&scheme == &kArticle) return;  // floors: a level that rounds up in float falls to the next
    const Grid grid = scheme.fit(values, bits, RangeMethod::kMinMax);
    const std::vector<real> once = through(scheme, values, grid, bits);
    ASSERT_EQ(through(scheme, once, grid, bits), once) << scheme.name << ", " << bits << " bits";
  });
}

TEST(Schemes, zero_stays_zero_where_the_scheme_says_so) {
  for_random_cases([](const QuantizationScheme& scheme, int bits, const std::vector<real>& values) {
    if (!scheme.exact_zero) return;
    std::vector<real> with_zero = values;
    with_zero.push_back(0);
    for (const RangeMethod method : kMethods) {
      const Grid grid = scheme.fit(with_zero, bits, method);
      ASSERT_EQ(through(scheme, with_zero, grid, bits).back(), real{0}) << scheme.name << ", " << bits;
    }
  });
}

TEST(Schemes, numbers_that_are_all_the_same_are_represented) {
  for (const QuantizationScheme* scheme : grid_schemes()) {
    for (int bits = scheme->min_bits; bits <= scheme->max_bits; ++bits) {
      for (const real x : {real(-3), real(-0.07), real(0), real(1e-38), real(0.5), real(1e30)}) {
        for (const int count : {1, 5}) {
          const std::vector<real> values(static_cast<std::size_t>(count), x);
          for (const RangeMethod method : kMethods) {
            const Grid grid = scheme->fit(values, bits, method);
            const real out = through(*scheme, values, grid, bits)[0];
            const double bound = scheme == &kPowerOfTwo ? std::abs(x) / 3.0 : 1e-6 * std::abs(x);
            ASSERT_NEAR(out, x, bound * (1 + 1e-6) + 1e-38) << scheme->name << ", " << bits << " bits, " << x;
          }
        }
      }
    }
  }
}

TEST(Schemes, no_numbers_and_the_smallest_and_largest_ones_give_finite_grids) {
  constexpr real kSmall = std::numeric_limits<real>::denorm_min();
  constexpr real kLarge = std::numeric_limits<real>::max() / 4;
  const std::vector<std::vector<real>> tensors = {{},       {kSmall},          {kSmall, -kSmall, 0},
                                                  {kLarge}, {kLarge, -kLarge}, {kLarge, kSmall}};
  for (const QuantizationScheme* scheme : grid_schemes()) {
    for (int bits = scheme->min_bits; bits <= scheme->max_bits; ++bits) {
      for (const auto& values : tensors) {
        for (const RangeMethod method : kMethods) {
          const Grid grid = scheme->fit(values, bits, method);
          ASSERT_TRUE(std::isfinite(grid.scale) && std::isfinite(grid.offset)) << scheme->name;
          for (const real x : through(*scheme, values, grid, bits))
            ASSERT_TRUE(std::isfinite(x)) << scheme->name;
        }
      }
    }
  }
}

TEST(Schemes, a_scale_of_0_still_gives_codes_of_the_scheme) {
  const std::vector<real> values{0, 1, -2, real(1e30)};
  for (const QuantizationScheme* scheme : grid_schemes()) {
    const int bits = scheme->max_bits;
    std::vector<std::int32_t> codes(values.size());
    scheme->quantize(values, Grid{0, 0}, bits, codes.data());
    for (const std::int32_t code : codes) {
      EXPECT_GE(code, scheme->lowest_code(bits)) << scheme->name;
      EXPECT_LE(code, scheme->highest_code(bits)) << scheme->name;
    }
  }
}

TEST(Schemes, gradients_pass_inside_and_stop_outside) {
  const std::vector<real> values = {-9, -1, real(0.3), 1, 9};
  for (const QuantizationScheme* scheme : {&kAffine, &kSymmetric}) {
    const Grid grid = scheme->fit(std::vector<real>{-2, 2}, 8, RangeMethod::kMinMax);
    std::vector<real> gradient = {1, 2, 3, 4, 5};
    scheme->backward(values, grid, 8, gradient.data());
    EXPECT_EQ(gradient, (std::vector<real>{0, 2, 3, 4, 0})) << scheme->name;
  }
}

// Weights by group

json dense_spec(int inputs, int units, const json& quantize) {
  json layer = {{"type", "dense"}, {"name", "fc"}, {"units", units}};
  if (!quantize.is_null()) layer["quantize"] = quantize;
  return {{"input", {{"channels", inputs}, {"height", 1}, {"width", 1}}},
          {"classes", units},
          {"layers", json::array({layer})}};
}

TEST(WeightGroups, cover_every_weight_once_and_the_last_of_a_row_is_short) {
  for (const Granularity granularity : {Granularity::kTensor, Granularity::kChannel, Granularity::kGroup}) {
    for (const int row : {1, 7, 8, 9, 31, 32, 33, 100}) {
      for (const int group_size : {1, 8, 32}) {
        const WeightQuantization q{
            .scheme = &kSymmetric, .granularity = granularity, .group_size = group_size};
        std::vector<int> owners(static_cast<std::size_t>(5 * row));
        const std::int64_t count = group_count(q, 5, row);
        for (std::int64_t g = 0; g < count; ++g) {
          const WeightGroup group = group_at(q, 5, row, g);
          ASSERT_EQ(group.index, g);
          for (std::int64_t i = group.begin; i < group.begin + group.size; ++i)
            ++owners[static_cast<std::size_t>(i)];
          if (granularity == Granularity::kTensor) continue;
          ASSERT_EQ(group.begin / row, (group.begin + group.size - 1) / row) << "a group lies in one row";
          if (granularity == Granularity::kGroup) {
            ASSERT_EQ(group.size, std::min<std::int64_t>(group_size, row - group.begin % row));
          }
        }
        ASSERT_TRUE(std::all_of(owners.begin(), owners.end(), [](int n) { return n == 1; }));
      }
    }
  }
}

TEST(WeightGroups, effective_weights_are_what_their_codes_stand_for) {
  for (const QuantizationScheme* scheme : grid_schemes()) {
    for (const char* granularity : {"tensor", "channel", "group"}) {
      const int bits = std::min(4, scheme->max_bits);
      Model model(compile(dense_spec(
          37, 6,
          {{"scheme", scheme->name}, {"bits", bits}, {"granularity", granularity}, {"group_size", 8}})));
      initialize(model.graph, 3, model.parameters);
      const Node& node = model.graph.nodes[0];
      real* value = model.parameters.value.data();
      fit_weights(node, RangeMethod::kMse, value);
      std::vector<real> effective(model.parameters.value.begin(), model.parameters.value.end());
      fake_quantize_weights(node, value, effective.data());
      const std::vector<std::int32_t> codes = weight_codes(node, value);
      const ParameterInfo& weight = weight_of(node);
      const WeightQuantization& q = node.attributes.quantize;
      for (std::int64_t g = 0; g < group_count(q, 6, 37); ++g) {
        const WeightGroup group = group_at(q, 6, 37, g);
        const Grid grid{value[grid_scale_of(node)->offset + g],
                        grid_offset_of(node) ? value[grid_offset_of(node)->offset + g] : real{0}};
        std::vector<real> expected(static_cast<std::size_t>(group.size));
        scheme->dequantize({codes.data() + group.begin, expected.size()}, grid, bits, expected.data());
        for (std::int64_t i = 0; i < group.size; ++i) {
          ASSERT_EQ(effective[static_cast<std::size_t>(weight.offset + group.begin + i)],
                    expected[static_cast<std::size_t>(i)])
              << scheme->name << " " << granularity;
        }
      }
    }
  }
}

TEST(WeightGroups, finer_groups_err_less) {
  Random random(9, RandomStream::kInitialization, 4);
  double error[3] = {};
  int next = 0;
  for (const char* granularity : {"tensor", "channel", "group"}) {
    Model model(compile(dense_spec(
        64, 20, {{"scheme", "symmetric"}, {"bits", 4}, {"granularity", granularity}, {"group_size", 16}})));
    const Node& node = model.graph.nodes[0];
    Random same(9, RandomStream::kInitialization, 5);
    real* value = model.parameters.value.data();
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
      value[weight_of(node).offset + i] =
          static_cast<real>(same.uniform(-1, 1) * (1 + i / 64) * (1 + i / 16 % 4));
    }
    fit_weights(node, RangeMethod::kMinMax, value);
    std::vector<real> effective(model.parameters.value.begin(), model.parameters.value.end());
    fake_quantize_weights(node, value, effective.data());
    for (std::int64_t i = weight_of(node).offset; i < weight_of(node).offset + weight_of(node).size; ++i) {
      const double d = static_cast<double>(value[i]) - effective[static_cast<std::size_t>(i)];
      error[next] += d * d;
    }
    ++next;
  }
  EXPECT_LT(error[1], error[0] * 0.8);
  EXPECT_LT(error[2], error[1] * 0.8);
}

// Folding

std::vector<real> logits_of(const Model& model, const std::vector<std::uint8_t>& images, int count) {
  ThreadPool pool(1);
  const Kernels& kernels = select_kernels("plain");
  const Shape& shape = model.graph.input.shape;
  Batcher batcher(shape.channels, shape.height, shape.width, kernels.lanes, count, model.graph.input.mean,
                  model.graph.input.standard_deviation);
  Executor executor(model.graph, kernels, pool, {.max_batch = count});
  executor.prepare(model.parameters);
  batcher.load_plain(images.data(), count, pool);
  std::vector<real> logits(static_cast<std::size_t>(count * model.graph.classes));
  executor.infer({.images = batcher.images(), .count = count}, logits.data());
  return logits;
}

std::vector<std::uint8_t> random_images(const Shape& shape, int count) {
  Random random(3, RandomStream::kInitialization, 6);
  std::vector<std::uint8_t> images(static_cast<std::size_t>(shape.size() * count));
  for (auto& pixel : images) pixel = static_cast<std::uint8_t>(random.below(256));
  return images;
}

// As a long training might leave it.
void randomize_batch_norm(Model& model, std::uint64_t seed) {
  Random random(seed, RandomStream::kInitialization, 7);
  for (const Node& node : model.graph.nodes) {
    if (node.op != &kBatchNorm) continue;
    for (std::size_t p = 0; p < node.parameters.size(); ++p) {
      for (std::int64_t i = 0; i < node.parameters[p].size; ++i) {
        model.parameters.value[static_cast<std::size_t>(node.parameters[p].offset + i)] =
            static_cast<real>(p % 3 == 0 ? random.uniform(0.5, 1.5) : random.uniform(-0.5, 0.5));
      }
    }
  }
}

int batch_norms(const Graph& graph) {
  return static_cast<int>(std::count_if(graph.nodes.begin(), graph.nodes.end(),
                                        [](const Node& node) { return node.op == &kBatchNorm; }));
}

void expect_folded_agrees(Model& model, double tolerance) {
  const auto folded = fold_batch_norm(model);
  EXPECT_EQ(batch_norms(folded->graph), 0);
  const auto images = random_images(model.graph.input.shape, 9);
  const auto expected = logits_of(model, images, 9), found = logits_of(*folded, images, 9);
  double largest = 1;
  for (const real x : expected) largest = std::max(largest, std::abs(static_cast<double>(x)));
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(found[i], expected[i], tolerance * largest);
}

TEST(FoldBatchNorm, presets_keep_their_outputs_without_batch_norm) {
  for (const char* name : {"resnet", "mobile"}) {
    const auto model = Model::create(preset_spec(name, 1, 28, 28, 10), 4, nullptr);
    ASSERT_GT(batch_norms(model->graph), 0);
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      randomize_batch_norm(*model, seed);
      expect_folded_agrees(*model, 1e-4);
    }
  }
}

constexpr const char* kAwkward =
    R"({"input": {"channels": 2, "height": 8, "width": 7}, "classes": 3, "layers": [
  {"type": "batch_norm", "name": "of_image"},
  {"type": "conv", "name": "a", "out_channels": 4, "kernel": 3, "padding": "same", "bias": false},
  {"type": "batch_norm", "name": "of_two_readers"},
  {"type": "batch_norm", "name": "b", "inputs": ["a"]},
  {"type": "add", "name": "sum", "inputs": ["b", "of_two_readers"]},
  {"type": "batch_norm", "name": "of_sum"},
  {"type": "concat", "name": "both", "inputs": ["of_sum", "sum"]},
  {"type": "batch_norm", "name": "of_concat"},
  {"type": "max_pool", "name": "pool", "kernel": 2},
  {"type": "batch_norm", "name": "of_pool"},
  {"type": "conv", "name": "c", "out_channels": 6, "kernel": 2, "groups": 2},
  {"type": "batch_norm", "name": "of_conv"},
  {"type": "batch_norm", "name": "of_batch_norm"},
  {"type": "dense", "name": "d", "units": 5},
  {"type": "batch_norm", "name": "of_dense"},
  {"type": "dense", "name": "out", "units": "classes"}]})";

TEST(FoldBatchNorm, what_no_layer_takes_over_becomes_a_depthwise_convolution) {
  const auto model = Model::create(json::parse(kAwkward), 4, nullptr);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    randomize_batch_norm(*model, seed);
    expect_folded_agrees(*model, 1e-4);
  }
  const auto folded = fold_batch_norm(*model);
  const auto has = [&](const char* name) {
    return std::any_of(folded->graph.nodes.begin(), folded->graph.nodes.end(),
                       [&](const Node& node) { return node.name == name; });
  };
  EXPECT_TRUE(has("of_image") && has("of_two_readers") && has("of_sum") && has("of_batch_norm"));
  EXPECT_FALSE(has("of_conv") || has("of_dense"));
}

TEST(FoldBatchNorm, masks_are_carried_over) {
  const auto model = Model::create(json::parse(kAwkward), 4, nullptr);
  randomize_batch_norm(*model, 5);
  auto& mask = model->parameters.mask;
  Random random(3, RandomStream::kInitialization, 8);
  mask.assign(static_cast<std::size_t>(model->graph.trainable_size), real{1});
  for (const Node& node : model->graph.nodes) {
    if (!has_weights(node)) continue;
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
      if (random.below(2) == 0) mask[static_cast<std::size_t>(weight_of(node).offset + i)] = 0;
    }
  }
  expect_folded_agrees(*model, 1e-4);
  const auto folded = fold_batch_norm(*model);
  for (const Node& node : model->graph.nodes) {
    if (!has_weights(node)) continue;
    for (const Node& other : folded->graph.nodes) {
      if (other.name != node.name) continue;
      for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
        ASSERT_EQ(folded->parameters.mask[static_cast<std::size_t>(weight_of(other).offset + i)],
                  mask[static_cast<std::size_t>(weight_of(node).offset + i)]);
      }
    }
  }
}

// Calibration

TEST(Histogram, counts_do_not_depend_on_the_order_of_the_numbers) {
  Random random(7, RandomStream::kInitialization, 9);
  std::vector<real> values = random_numbers(random, 3000, 1);
  for (int i = 0; i < 100; ++i) values.push_back(static_cast<real>(std::pow(10.0, random.uniform(-9, 4))));
  values.push_back(0);
  Histogram forward, backward;
  for (const real x : values) forward.add(x);
  for (std::size_t i = values.size(); i-- > 0;) backward.add(values[i]);
  EXPECT_EQ(forward.width(), backward.width());
  EXPECT_TRUE(std::equal(forward.positive().begin(), forward.positive().end(), backward.positive().begin()));
  EXPECT_TRUE(std::equal(forward.negative().begin(), forward.negative().end(), backward.negative().begin()));
  std::int64_t sum = forward.zeros();
  for (const auto n : forward.positive()) sum += n;
  for (const auto n : forward.negative()) sum += n;
  EXPECT_EQ(sum, static_cast<std::int64_t>(values.size()));
  for (const real x : values) {
    if (x == 0) continue;
    const auto bin = static_cast<std::size_t>(std::abs(static_cast<double>(x)) / forward.width());
    ASSERT_GT((x > 0 ? forward.positive() : forward.negative())[bin], 0);
  }
}

TEST(Histogram, a_block_counts_as_its_numbers_one_by_one) {
  Random random(7, RandomStream::kInitialization, 11);
  constexpr int kLanes = 8, kValid = 5;
  std::vector<real> block = random_numbers(random, 100 * kLanes, 1);
  for (std::size_t i = 0; i < block.size(); i += 7) {  // zeros, and numbers that widen the bins
    block[i] = i % 2 == 0 ? 0 : static_cast<real>(-std::pow(10.0, random.uniform(-9, 4)));
  }
  block[3] = std::numeric_limits<real>::infinity();
  block[kLanes] = std::numeric_limits<real>::quiet_NaN();
  Histogram one_by_one, at_once;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 100; ++i) {
      for (int lane = 0; lane < kValid; ++lane)
        one_by_one.add(block[static_cast<std::size_t>(i * kLanes + lane)]);
    }
    at_once.add_block(block.data(), 100, kLanes, kValid);
  }
  EXPECT_EQ(at_once.count(), one_by_one.count());
  EXPECT_EQ(at_once.zeros(), one_by_one.zeros());
  EXPECT_EQ(at_once.width(), one_by_one.width());
  EXPECT_EQ(at_once.low(), one_by_one.low());
  EXPECT_EQ(at_once.high(), one_by_one.high());
  EXPECT_TRUE(
      std::equal(at_once.positive().begin(), at_once.positive().end(), one_by_one.positive().begin()));
  EXPECT_TRUE(
      std::equal(at_once.negative().begin(), at_once.negative().end(), one_by_one.negative().begin()));
}

TEST(Ranges, lie_within_the_numbers_and_contain_zero) {
  Random random(7, RandomStream::kInitialization, 10);
  for (int i = 0; i < 12; ++i) {
    Histogram histogram;
    const double shift = random.uniform(-3, 3), size = std::pow(10.0, random.uniform(-6, 6));
    for (int n = 0; n < 2000; ++n) {
      histogram.add(static_cast<real>((random.uniform(-1, 1) + random.uniform(-1, 1) + shift) * size));
    }
    for (const RangeMethod method : kMethods) {
      for (const int bits : {4, 8}) {
        const Range range = choose_range(histogram, bits, method);
        ASSERT_LE(range.low, 0);
        ASSERT_GE(range.high, 0);
        ASSERT_GE(range.low, histogram.low());
        ASSERT_LE(range.high, histogram.high());
        ASSERT_GT(range.high - range.low, 0);
      }
    }
  }
}

TEST(Ranges, of_percentile_mse_and_entropy_leave_out_outliers) {
  Random random(7, RandomStream::kInitialization, 11);
  Histogram histogram;
  for (int n = 0; n < 200000; ++n) {
    histogram.add(
        static_cast<real>(std::abs(random.uniform(-1, 1) + random.uniform(-1, 1) + random.uniform(-1, 1))));
  }
  histogram.add(100);
  EXPECT_EQ(choose_range(histogram, 8, RangeMethod::kMinMax).high, 100);
  EXPECT_LT(choose_range(histogram, 8, RangeMethod::kPercentile).high, 3.1);
  EXPECT_LT(choose_range(histogram, 4, RangeMethod::kMse).high, 10);
  EXPECT_LT(choose_range(histogram, 8, RangeMethod::kEntropy).high, 20);
}

TEST(Ranges, of_entropy_are_not_shrunk_by_a_constant_background) {
  Random random(7, RandomStream::kInitialization, 12);
  Histogram histogram;
  for (int n = 0; n < 50000; ++n) histogram.add(real(0.3));
  for (int n = 0; n < 50000; ++n) histogram.add(static_cast<real>(random.uniform(0, 8)));
  EXPECT_GT(choose_range(histogram, 8, RangeMethod::kEntropy).high, 6);
}

TEST(Ranges, of_nothing_but_zeros_are_empty_and_still_give_a_grid) {
  Histogram histogram;
  for (int n = 0; n < 100; ++n) histogram.add(0);
  for (const RangeMethod method : kMethods) {
    const Range range = choose_range(histogram, 8, method);
    EXPECT_EQ(range.low, 0);
    EXPECT_EQ(range.high, 0);
    const std::array<real, 2> ends{static_cast<real>(range.low), static_cast<real>(range.high)};
    EXPECT_GT(kAffine.fit(ends, 8, RangeMethod::kMinMax).scale, 0);
  }
}

// Mixed precision

TEST(Precisions, are_the_best_of_all_combinations_within_the_budget) {
  Random random(7, RandomStream::kInitialization, 13);
  for (int i = 0; i < 300; ++i) {
    const int count = 1 + static_cast<int>(random.below(4));
    std::vector<std::vector<PrecisionChoice>> layers(static_cast<std::size_t>(count));
    std::int64_t least = 0, most = 0;
    for (auto& choices : layers) {
      const std::int64_t size = 10 + random.below(1000);
      for (int bits = 2; bits <= 6; ++bits) {
        choices.push_back({bits, size * bits / 8, random.below(5) == 0 ? 0 : random.uniform(0, 1) / bits});
      }
      least += choices.front().bytes;
      most += choices.back().bytes;
    }
    const std::int64_t budget = least + random.below(static_cast<std::uint32_t>(most - least) + 1);
    double best = 1e9;
    std::function<void(std::size_t, std::int64_t, double)> visit = [&](std::size_t at, std::int64_t bytes,
                                                                       double cost) {
      if (bytes > budget) return;
      if (at == layers.size()) {
        best = std::min(best, cost);
        return;
      }
      for (const auto& choice : layers[at]) visit(at + 1, bytes + choice.bytes, cost + choice.cost);
    };
    visit(0, 0, 0);
    const std::vector<int> chosen = choose_precisions(layers, budget);
    ASSERT_EQ(chosen.size(), layers.size());
    std::int64_t bytes = 0;
    double cost = 0;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      bytes += layers[l][static_cast<std::size_t>(chosen[l])].bytes;
      cost += layers[l][static_cast<std::size_t>(chosen[l])].cost;
    }
    ASSERT_LE(bytes, budget);
    ASSERT_NEAR(cost, best, 1e-12);
    ASSERT_TRUE(choose_precisions(layers, least - 1).empty());
  }
}

// The pass

constexpr const char* kTiny =
    R"({"name": "tiny", "input": {"channels": 1, "height": 28, "width": 28}, "classes": 10,
  "layers": [{"type": "conv", "name": "conv1", "out_channels": 6, "kernel": 3, "stride": 2, "bias": false},
             {"type": "batch_norm", "name": "norm"}, {"type": "relu", "name": "relu"},
             {"type": "max_pool", "name": "pool", "kernel": 2},
             {"type": "conv", "name": "conv2", "out_channels": 8, "kernel": 3}, {"type": "tanh", "name": "tanh"},
             {"type": "flatten", "name": "flat"}, {"type": "dense", "name": "fc", "units": "classes"}]})";

struct Trained {
  Dataset dataset = synthetic_digits(3000, 300, 1);
  ThreadPool pool{2};
  const Kernels& kernels = select_kernels("auto");
  std::unique_ptr<Model> model = Model::create(json::parse(kTiny), 1, &dataset);

  Trained() {
    TrainingConfig config;
    config.epochs = 6;
    Trainer trainer(*model, dataset, config, kernels, pool);
    while (!trainer.done()) trainer.step();
  }
  PassContext context() {
    PassContext c{
        .model = copy_of(*model), .dataset = dataset, .kernels = kernels, .pool = pool, .training = {}};
    c.training.learning_rate = 0.01;
    return c;
  }
};

Trained& trained() {
  static Trained value;
  return value;
}

std::vector<std::string> layer_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) names.push_back(node.name);
  return names;
}

TEST(QuantizePass, folds_and_puts_a_quantizer_behind_every_new_number) {
  PassContext context = trained().context();
  finish(kQuantizePass.start(context, json::object()));
  EXPECT_EQ(layer_names(context.model->graph),
            (std::vector<std::string>{"input_quantize", "conv1", "relu", "relu_quantize", "pool", "conv2",
                                      "conv2_quantize", "tanh", "tanh_quantize", "flat", "fc"}));
  const Report& report = context.report;
  EXPECT_EQ(report.pass, "quantize");
  EXPECT_GT(report.accuracy_before->test, 0.8);
  EXPECT_NEAR(report.accuracy_after->test, report.accuracy_before->test, 0.02);
  EXPECT_FALSE(report.accuracy_finetuned);
  EXPECT_LT(report.after.total.bytes, report.before.total.bytes / 3);
}

TEST(QuantizePass, trains_low_bits_back_and_the_report_says_so) {
  struct Way {
    const char* scheme;
    const char* weights;
  };
  // The article's levels have no zero: it needs more of them.
  for (const Way& way : {Way{"symmetric", "2"}, Way{"affine", "2"}, Way{"ternary", "2"}, Way{"binary", "1"},
                         Way{"article", "4"}, Way{"power-of-two", "2"}, Way{"codebook", "2"}}) {
    PassContext context = trained().context();
    const json options = {{"scheme", way.scheme}, {"qat", 2}, {"images", 64}, {"weights", way.weights}};
    finish(kQuantizePass.start(context, options));
    const Report& report = context.report;
    ASSERT_TRUE(report.accuracy_finetuned && report.accuracy_control) << way.scheme;
    EXPECT_EQ(report.finetune_epochs, 2);
    EXPECT_GT(report.accuracy_finetuned->validation, 0.5) << way.scheme;
    EXPECT_GE(report.accuracy_finetuned->validation + 0.02, report.accuracy_after->validation) << way.scheme;
  }
}

// ternary `resnet` at the default rate went to 11 % without.
TEST(QuantizePass, clips_gradients_where_batch_norm_was_folded_away) {
  const auto clips = [](const json& options, double clip_norm) {
    PassContext context = trained().context();
    context.training.clip_norm = clip_norm;
    context.training.learning_rate = 2;  // too much for anything but clipped gradients
    context.training.limit = 320;
    bool diverged = false;
    try {
      finish(kQuantizePass.start(context, options));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDiverged);
      diverged = true;
    }
    const auto& notes = context.report.notes;
    const bool noted =
        std::any_of(notes.begin(), notes.end(), [](const auto& note) { return note.first == "clip_norm"; });
    return std::pair(noted, diverged);
  };
  const json options = {{"scheme", "ternary"}, {"qat", 1}, {"images", 64}, {"control", false}};
  EXPECT_EQ(clips(options, 0), std::pair(true, false));
  EXPECT_FALSE(clips(options, 0.5).first) << "the caller's own";
  json kept = options;
  kept["fold"] = false;
  EXPECT_FALSE(clips(kept, 0).first);
}

TEST(QuantizePass, effective_weights_lie_on_the_grid_after_training) {
  PassContext context = trained().context();
  finish(kQuantizePass.start(context, {{"weights", "3,fc=5"}, {"qat", 1}, {"control", false}}));
  for (const Node& node : context.model->graph.nodes) {
    if (!has_weights(node)) continue;
    EXPECT_EQ(node.attributes.quantize.bits, node.name == "fc" ? 5 : 3);
    const auto& value = context.model->parameters.value;
    std::vector<real> effective(value.begin(), value.end());
    fake_quantize_weights(node, value.data(), effective.data());
    const ParameterInfo& weight = weight_of(node);
    const std::int64_t row = weight.size / weight.shape[0];
    for (std::int64_t i = 0; i < weight.size; ++i) {
      const double scale = value[static_cast<std::size_t>(grid_scale_of(node)->offset + i / row)];
      const double code = effective[static_cast<std::size_t>(weight.offset + i)] / scale;
      ASSERT_NEAR(code, std::round(code), 1e-4);
      ASSERT_LE(std::abs(code), kSymmetric.highest_code(node.attributes.quantize.bits) + 1e-4);
    }
  }
}

TEST(QuantizePass, is_the_same_for_any_number_of_threads) {
  std::vector<aligned_vector<real>> values;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    Trained& t = trained();
    PassContext context{
        .model = copy_of(*t.model), .dataset = t.dataset, .kernels = t.kernels, .pool = pool, .training = {}};
    finish(kQuantizePass.start(context, {{"weights", "4"}, {"qat", 1}, {"control", false}}));
    values.push_back(context.model->parameters.value);
  }
  EXPECT_EQ(values[0], values[1]);
}

TEST(QuantizePass, keeps_a_byte_budget) {
  PassContext all = trained().context();
  finish(kQuantizePass.start(all, {{"weights", "2"}, {"images", 64}}));
  const std::int64_t least = all.report.after.total.bytes;
  for (const std::int64_t bytes : {least, least + 100, least + 700}) {
    PassContext context = trained().context();
    finish(kQuantizePass.start(context, {{"bytes", bytes}, {"images", 64}}));
    EXPECT_LE(context.report.after.total.bytes, bytes);
    EXPECT_GE(context.report.after.total.bytes, bytes - 700);
  }
  PassContext context = trained().context();
  Work work = kQuantizePass.start(context, {{"bytes", least - 1}, {"images", 64}});
  try {
    finish(std::move(work));
    FAIL() << "a budget that no bits can meet";
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "bytes");
    EXPECT_NE(error.message().find(std::to_string(least)), std::string::npos) << error.what();
  }
}

TEST(QuantizePass, pruned_weights_stay_pruned) {
  for (const char* scheme : {"symmetric", "codebook", "binary"}) {
    PassContext context = trained().context();
    auto& mask = context.model->parameters.mask;
    mask.assign(static_cast<std::size_t>(context.model->graph.trainable_size), real{1});
    const Node& fc = context.model->graph.nodes.back();
    for (std::int64_t i = 0; i < weight_of(fc).size; i += 2) {
      mask[static_cast<std::size_t>(weight_of(fc).offset + i)] = 0;
      context.model->parameters.value[static_cast<std::size_t>(weight_of(fc).offset + i)] = 0;
    }
    finish(kQuantizePass.start(context, {{"scheme", scheme}, {"qat", 1}, {"control", false}}));
    EXPECT_EQ(context.report.revived, 0) << scheme;
    const Node& after = context.model->graph.nodes.back();
    for (std::int64_t i = 0; i < weight_of(after).size; ++i) {
      ASSERT_EQ(context.model->parameters.mask[static_cast<std::size_t>(weight_of(after).offset + i)],
                i % 2 == 0 ? 0 : 1);
    }
  }
}

TEST(QuantizePass, takes_ranges_that_are_given_and_measures_the_others) {
  const auto quantized = [](const json& options) {
    PassContext context = trained().context();
    finish(kQuantizePass.start(context, options));
    return std::move(context.model);
  };
  const auto grid = [](const Model& model, std::string_view name) {
    for (const Node& node : model.graph.nodes) {
      if (node.name != name) continue;
      const real* value = model.parameters.value.data();
      return Grid{value[node.parameters[0].offset], value[node.parameters[1].offset]};
    }
    ADD_FAILURE() << name;
    return Grid{};
  };
  const auto measured = quantized({{"images", 64}});
  const auto given = quantized({{"images", 64}, {"ranges", "relu=0:2.55,con*=-1:1.55"}});
  EXPECT_FLOAT_EQ(grid(*given, "relu_quantize").scale, real(0.01));
  EXPECT_EQ(grid(*given, "relu_quantize").offset, 0);
  EXPECT_FLOAT_EQ(grid(*given, "conv2_quantize").scale, real(0.01));
  EXPECT_EQ(grid(*given, "conv2_quantize").offset, 100);
  for (const char* name : {"input_quantize", "tanh_quantize"}) {
    EXPECT_EQ(grid(*given, name).scale, grid(*measured, name).scale) << name;
    EXPECT_EQ(grid(*given, name).offset, grid(*measured, name).offset) << name;
  }
}

TEST(QuantizePass, writes_ranges_into_pipelines_only_where_some_are_given) {
  EXPECT_FALSE(kQuantizePass.complete(json::object()).contains("ranges"));
  EXPECT_EQ(kQuantizePass.complete({{"ranges", "relu=0:3"}}).at("ranges"), "relu=0:3");
}

TEST(QuantizePass, refuses_what_makes_no_sense) {
  struct Refused {
    json options;
    const char* where;
    const char* says;
  };
  const Refused cases[] = {
      {{{"weights", "9"}}, "weights", "1 to 8"},
      {{{"weights", "4,8"}}, "weights", "layer=bits"},
      {{{"weights", "conv9=8"}}, "weights", "no such layer"},
      {{{"weights", "1"}}, "weights", "2 to 8"},
      {{{"weights", "4"}, {"scheme", "ternary"}}, "weights", "exactly 2"},
      {{{"weights", "4"}, {"scheme", "binary"}}, "weights", "exactly 1"},
      {{{"weights", "float"}, {"activations", "float"}}, "weights", "nothing to quantize"},
      {{{"weights", "float"}, {"bytes", 5000}}, "bytes", "float"},
      {{{"activations", "6"}}, "activations", "float, 8, 4"},
      {{{"calibrate", "median"}}, "calibrate", "entropy"},
      {{{"ranges", "relu=3"}}, "ranges", "layer=lowest:highest"},
      {{{"ranges", "relu=1:3"}}, "ranges", "0 between"},
      {{{"ranges", "relu=0:0"}}, "ranges", "0 between"},
      {{{"ranges", "relu=0:3x"}}, "ranges", "layer=lowest:highest"},
      {{{"ranges", "relu=nan:3"}}, "ranges", "0 between"},
      {{{"ranges", "norm=0:3"}}, "ranges", "input, relu, conv2, tanh"},
      {{{"ranges", "relu=0:3"}, {"activations", "float"}}, "ranges", "stay float"},
      {{{"images", 0}}, "images", "1"},
      {{{"sheme", "affine"}}, "sheme", ""},
  };
  for (const Refused& c : cases) {
    PassContext context = trained().context();
    try {
      (void)kQuantizePass.start(context, c.options);
      ADD_FAILURE() << c.options.dump();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kArgument);
      EXPECT_EQ(error.where(), c.where) << error.what();
      EXPECT_NE(error.message().find(c.says), std::string::npos) << error.what();
    }
  }
}

TEST(QuantizePass, refuses_a_quantized_model_and_an_empty_set) {
  PassContext context = trained().context();
  finish(kQuantizePass.start(context, {{"images", 16}}));
  try {
    (void)kQuantizePass.start(context, json::object());
    ADD_FAILURE() << "quantized twice";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("already"), std::string::npos) << error.what();
  }
  Dataset empty = trained().dataset;
  empty.train = {};
  PassContext none{.model = copy_of(*trained().model),
                   .dataset = empty,
                   .kernels = trained().kernels,
                   .pool = trained().pool,
                   .training = {}};
  try {
    (void)kQuantizePass.start(none, json::object());
    ADD_FAILURE() << "calibrated on nothing";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kData);
    EXPECT_NE(error.message().find("training images"), std::string::npos) << error.what();
  }
  finish(kQuantizePass.start(none, {{"activations", "float"}}));  // needs none
}

}  // namespace
}  // namespace espalier
