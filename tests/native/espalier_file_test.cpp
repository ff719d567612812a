// The .espalier file: what is written is read back to the same logits, and nothing else is read at all.
#include "io/espalier_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/pipeline.h"
#include "compress/share.h"
#include "core/error.h"
#include "graph/run_order.h"
#include "io/context_coder.h"
#include "ops/weights.h"
#include "random_network.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

std::vector<std::string> digits(int classes) {
  std::vector<std::string> labels;
  for (int i = 0; i < classes; ++i) labels.push_back(std::to_string(i));
  return labels;
}

// Grids that fit the weights, and every third weight pruned.
void compress(Model& model, std::uint64_t seed, bool prune) {
  Random random = random_for(seed + 1);
  auto& p = model.parameters;
  if (prune) {
    p.mask.assign(static_cast<std::size_t>(model.graph.trainable_size), real{1});
    for (const Node& node : model.graph.nodes) {
      if (!has_weights(node)) continue;
      const ParameterInfo& weight = weight_of(node);
      for (std::int64_t i = weight.offset; i < weight.offset + weight.size; ++i) {
        if (random.below(3) > 0) continue;
        p.mask[static_cast<std::size_t>(i)] = 0;
        p.value[static_cast<std::size_t>(i)] = 0;
      }
    }
  }
  for (const Node& node : model.graph.nodes) {
    const QuantizationScheme* scheme = node.attributes.quantize.scheme;
    if (!scheme) continue;
    if (scheme->codebook) {
      share_weights(node, CodebookStart::kLinear, seed, p.value.data(), prune ? p.mask.data() : nullptr);
    } else {
      fit_weights(node, RangeMethod::kMinMax, p.value.data());
    }
  }
}

std::vector<real> logits(const Model& model, std::uint64_t seed, int images) {
  ThreadPool pool(1);
  Predictor predictor(model, select_kernels("auto"), pool);
  Random random = random_for(seed + 2);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(images * model.graph.input.shape.size()));
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  std::vector<real> result(static_cast<std::size_t>(images * model.graph.classes));
  predictor.predict(pixels.data(), images, result.data());
  return result;
}

EspalierFile read(std::span<const std::uint8_t> bytes) { return load_espalier({"m.espalier", bytes}); }

std::string error_of(std::span<const std::uint8_t> bytes) {
  try {
    (void)read(bytes);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel);
    EXPECT_EQ(error.where(), "m.espalier");
    return error.message();
  }
  return "";
}

json small_spec() {
  return {
      {"name", "tiny"},
      {"input",
       {{"channels", 1}, {"height", 6}, {"width", 6}, {"mean", {0.1307}}, {"standard_deviation", {0.3081}}}},
      {"classes", 3},
      {"layers",
       {{{"type", "conv"},
         {"out_channels", 3},
         {"kernel", 3},
         {"padding", "same"},
         {"quantize", {{"scheme", "codebook"}, {"bits", 3}}}},
        {{"type", "batch_norm"}},
        {{"type", "relu"}, {"name", "a rectifier"}},
        {{"type", "max_pool"}, {"kernel", 2}},
        {{"type", "flatten"}},
        {{"type", "dense"}, {"units", "classes"}, {"quantize", {{"scheme", "symmetric"}, {"bits", 4}}}}}}};
}

std::unique_ptr<Model> small_model() {
  auto model = model_of(small_spec());
  compress(*model, 1, true);
  return model;
}

TEST(RangeCoder, BitsComeBackAtAnyProbability) {
  Random random = random_for(7);
  for (int run = 0; run < 200; ++run) {
    const int count = static_cast<int>(random.below(300));
    std::vector<std::uint32_t> ones;
    std::vector<int> bits;
    RangeCoder writer;
    for (int i = 0; i < count; ++i) {
      const std::uint32_t extremes[] = {1, 65535, 32768, 1 + random.below(65535)};
      ones.push_back(extremes[random.below(4)]);
      bits.push_back(random.below(65536) < ones.back() ? 1 : 0);
      if (random.below(50) == 0) bits.back() ^= 1;
      writer.bit(bits.back(), ones.back());
    }
    const std::vector<std::uint8_t> bytes = writer.finish();
    RangeCoder reader(bytes);
    for (std::size_t i = 0; i < bits.size(); ++i)
      ASSERT_EQ(reader.bit(0, ones[i]), bits[i]) << run << " " << i;
  }
}

TEST(RangeCoder, ReadingOnBehindTheEndIsAnError) {
  RangeCoder writer;
  for (int i = 0; i < 100; ++i) writer.bit(i & 1, 32768);
  const std::vector<std::uint8_t> bytes = writer.finish();
  RangeCoder reader(bytes);
  EXPECT_THROW(
      {
        for (int i = 0; i < 1000; ++i) reader.bit(0, 32768);
      },
      Error);
}

TEST(ContextCoder, NumbersAndSymbolsComeBack) {
  Random random = random_for(8);
  std::vector<std::uint32_t> numbers;
  for (int i = 0; i < 3000; ++i) numbers.push_back(random.bits() >> random.below(32));
  for (const std::uint32_t edge : {0u, 1u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu}) numbers.push_back(edge);
  const auto walk = [&](ContextCoder& coder, std::size_t i) {
    const std::uint32_t n = coder.reading() ? 0 : numbers[i];
    const std::uint32_t a = coder.number(n, Contexts(1).add(static_cast<std::uint32_t>(i) % 5));
    const std::uint32_t b = coder.symbol(n & 15, 4, Contexts(2).add(0).add(a & 1));
    const std::uint32_t c = coder.raw(n, 32);
    return std::array{a, b, c};
  };
  ContextCoder writer;
  for (std::size_t i = 0; i < numbers.size(); ++i) walk(writer, i);
  const auto bytes = writer.finish();
  ContextCoder reader(bytes);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto expected = std::array{numbers[i], numbers[i] & 15, numbers[i]};
    ASSERT_EQ(walk(reader, i), expected) << i;
  }
}

TEST(ContextCoder, SkewedBitsCostLittleMoreThanTheirEntropy) {
  Random random = random_for(9);
  ContextCoder writer;
  constexpr int kBits = 100000;
  for (int i = 0; i < kBits; ++i) writer.bit(random.below(100) < 8 ? 1 : 0, Contexts(1).add(0));
  const double entropy = kBits * -(0.08 * std::log2(0.08) + 0.92 * std::log2(0.92)) / 8;
  const auto bytes = static_cast<double>(writer.finish().size());
  EXPECT_LT(bytes, 1.02 * entropy);
  EXPECT_GT(bytes, 0.97 * entropy);
}

TEST(EspalierFile, LogitsComeBackBitForBitFromRandomNetworks) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    auto model = model_of(NetworkGenerator(seed).spec(), seed);
    compress(*model, seed, seed % 2 == 0);
    const auto bytes = save_espalier(*model, {}, "");
    const EspalierFile file = read(bytes);
    ASSERT_EQ(to_spec(file.model->graph), to_spec(model->graph)) << seed;
    ASSERT_EQ(file.model->parameters.mask, model->parameters.mask) << seed;
    ASSERT_EQ(logits(*file.model, seed, 20), logits(*model, seed, 20)) << seed;
    ASSERT_EQ(save_espalier(*file.model, {}, ""), bytes) << seed << ": written again, it is the same file";
  }
}

TEST(EspalierFile, EverySchemeAtEveryBitsAndGranularityComesBack) {
  for (const QuantizationScheme* scheme : quantization_schemes()) {
    for (int bits = scheme->min_bits; bits <= scheme->max_bits; ++bits) {
      for (const char* granularity : {"tensor", "channel", "group"}) {
        for (const bool prune : {false, true}) {
          json spec = small_spec();
          for (json& layer : spec["layers"]) {
            if (!layer.contains("quantize")) continue;
            layer["quantize"] = {{"scheme", scheme->name}, {"bits", bits}};
            if (scheme->codebook) continue;
            layer["quantize"]["granularity"] = granularity;
            if (std::string_view(granularity) == "group") layer["quantize"]["group_size"] = 4;
          }
          auto model = model_of(spec);
          compress(*model, 1, prune);
          const auto bytes = save_espalier(*model, {}, "");
          const EspalierFile file = read(bytes);
          const std::string what = std::string(scheme->name) + " " + std::to_string(bits) + " " +
                                   granularity + (prune ? " pruned" : "");
          ASSERT_EQ(logits(*file.model, 3, 5), logits(*model, 3, 5)) << what;
          ASSERT_EQ(save_espalier(*file.model, {}, ""), bytes) << what;
        }
      }
    }
  }
}

TEST(EspalierFile, LearnedGridsThatRanAwayComeBack) {
  for (const char* scheme : {"symmetric", "affine", "ternary"}) {
    json spec = small_spec();
    spec["layers"][5]["quantize"] = {{"scheme", scheme}, {"bits", 2}, {"learned", true}};
    auto model = model_of(spec);
    compress(*model, 1, false);
    const Node& dense = model->graph.nodes[5];
    real* scale = model->parameters.value.data() + grid_scale_of(dense)->offset;
    scale[0] = real(-0.5);   // counts as the smallest scale
    scale[1] = real(0.001);  // a ternary one: below its threshold
    const auto bytes = save_espalier(*model, {}, "");
    const EspalierFile file = read(bytes);
    EXPECT_EQ(logits(*file.model, 3, 5), logits(*model, 3, 5)) << scheme;
    EXPECT_EQ(save_espalier(*file.model, {}, ""), bytes) << scheme;
  }
}

TEST(EspalierFile, LabelsAndPipelineComeBack) {
  const auto model = small_model();
  const std::string pipeline = R"({"name":"mine","passes":[{"pass":"prune","sparsity":0.9}]})";
  for (const auto& labels :
       {std::vector<std::string>{}, std::vector<std::string>{"cat", "", "\xC3\xA4hre"}, digits(3)}) {
    const EspalierFile file = read(save_espalier(*model, labels, pipeline));
    EXPECT_EQ(file.labels, labels);
    EXPECT_EQ(file.pipeline, pipeline);
  }
  EXPECT_THROW((void)save_espalier(*model, digits(4), ""), Error);
}

// The bytes of a part.
std::int64_t bytes_of(const std::vector<FilePart>& parts, std::string_view name) {
  for (const FilePart& part : parts) {
    if (part.name == name) return part.bytes;
  }
  return -1;
}

TEST(EspalierFile, APipelineTakesTensOfBytesAndABuiltInOneLess) {
  const auto model = small_model();
  const auto bytes = [&](const json& given, std::uint64_t seed) {
    const std::string pipeline = to_json(parse_pipeline(given, seed)).dump();
    EXPECT_GT(pipeline.size(), 600u);
    std::vector<FilePart> parts;
    EXPECT_EQ(read(save_espalier(*model, {}, pipeline, &parts)).pipeline, pipeline);
    return bytes_of(parts, "pipeline");
  };
  for (const NamedPipeline& named : named_pipelines()) {
    EXPECT_LE(bytes(json::parse(named.json), 1), 12) << named.name;
    EXPECT_LE(bytes(json::parse(named.json), 28), 16) << named.name;
  }
  EXPECT_LE(bytes(json::parse(R"({"name": "mine", "training": {"optimizer": "adam", "learning_rate": 0.003},
                                  "passes": [{"pass": "prune", "scope": "layer", "sparsity": 0.87, "finetune": 5},
                                             {"pass": "quantize", "weights": "3", "qat": 2}]})"),
                  1),
            64);
}

TEST(EspalierFile, LongTextsAndRepeatedOnesComeBack) {
  const auto model = small_model();
  std::string pipeline;
  Random random = random_for(11);
  for (int i = 0; i < 30000; ++i) {
    if (i > 100 && random.below(4) == 0) {
      pipeline += pipeline.substr(random.below(static_cast<std::uint32_t>(pipeline.size())), 30);
    } else {
      pipeline += static_cast<char>(random.below(256));
    }
  }
  const std::vector<std::string> labels{pipeline.substr(0, 5000), std::string(1000, 'a'), "\xFF"};
  const EspalierFile file = read(save_espalier(*model, labels, pipeline));
  EXPECT_EQ(file.labels, labels);
  EXPECT_EQ(file.pipeline, pipeline);
}

TEST(EspalierFile, EveryPresetComesBackWithAtMost64BytesAroundItsSpecAndParts) {
  for (const Preset& preset : presets()) {
    const auto model = Model::create(preset_spec(preset.name, 1, 28, 28, 10), 1, nullptr);
    std::vector<FilePart> parts;
    const std::string pipeline = to_json(parse_pipeline(json::parse(named_pipelines()[2].json), 1)).dump();
    const auto bytes = save_espalier(*model, digits(10), pipeline, &parts);
    EXPECT_EQ(read(bytes).model->parameters.value, model->parameters.value) << preset.name;
    std::int64_t sum = 0, header = 0;
    for (const FilePart& part : parts) {
      sum += part.bytes;
      if (part.name == "header" || part.name == "labels" || part.name == "pipeline") header += part.bytes;
    }
    EXPECT_EQ(sum, static_cast<std::int64_t>(bytes.size())) << preset.name;
    EXPECT_LE(header, 64) << preset.name;
  }
}

TEST(EspalierFile, IsWithinThreePercentOfTheEntropyOfItsModel) {
  for (const Preset& preset : presets()) {
    auto model = Model::create(preset_spec(preset.name, 1, 28, 28, 10), 1, nullptr);
    compress(*model, 1, true);
    std::vector<FilePart> parts;
    const auto bytes = save_espalier(*model, digits(10), "", &parts);
    double entropy = 0;
    for (const FilePart& part : parts) entropy += part.entropy_bytes;
    EXPECT_LE(static_cast<double>(bytes.size()), 1.03 * entropy) << preset.name;
    EXPECT_GE(static_cast<double>(bytes.size()), entropy) << preset.name;
  }
}

TEST(EspalierFile, RoundedBiasesAreSmaller) {
  auto model = small_model();
  const auto exact = save_espalier(*model, {}, "").size();
  for (const Node& node : model->graph.nodes) {
    if (!has_weights(node)) continue;
    real* bias = model->parameters.value.data() + bias_of(node)->offset;
    for (std::int64_t i = 0; i < bias_of(node)->size; ++i) bias[i] = std::round(bias[i] * 64) / 64;
  }
  const auto rounded = save_espalier(*model, {}, "");
  EXPECT_LE(rounded.size() + 6, exact);
  EXPECT_EQ(logits(*read(rounded).model, 1, 4), logits(*model, 1, 4));
}

TEST(EspalierFile, AFileCutAnywhereIsRefused) {
  const auto bytes = save_espalier(*small_model(), digits(3), "{}");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(error_of(std::span(bytes).first(size)), "") << size;
  }
}

TEST(EspalierFile, NoChangedByteIsRead) {
  const auto bytes = save_espalier(*small_model(), digits(3), "{}");
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      auto changed = bytes;
      changed[i] ^= static_cast<std::uint8_t>(1 << bit);
      EXPECT_NE(error_of(changed), "") << i;
    }
  }
  auto longer = bytes;
  longer.push_back(0);
  EXPECT_NE(error_of(longer).find("too long"), std::string::npos);
}

TEST(EspalierFile, ANewerVersionIsNamed) {
  auto bytes = save_espalier(*small_model(), {}, "");
  bytes[4] = 9;
  EXPECT_EQ(error_of(bytes),
            "is of version 9 of the format, but this Espalier reads version 1; use a newer one");
}

}  // namespace
}  // namespace espalier
