// The packed runtime against plain loops over the graph: the same codes and sums for every network, format
// and kind of processor.
#include "runtime/packed_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "compress/fold_batch_norm.h"
#include "compress/quantize/rewrite.h"
#include "core/error.h"
#include "data/digits.h"
#include "ops/shapes.h"
#include "ops/weights.h"
#include "random_network.h"
#include "runtime/format.h"
#include "runtime/reference.h"

namespace espalier {
namespace {

using nlohmann::json;

class PackedRuntime : public ::testing::TestWithParam<const Kernels*> {};

// Quantized by the pass's own rules, with grids that codes spread over.
std::unique_ptr<Model> quantized(const Model& model, std::uint64_t seed) {
  Random random = random_for(seed);
  const auto folded = fold_batch_norm(model);
  std::vector<WeightQuantization> weights(folded->graph.nodes.size());
  for (WeightQuantization& q : weights) q.scheme = random.uniform() < 0.9 ? &kSymmetric : nullptr;
  const int bits = 4 + static_cast<int>(random.below(5));
  auto result = rewritten(*folded, quantized_spec(folded->graph, weights, bits, false));
  real* value = result->parameters.value.data();
  for (const Node& node : result->graph.nodes) {
    if (node.op == &kFakeQuantize) {
      value[node.parameters[0].offset] = static_cast<real>(random.uniform(1, 4) / (1 << bits));
      value[node.parameters[1].offset] = static_cast<real>(random.below(1u << (bits - 1)));
    }
    if (has_weights(node) && node.attributes.quantize.scheme) {
      fit_weights(node, RangeMethod::kMinMax, value);
    }
  }
  return result;
}

// 19 images: the last block of 8 or 16 is not full.
constexpr int kImages = 19;
std::vector<std::uint8_t> random_bytes(std::size_t size, std::uint64_t seed) {
  Random random = random_for(seed);
  std::vector<std::uint8_t> bytes(size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.below(256));
  return bytes;
}

std::vector<real> outputs(const Model& model, const Kernels& kernels, const RuntimeOptions& options,
                          std::uint64_t seed, int threads = 1, std::set<std::string>* formats = nullptr) {
  const Graph& graph = model.graph;
  const auto images = random_bytes(
      static_cast<std::size_t>(kImages) * static_cast<std::size_t>(graph.input.shape.size()), seed);
  ThreadPool pool(threads);
  PackedModel packed(model, kernels, pool, options);
  std::vector<real> logits(static_cast<std::size_t>(kImages * graph.classes));
  packed.infer(images.data(), kImages, logits.data());
  // The same one by one, and in threes.
  std::vector<real> few(logits);
  const std::ptrdiff_t size = graph.input.shape.size();
  for (int first = 0, count = 1; first < kImages; first += count, count = 4 - count) {
    count = std::min(count, kImages - first);
    packed.infer(images.data() + first * size, count, few.data() + first * graph.classes);
  }
  EXPECT_EQ(few, logits);
  for (const LayerExecution& layer : packed.layers()) {
    if (formats) formats->insert(layer.format);
  }
  return logits;
}

TEST_P(PackedRuntime, equals_the_reference_on_every_preset) {
  for (const Preset& preset : presets()) {
    SCOPED_TRACE(preset.name);
    const auto model = quantized(*model_of(preset_spec(std::string(preset.name), 1, 28, 28, 10), 5), 5);
    const auto expected = outputs(*model, *GetParam(), {.reference = true}, 1);
    EXPECT_EQ(outputs(*model, *GetParam(), {}, 1), expected);
    EXPECT_EQ(outputs(*model, *GetParam(), {}, 1, 3), expected);
    EXPECT_EQ(outputs(*model, *GetParam(), {}, 2) == expected, false) << "the outputs depend on the image";
  }
}

TEST_P(PackedRuntime, equals_the_reference_on_200_random_networks) {
  std::set<std::string> formats;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const json spec = NetworkGenerator(seed).spec();
    SCOPED_TRACE(spec.dump());
    const auto start = model_of(spec, seed);
    // Half of them as the pass quantizes, half with quantizers anywhere.
    const bool pass = seed % 2 == 0 && !is_quantized(start->graph);
    const auto model = pass ? quantized(*start, seed) : model_of(spec, seed);
    const auto expected = outputs(*model, *GetParam(), {.reference = true}, seed);
    ASSERT_EQ(outputs(*model, *GetParam(), {}, seed, 1, &formats), expected);
  }
  EXPECT_TRUE(formats.contains("int8"));
  EXPECT_TRUE(formats.contains("float32"));
}

TEST_P(PackedRuntime, unpacks_what_it_packed) {
  int layers = 0;
  for (const char* preset : {"lenet5", "resnet", "mobile"}) {
    const auto model = quantized(*model_of(preset_spec(preset, 1, 28, 28, 10), 4), 4);
    ThreadPool pool(1);
    aligned_vector<real> storage;
    const real* effective = make_effective(model->graph, model->parameters, pool, storage);
    for (const Kernels* kernels : {GetParam(), GetParam()->single}) {
      for (const Node& node : model->graph.nodes) {
        if (!has_weights(node)) continue;
        const LayerWeights weights = layer_weights(node, conv_shape(node), effective);
        const bool integers_only = node.attributes.quantize.scheme == &kSymmetric;
        EXPECT_EQ(weights.integers.empty(), !integers_only) << node.name;
        for (std::size_t i = 0; i < weights.codes.size(); ++i)
          ASSERT_EQ(weights.codes[i], weights.integers[i]);
        for (const WeightFormat* format : weight_formats()) {
          if (!format->accepts(weights)) continue;
          const IntegerKernels& integer = integer_kernels(*kernels);
          const PackedBytes packed = format->pack(weights, *kernels, integer);
          EXPECT_GE(format->bytes(packed) * 8, static_cast<std::int64_t>(weights.values.size()));
          std::vector<std::int8_t> integers(weights.values.size(), 99);
          std::vector<real> values(weights.values.size(), real(99));
          void* out = format->integer ? static_cast<void*>(integers.data()) : values.data();
          format->unpack(weights.shape, *kernels, integer, packed, out);
          if (format->integer) {
            EXPECT_EQ(integers, weights.integers) << format->name << ", " << node.name;
          } else {
            EXPECT_TRUE(std::ranges::equal(values, weights.values)) << format->name << ", " << node.name;
          }
          ++layers;
        }
      }
    }
  }
  EXPECT_GT(layers, 30);
}

// Integer sums do not depend on the processor, nor do the numbers that they become.
TEST(PackedRuntimeVariants, give_the_same_bits_where_all_layers_are_integers) {
  for (const char* preset : {"lenet5", "small", "lenet-300-100", "resnet", "mobile"}) {
    const auto start = model_of(preset_spec(preset, 1, 28, 28, 10), 3);
    const auto folded = fold_batch_norm(*start);
    const std::vector<WeightQuantization> weights(folded->graph.nodes.size(), {.scheme = &kSymmetric});
    const auto model = rewritten(*folded, quantized_spec(folded->graph, weights, 8, false));
    for (const Node& node : model->graph.nodes) {
      real* value = model->parameters.value.data();
      if (node.op == &kFakeQuantize) {
        value[node.parameters[0].offset] = real(0.017);
        value[node.parameters[1].offset] = 40;
      }
      if (has_weights(node)) fit_weights(node, RangeMethod::kMinMax, value);
    }
    std::set<std::string> formats;
    const auto expected = outputs(*model, *available_kernels().front(), {}, 9, 1, &formats);
    EXPECT_EQ(formats, std::set<std::string>{"int8"}) << preset;
    for (const Kernels* kernels : available_kernels()) {
      EXPECT_EQ(outputs(*model, *kernels, {}, 9), expected) << preset << ", " << kernels->name;
    }
  }
}

TEST_P(PackedRuntime, predicts_what_the_fake_quantized_graph_does) {
  const Dataset digits = synthetic_digits(10, 300, 1);
  const auto model = quantized(*model_of(preset_spec("small", 1, 28, 28, 10), 2), 2);
  ThreadPool pool(2);
  PackedModel packed(*model, *GetParam(), pool);
  PackedEvaluator evaluator(packed, digits, digits.test, pool);
  while (evaluator.advance()) {
  }
  const EvaluationResult expected = evaluate(*model, digits, digits.test, *GetParam(), pool);
  int same = 0;
  for (std::size_t i = 0; i < 300; ++i) {
    same += evaluator.result().predictions[i] == expected.predictions[i] ? 1 : 0;
  }
  EXPECT_EQ(evaluator.result().count, 300);
  EXPECT_GE(same, 297) << "only ties of roundings may differ";
  EXPECT_NEAR(evaluator.result().loss, expected.loss, 0.01);
}

// Convolutions without any weight: the codes are those of the sums that they begin with.
TEST_P(PackedRuntime, rounds_ten_million_random_sums_as_the_definition) {
  const Kernels& kernels = *GetParam();
  const IntegerKernels& integer = integer_kernels(kernels);
  constexpr int kChannels = 4096, kRounds = 2442;
  const ConvShape shape{.in_channels = 4,
                        .in_height = 1,
                        .in_width = 1,
                        .out_channels = kChannels,
                        .out_height = 1,
                        .out_width = 1,
                        .kernel_height = 1,
                        .kernel_width = 1,
                        .stride_height = 1,
                        .stride_width = 1,
                        .dilation_height = 1,
                        .dilation_width = 1,
                        .pad_top = 0,
                        .pad_left = 0,
                        .groups = 1};
  const std::vector<std::int8_t> weight(kChannels * 4);
  aligned_vector<std::uint8_t> packed(static_cast<std::size_t>(integer.conv_packed_size(shape)));
  integer.conv_pack(shape, weight.data(), packed.data());
  const std::size_t pixel = static_cast<std::size_t>(kernels.lanes) * 4;
  aligned_vector<std::uint8_t> in(pixel), out(pixel * kChannels / 4);
  std::vector<std::int32_t> start(kChannels);
  std::vector<float> multiplier(kChannels);
  Random random = random_for(7);
  for (int round = 0; round < kRounds; ++round) {
    const int zero_point = static_cast<int>(random.below(256));
    const int lowest = random.below(2) ? zero_point : 0;
    const int highest = 255 - static_cast<int>(random.below(static_cast<std::uint32_t>(256 - zero_point)));
    for (std::size_t i = 0; i < kChannels; ++i) {
      const std::int32_t bits = static_cast<std::int32_t>(random.below(0xffffffffu));
      start[i] = bits >> random.below(31);
      // Now and then a power of two, which makes ties.
      multiplier[i] = random.below(4) ? static_cast<float>(std::exp2(-random.uniform(0, 24)))
                                      : std::ldexp(1.0f, -static_cast<int>(random.below(20)));
    }
    integer.conv_to_codes(shape, in.data(), packed.data(),
                          {.start = start.data(),
                           .multiplier = multiplier.data(),
                           .zero_point = zero_point,
                           .lowest = lowest,
                           .highest = highest},
                          out.data());
    for (std::size_t i = 0; i < kChannels; ++i) {
      const int expected = requantized(start[i], multiplier[i], zero_point, lowest, highest);
      ASSERT_EQ(out[i / 4 * pixel + i % 4], expected)
          << start[i] << " times " << multiplier[i] << " at " << zero_point;
    }
  }
}

TEST(PackedModel, refuses_a_format_that_does_not_exist) {
  const auto model = model_of(preset_spec("small", 1, 28, 28, 10));
  ThreadPool pool(1);
  try {
    PackedModel packed(*model, select_kernels("auto"), pool, {.format = "int7"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("int8"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, PackedRuntime,
                         ::testing::ValuesIn(available_kernels().begin(), available_kernels().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace espalier
