// The packed runtime against plain loops over the graph: the same codes and sums for every network, format
// and kind of processor.
#include "runtime/packed_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "bench/measure_inference.h"
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

// How weights are made.
struct Weights {
  const QuantizationScheme* scheme = &kSymmetric;
  int bits = 8;
  double density = 1;
  double share = 1;  // of the layers; the others keep numbers
};

// Levels and indices at random, where k-means would put them.
void fill_codebook(const Node& node, Random& random, real* value) {
  const ParameterInfo& levels = *codebook_of(node);
  const ParameterInfo& index = *codebook_index_of(node);
  for (std::int64_t i = 1; i < levels.size; ++i) {
    value[levels.offset + i] = static_cast<real>(random.uniform(-0.3, 0.3));
  }
  for (std::int64_t i = 0; i < index.size; ++i) {
    value[index.offset + i] = static_cast<real>(random.below(static_cast<std::uint32_t>(levels.size)));
  }
}

// Quantized by the pass's own rules, with grids that codes spread over.
std::unique_ptr<Model> quantized(const Model& model, std::uint64_t seed,
                                 const Weights& how = {.share = 0.9}) {
  Random random = random_for(seed);
  const auto folded = fold_batch_norm(model);
  std::vector<WeightQuantization> weights(folded->graph.nodes.size());
  for (WeightQuantization& q : weights) {
    q.scheme = random.uniform() < how.share ? how.scheme : nullptr;
    q.bits = how.bits;
  }
  const int bits = 4 + static_cast<int>(random.below(5));
  auto result = rewritten(*folded, quantized_spec(folded->graph, weights, bits, false));
  real* value = result->parameters.value.data();
  for (const Node& node : result->graph.nodes) {
    if (node.op == &kFakeQuantize) {
      value[node.parameters[0].offset] = static_cast<real>(random.uniform(1, 4) / (1 << bits));
      value[node.parameters[1].offset] = static_cast<real>(random.below(1u << (bits - 1)));
    }
    if (!has_weights(node) || !node.attributes.quantize.scheme) continue;
    const ParameterInfo& weight = weight_of(node);
    for (std::int64_t i = 0; i < weight.size; ++i) {
      if (random.uniform() >= how.density) value[weight.offset + i] = 0;
    }
    if (how.scheme->codebook) {
      fill_codebook(node, random, value);
    } else {
      fit_weights(node, RangeMethod::kMinMax, value);
    }
  }
  return result;
}

// Every format, as the choice falls on it by itself.
struct FormatCase {
  std::string_view format;
  Weights weights;
};
const FormatCase kFormatCases[] = {
    {"int1", {&kBinary, 1}},       {"int2", {&kTernary, 2}},      {"int2", {&kSymmetric, 2}},
    {"int4", {&kSymmetric, 4}},    {"int8", {&kSymmetric, 5}},    {"sparse_int8", {&kSymmetric, 8, 0.08}},
    {"codebook", {&kCodebook, 4}}, {"codebook", {&kCodebook, 5}}, {"sparse_int8", {&kTernary, 2, 0.1}},
};

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

TEST_P(PackedRuntime, equals_the_reference_in_every_format) {
  for (const FormatCase& c : kFormatCases) {
    for (const char* preset : {"small", "mobile"}) {
      SCOPED_TRACE(std::string(preset) + " " + std::string(c.format));
      const auto model = quantized(*model_of(preset_spec(preset, 1, 28, 28, 10), 6), 6, c.weights);
      const auto expected = outputs(*model, *GetParam(), {.reference = true}, 1);
      std::set<std::string> formats;
      ASSERT_EQ(outputs(*model, *GetParam(), {}, 1, 2, &formats), expected);
      EXPECT_TRUE(formats.contains(std::string(c.format)));
      formats.clear();
      ASSERT_EQ(outputs(*model, *GetParam(), {.format = c.format}, 1, 1, &formats), expected);
      EXPECT_TRUE(formats.contains(std::string(c.format)));
    }
  }
}

TEST_P(PackedRuntime, equals_the_reference_in_every_format_on_random_networks) {
  for (std::uint64_t seed = 301; seed <= 300 + 30 * std::size(kFormatCases); ++seed) {
    const FormatCase& c = kFormatCases[seed % std::size(kFormatCases)];
    const auto start = model_of(NetworkGenerator(seed).spec(), seed);
    if (is_quantized(start->graph)) continue;
    SCOPED_TRACE(std::string(c.format) + ", " + std::to_string(seed));
    const auto model = quantized(*start, seed, c.weights);
    const auto expected = outputs(*model, *GetParam(), {.reference = true}, seed);
    ASSERT_EQ(outputs(*model, *GetParam(), {}, seed), expected);
    ASSERT_EQ(outputs(*model, *GetParam(), {.format = c.format}, seed), expected);
  }
}

// A convolution with all it takes to run a format by itself.
struct Convolution {
  LayerWeights weights;
  std::vector<real> values;
  std::vector<std::int32_t> start;
  std::vector<float> multiplier;
};

int between(Random& random, int low, int high) {
  return low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1)));
}

// Without padding; sizes around those of tiles and vectors, dense layers, depthwise ones.
Convolution random_convolution(Random& random, int bits) {
  Convolution c;
  ConvShape& s = c.weights.shape;
  const bool dense = random.below(4) == 0, depthwise = !dense && random.below(3) == 0;
  s.in_channels = between(random, depthwise ? 2 : 1, dense ? 40 : 13);
  s.out_channels = depthwise ? s.in_channels : between(random, 1, dense ? 40 : 13);
  s.groups = depthwise ? s.in_channels : 1;
  s.kernel_height = between(random, 1, depthwise ? 9 : 4);
  s.kernel_width = between(random, 1, depthwise ? 9 : 4);
  s.stride_height = dense ? 1 : between(random, 1, 3);
  s.stride_width = dense ? 1 : between(random, 1, 3);
  s.dilation_height = s.dilation_width = dense ? 1 : between(random, 1, 2);
  s.out_height = dense ? 1 : between(random, 1, 5);
  s.out_width = dense ? 1 : between(random, 1, 20);
  s.pad_top = s.pad_left = 0;
  s.in_height = (s.out_height - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
  s.in_width = (s.out_width - 1) * s.stride_width + (s.kernel_width - 1) * s.dilation_width + 1;
  const double density = random.uniform();
  for (int i = 0; i < s.out_channels * s.group_in() * s.taps(); ++i) {
    const bool left = bits == 1 || random.uniform() < density;
    const int highest = bits == 8 ? 127 : (1 << (bits - 1)) - 1;
    const int weight = bits == 1 ? between(random, 0, 1) * 2 - 1 : between(random, -highest, highest);
    c.weights.integers.push_back(static_cast<std::int8_t>(left ? weight : 0));
  }
  for (int o = 0; o < s.out_channels; ++o) {
    c.start.push_back(between(random, -3000, 3000));
    c.multiplier.push_back(static_cast<float>(random.uniform(0.0005, 0.01)));
  }
  c.start.resize(c.start.size() + kMoreChannels);
  c.multiplier.resize(c.multiplier.size() + kMoreChannels);
  return c;
}

std::int32_t plain_sum(const Convolution& c, const std::uint8_t* in, int lanes, int o, int y, int x,
                       int lane) {
  const ConvShape& s = c.weights.shape;
  std::int32_t sum = c.start[static_cast<std::size_t>(o)];
  const std::int8_t* weight = c.weights.integers.data() + std::ptrdiff_t{o} * s.group_in() * s.taps();
  for (int i = 0; i < s.group_in(); ++i) {
    const int channel = o / s.group_out() * s.group_in() + i;
    for (int ky = 0; ky < s.kernel_height; ++ky) {
      for (int kx = 0; kx < s.kernel_width; ++kx) {
        const int row = channel / 4 * s.in_height + y * s.stride_height + ky * s.dilation_height;
        const int column = x * s.stride_width + kx * s.dilation_width;
        sum += *weight++ * in[((std::ptrdiff_t{row} * s.in_width + column) * lanes + lane) * 4 + channel % 4];
      }
    }
  }
  return sum;
}

// The rows by themselves, with every kind of dot product that this processor has, and not only the fastest.
TEST_P(PackedRuntime, runs_every_integer_format_as_the_definition_and_writes_no_further) {
  constexpr std::uint8_t kCanary = 0xa5;
  std::set<std::string_view> ran;
  for (const Kernels* kernels : {GetParam(), GetParam()->single}) {
    for (const IntegerKernels* integer : all_integer_kernels(*kernels)) {
      Random random = random_for(11);
      for (int round = 0; round < 240; ++round) {
        constexpr int kBits[] = {1, 2, 4, 8};
        Convolution c = random_convolution(random, kBits[round % 4]);
        const ConvShape& s = c.weights.shape;
        SCOPED_TRACE(std::string(integer->name) + ", round " + std::to_string(round));
        const int lanes = integer->lanes;
        const std::size_t slack = lanes == 1 ? kCodeSlack : 0;
        aligned_vector<std::uint8_t> in(
            static_cast<std::size_t>(code_groups(s.in_channels) * s.in_height * s.in_width * lanes * 4) +
            slack);
        for (std::uint8_t& code : in) code = static_cast<std::uint8_t>(random.below(256));
        const auto outputs = static_cast<std::size_t>(s.out_height * s.out_width * lanes);
        const std::size_t code_bytes = outputs * static_cast<std::size_t>(code_groups(s.out_channels) * 4);
        const std::size_t number_bytes = outputs * static_cast<std::size_t>(s.out_channels) * sizeof(real);
        for (const WeightFormat* format : weight_formats()) {
          if (!format->integer || !format->accepts(c.weights)) continue;
          ran.insert(format->name);
          SCOPED_TRACE(format->name);
          const PackedBytes packed = format->pack(c.weights, *kernels, *integer);
          std::vector<std::int8_t> unpacked(c.weights.integers.size(), 99);
          format->unpack(s, *kernels, *integer, packed, unpacked.data());
          ASSERT_EQ(unpacked, c.weights.integers);
          aligned_vector<std::uint8_t> spread(
              static_cast<std::size_t>(format->spread_bytes ? format->spread_bytes(s, *integer) : 0) + 1,
              kCanary);
          const Requantization requantization{.start = c.start.data(),
                                              .multiplier = c.multiplier.data(),
                                              .zero_point = 11,
                                              .lowest = 3,
                                              .highest = 250};
          for (const bool to_codes : {true, false}) {
            const std::size_t size = to_codes ? code_bytes : number_bytes;
            const std::size_t reach = lanes == 1 ? std::max(slack, 16 * sizeof(real)) : 0;
            aligned_vector<std::uint8_t> out(size + reach + 64, kCanary);
            format->run({.shape = s,
                         .kernels = *kernels,
                         .integer = *integer,
                         .packed = packed.data(),
                         .in = in.data(),
                         .scratch = nullptr,
                         .spread = spread.data(),
                         .out = out.data(),
                         .to_codes = to_codes,
                         .requantization = &requantization});
            ASSERT_EQ(std::count(out.end() - 64, out.end(), kCanary), 64);
            ASSERT_EQ(spread.back(), kCanary);
            for (int o = 0; o < s.out_channels; ++o) {
              for (int i = 0; i < s.out_height * s.out_width * lanes; ++i) {
                const int pixel = i / lanes, lane = i % lanes;
                const std::int32_t sum =
                    plain_sum(c, in.data(), lanes, o, pixel / s.out_width, pixel % s.out_width, lane);
                const float factor = c.multiplier[static_cast<std::size_t>(o)];
                if (to_codes) {
                  const std::size_t at = static_cast<std::size_t>(o / 4) * outputs * 4 +
                                         static_cast<std::size_t>(i) * 4 + static_cast<std::size_t>(o % 4);
                  ASSERT_EQ(out[at], requantized(sum, factor, 11, 3, 250)) << o << ", " << i;
                } else {
                  const auto* numbers = reinterpret_cast<const real*>(out.data());
                  ASSERT_EQ(numbers[static_cast<std::size_t>(o) * outputs + static_cast<std::size_t>(i)],
                            static_cast<float>(sum) * factor)
                      << o << ", " << i;
                }
              }
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(ran, (std::set<std::string_view>{"int1", "int2", "int4", "int8", "sparse_int8"}));
}

// Bytes of packed weights, so far as they follow from the shape.
std::int64_t expected_bytes(const WeightFormat& format, const LayerWeights& weights,
                            const IntegerKernels& integer) {
  const std::int64_t padded =
      format.integer ? integer.conv_packed_size(weights.shape) / integer.weight_bytes : 0;
  if (format.name == "int1") return padded / 8;
  if (format.name == "int2") return padded / 4;
  if (format.name == "int4") return padded / 2;
  if (format.name == "int8") return padded * integer.weight_bytes;
  const auto size = static_cast<std::int64_t>(weights.values.size());
  if (format.name == "float32") return size * static_cast<std::int64_t>(sizeof(real));
  return -1;
}

TEST_P(PackedRuntime, unpacks_what_it_packed) {
  int layers = 0;
  for (const FormatCase& c : kFormatCases)
    for (const char* preset : {"lenet5", "resnet", "mobile"}) {
      const auto model = quantized(*model_of(preset_spec(preset, 1, 28, 28, 10), 4), 4, c.weights);
      ThreadPool pool(1);
      aligned_vector<real> storage;
      const real* effective = make_effective(model->graph, model->parameters, pool, storage);
      for (const Kernels* kernels : {GetParam(), GetParam()->single}) {
        for (const Node& node : model->graph.nodes) {
          if (!has_weights(node)) continue;
          const LayerWeights weights = layer_weights(node, conv_shape(node), effective);
          EXPECT_EQ(weights.integers.empty(), c.weights.scheme->codebook) << node.name;
          for (std::size_t i = 0; i < weights.integers.size(); ++i) {
            const int code = weights.codes[i];
            ASSERT_EQ(c.weights.scheme == &kBinary ? 2 * code - 1 : code, weights.integers[i]);
          }
          for (const WeightFormat* format : weight_formats()) {
            if (!format->accepts(weights)) continue;
            const IntegerKernels& integer = integer_kernels(*kernels);
            const PackedBytes packed = format->pack(weights, *kernels, integer);
            const std::int64_t bytes = expected_bytes(*format, weights, integer);
            if (bytes >= 0) EXPECT_EQ(format->bytes(packed), bytes) << format->name << ", " << node.name;
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
  EXPECT_GT(layers, 300);
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

// The same number in tests/benchmarks/runtime.bench.ts, for plain and relaxed SIMD in a browser.
TEST_P(PackedRuntime, rounds_ten_million_random_sums_as_the_definition) {
  for (const Kernels* kernels : {GetParam(), GetParam()->single}) {
    if (kernels->lanes == 1 && GetParam() != available_kernels().front()) continue;  // the same loop
    for (const IntegerKernels* integer : all_integer_kernels(*kernels)) {
      const json result = check_requantizations(*integer);
      EXPECT_GT(result["count"], 10'000'000);
      EXPECT_EQ(result["hash"], result["definition"]) << integer->name;
      EXPECT_EQ(result["hash"], 3445957723u) << integer->name;
    }
  }
}

TEST(PackedModel, says_why_a_layer_runs_in_its_format) {
  const auto why = [](const Weights& weights, std::string_view format = {}) {
    const auto model = quantized(*model_of(preset_spec("lenet5", 1, 28, 28, 10)), 3, weights);
    ThreadPool pool(1);
    const PackedModel packed(*model, select_kernels("auto"), pool, {.format = format});
    const LayerExecution& dense = packed.layers()[2];
    return dense.format + ": " + dense.why;
  };
  EXPECT_EQ(why({&kSymmetric, 8}), "int8: ");
  EXPECT_EQ(why({&kSymmetric, 8}, "int4"), "int8: int4 cannot hold it");
  EXPECT_EQ(why({&kSymmetric, 4}, "int8"), "int8: asked for");
  EXPECT_TRUE(why({&kCodebook, 4}).starts_with("codebook: its levels are numbers"));
  EXPECT_EQ(why({&kArticle, 8}), "float32: its weights are no whole multiples of a scale");
  const std::string sparse = why({&kSymmetric, 8, 0.05});
  EXPECT_TRUE(sparse.starts_with("sparse_int8: ")) << sparse;
  EXPECT_NE(sparse.find(" % of the groups of four weights are left: sparse_int8 is taken below "),
            std::string::npos)
      << sparse;
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
