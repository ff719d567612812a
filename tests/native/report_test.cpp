// Sizes of compressed models, counted by hand, and the report as table, CSV and JSON.
#include "compress/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/random.h"
#include "graph/graph.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

std::unique_ptr<Model> model_of(const std::string& layers) {
  const json spec = json::parse(R"({"name": "hand", "input": {"channels": 1, "height": 6, "width": 6},
                                    "classes": 3, "layers": [)" +
                                layers + "]}");
  auto model = std::make_unique<Model>(compile(spec));
  initialize(model->graph, 1, model->parameters);
  return model;
}

const Node& node_of(const Model& model, const std::string& name) {
  for (const Node& node : model.graph.nodes) {
    if (node.name == name) return node;
  }
  throw std::out_of_range(name);
}

const ParameterInfo& tensor_of(const Model& model, const std::string& name) {
  for (const ParameterInfo* info : model.graph.parameters()) {
    if (info->name == name) return *info;
  }
  throw std::out_of_range(name);
}

real* values_of(Model& model, const std::string& name) {
  return model.parameters.value.data() + tensor_of(model, name).offset;
}

// Masks the first `count` numbers of a tensor.
void prune_first(Model& model, const std::string& name, std::int64_t count) {
  auto& mask = model.parameters.mask;
  if (mask.empty()) mask.assign(static_cast<std::size_t>(model.graph.trainable_size), real{1});
  const auto first = static_cast<std::size_t>(tensor_of(model, name).offset);
  for (std::size_t i = first; i < first + static_cast<std::size_t>(count); ++i) {
    mask[i] = 0;
    model.parameters.value[i] = 0;
  }
}

const LayerSize& layer_of(const ModelSize& size, const std::string& name) {
  for (const LayerSize& layer : size.layers) {
    if (layer.name == name) return layer;
  }
  throw std::out_of_range(name);
}

void expect_size(const LayerSize& size, std::int64_t parameters, std::int64_t nonzeros, int bits,
                 std::int64_t bytes, std::int64_t macs) {
  SCOPED_TRACE(size.name);
  EXPECT_EQ(size.parameters, parameters);
  EXPECT_EQ(size.nonzeros, nonzeros);
  EXPECT_EQ(size.bits, bits);
  EXPECT_EQ(size.bytes, bytes);
  EXPECT_EQ(size.macs, macs);
}

constexpr const char* kConv = R"({"type": "conv", "name": "c", "out_channels": 4, "kernel": 3)";

// conv 6x6 -> 4x4x4: 36 weights, 4 biases; dense 64 -> 3: 192 weights, 3 biases.
std::string small_net(const std::string& conv_quantize, const std::string& dense_quantize) {
  const auto field = [](const std::string& quantize) {
    return quantize.empty() ? std::string("}") : R"(, "quantize": )" + quantize + "}";
  };
  return kConv + field(conv_quantize) +
         R"(, {"type": "flatten"}, {"type": "dense", "name": "d", "units": 3)" + field(dense_quantize);
}

TEST(Report, AFloatModelTakesFourBytesANumber) {
  const auto model = model_of(small_net("", ""));
  const ModelSize size = measure(*model);
  ASSERT_EQ(size.layers.size(), 2u);
  // Biases start at 0.
  expect_size(size.layers[0], 40, 36, 32, 40 * 4, 16 * 36);
  expect_size(size.layers[1], 195, 192, 32, 195 * 4, 192);
  expect_size(size.total, 235, 228, 32, 235 * 4, 16 * 36 + 192);
  EXPECT_EQ(size.layers[0].type, "conv");
  EXPECT_EQ(size.total.name, "total");
}

TEST(Report, PrunedWeightsTakeABitEachOrAreStoredAsZeros) {
  const auto model = model_of(small_net("", ""));
  prune_first(*model, "c.weight", 1);    // 35 floats and 36 bits: 140 + 5 bytes are more than 36 floats
  prune_first(*model, "d.weight", 150);  // 42 floats and 192 bits
  const ModelSize size = measure(*model);
  expect_size(size.layers[0], 40, 35, 32, 36 * 4 + 4 * 4, 16 * 36);
  expect_size(size.layers[1], 195, 42, 32, 42 * 4 + 24 + 3 * 4, 192);
  EXPECT_EQ(size.total.nonzeros, 77);
}

TEST(Report, QuantizedWeightsTakeTheirBitsAndTheirGrids) {
  const auto model =
      model_of(small_net(R"({"scheme": "symmetric", "bits": 3, "granularity": "channel"})",
                         R"({"scheme": "affine", "bits": 5, "granularity": "group", "group_size": 24})"));
  for (const char* name : {"c", "d"}) {
    fit_weights(node_of(*model, name), RangeMethod::kMinMax, model->parameters.value.data());
  }
  std::fill_n(values_of(*model, "c.bias"), 4, real{1});
  prune_first(*model, "d.weight", 64);
  ModelSize size = measure(*model);
  // 36 codes of 3 bits are 13.5 bytes; a scale for each of 4 channels; 4 biases.
  EXPECT_EQ(size.layers[0].bytes, 14 + 4 * 4 + 4 * 4);
  EXPECT_EQ(size.layers[0].bits, 3);
  EXPECT_EQ(size.layers[0].parameters, 40);
  // 192 codes of 5 bits with zeros: 120 bytes; 128 codes and 192 bits: 80 + 24. Three rows of 64 in groups
  // of 24, 24 and 16, each with a scale and a zero point; 3 biases.
  EXPECT_EQ(size.layers[1].bytes, 104 + 9 * 8 + 3 * 4);
  EXPECT_EQ(size.layers[1].bits, 5);
  EXPECT_EQ(size.layers[1].parameters, 195);
  // (36 · 3 + 192 · 5) / 228 = 4.68
  EXPECT_EQ(size.total.bits, 5);
  EXPECT_EQ(size.total.bytes, size.layers[0].bytes + size.layers[1].bytes);
}

TEST(Report, NonzerosAreThoseThatTheLayerComputesWith) {
  const auto model =
      model_of(small_net(R"({"scheme": "symmetric", "bits": 2, "granularity": "tensor"})", ""));
  // Codes -1, 0, 1 at scale 1: of 36 weights, 30 round to 0.
  real* weight = values_of(*model, "c.weight");
  for (int i = 0; i < 36; ++i) weight[i] = i % 6 == 0 ? real{1} : real(0.25);
  values_of(*model, "c.weight_scale")[0] = 1;
  EXPECT_EQ(measure(*model).layers[0].nonzeros, 6);
  prune_first(*model, "c.weight", 12);
  EXPECT_EQ(measure(*model).layers[0].nonzeros, 4);
}

TEST(Report, AGridWithoutZeroNeedsTheBitsThatTellWhichAreLeft) {
  const auto model = model_of(small_net("", R"({"scheme": "binary", "bits": 1, "granularity": "tensor"})"));
  fit_weights(node_of(*model, "d"), RangeMethod::kMinMax, model->parameters.value.data());
  EXPECT_EQ(measure(*model).layers[1].bytes, 24 + 4 + 3 * 4);
  prune_first(*model, "d.weight", 100);
  const LayerSize size = measure(*model).layers[1];
  EXPECT_EQ(size.bytes, 12 + 24 + 4 + 3 * 4);  // 92 signs, though 192 signs would be fewer bytes
  EXPECT_EQ(size.nonzeros, 92);
  EXPECT_EQ(size.bits, 1);
}

TEST(Report, ACodebookTakesItsCodesAndItsLevels) {
  const auto model = model_of(small_net("", R"({"scheme": "codebook", "bits": 4, "granularity": "tensor"})"));
  real* levels = values_of(*model, "d.weight_codebook");
  real* index = values_of(*model, "d.weight_index");
  for (int i = 0; i < 16; ++i) levels[i] = static_cast<real>(i);
  for (int i = 0; i < 192; ++i) index[i] = static_cast<real>(i % 16);
  ModelSize size = measure(*model);
  // 192 codes of 4 bits, 16 levels, 3 biases; level 0 is 0.
  expect_size(size.layers[1], 195, 180, 4, 96 + 64 + 12, 192);
  prune_first(*model, "d.weight", 96);
  size = measure(*model);
  expect_size(size.layers[1], 195, 90, 4, 48 + 24 + 64 + 12, 192);
}

TEST(Report, BatchNormCountsWithItsRunningStatisticsAndFakeQuantizeOnlyInTheTotal) {
  const auto model = model_of(std::string(kConv) + R"(, "bias": false}, {"type": "batch_norm", "name": "b"},
      {"type": "fake_quantize", "name": "q", "learned": true}, {"type": "relu"}, {"type": "flatten"},
      {"type": "dense", "name": "d", "units": 3})");
  const ModelSize size = measure(*model);
  ASSERT_EQ(size.layers.size(), 3u);
  expect_size(layer_of(size, "c"), 36, 36, 32, 144, 16 * 36);
  const LayerSize& norm = layer_of(size, "b");
  EXPECT_EQ(norm.parameters, 8);  // factors, which are 1, and offsets, which are 0
  EXPECT_EQ(norm.nonzeros, 4);
  EXPECT_EQ(norm.bytes, 16 * 4);
  EXPECT_EQ(size.total.parameters, 36 + 8 + 195);
  EXPECT_EQ(size.total.bytes, 144 + 64 + 195 * 4 + 8);
}

TEST(Report, RevivedWeightsAreCounted) {
  const auto model = model_of(small_net("", ""));
  EXPECT_EQ(revived_weights(*model), 0);
  prune_first(*model, "d.weight", 20);
  EXPECT_EQ(revived_weights(*model), 0);
  values_of(*model, "d.weight")[3] = real(0.5);
  values_of(*model, "d.weight")[4] = real(-0.5);
  EXPECT_EQ(revived_weights(*model), 2);
}

// --- texts ---

LayerSize layer(const std::string& name, std::int64_t parameters, std::int64_t nonzeros, int bits,
                std::int64_t bytes, std::int64_t macs) {
  return {name, "conv", parameters, nonzeros, bits, bytes, macs};
}

Report report_of_factorizing() {
  Report report;
  report.pass = "factorize";
  report.model = "hand";
  report.seed = 7;
  report.before = {{layer("a", 1200, 1200, 32, 4800, 9000), layer("b", 80, 80, 32, 320, 100)},
                   layer("total", 1280, 1280, 32, 5120, 9100)};
  report.after = {{layer("a.1", 300, 300, 32, 1200, 2000), layer("a.2", 400, 400, 32, 1600, 3000),
                   layer("b", 80, 40, 32, 200, 100)},
                  layer("total", 780, 740, 32, 3000, 5100)};
  report.accuracy_before = {0.98765, 0.5};
  report.accuracy_control = {0.99, 1};
  report.finetune_epochs = 2;
  report.notes = {{"rank", "a 4, b 2"}, {"rank", "twice"}};
  return report;
}

TEST(Report, TheTableShowsEachLayerBeforeAndAfter) {
  EXPECT_EQ(to_table(report_of_factorizing()),
            "layer       type    parameters     non-zeros     bits           bytes   multiply-adds\n"
            "a           conv    1,200 -> -    1,200 -> -  32 -> -      4,800 -> -      9,000 -> -\n"
            "a.1         conv      - -> 300      - -> 300  - -> 32      - -> 1,200      - -> 2,000\n"
            "a.2         conv      - -> 400      - -> 400  - -> 32      - -> 1,600      - -> 3,000\n"
            "b           conv            80      80 -> 40       32      320 -> 200             100\n"
            "total             1,280 -> 780  1,280 -> 740       32  5,120 -> 3,000  9,100 -> 5,100\n"
            "smaller by                1.6x          1.7x                     1.7x            1.8x\n"
            "\n"
            "accuracy                       validation      test\n"
            "before                            98.77 %   50.00 %\n"
            "control, trained for 2 epochs     99.00 %  100.00 %\n"
            "\n"
            "rank  a 4, b 2\n"
            "rank  twice\n");
}

TEST(Report, TheCsvHasARowForEachLayerAndTheTotal) {
  Report report = report_of_factorizing();
  report.before.layers[1].name = report.after.layers[2].name = "b, \"2\"";
  report.before.total.type = report.after.total.type = "";
  EXPECT_EQ(to_csv(report),
            "layer,type,parameters_before,parameters_after,nonzeros_before,nonzeros_after,bits_before,"
            "bits_after,bytes_before,bytes_after,macs_before,macs_after\n"
            "a,conv,1200,,1200,,32,,4800,,9000,\n"
            "a.1,conv,,300,,300,,32,,1200,,2000\n"
            "a.2,conv,,400,,400,,32,,1600,,3000\n"
            "\"b, \"\"2\"\"\",conv,80,80,80,40,32,32,320,200,100,100\n"
            "total,,1280,780,1280,740,32,32,5120,3000,9100,5100\n");
}

TEST(Report, TheJsonHasWhatThereIs) {
  const json object = to_json(report_of_factorizing());
  EXPECT_EQ(object["pass"], "factorize");
  EXPECT_EQ(object["seed"], 7);
  EXPECT_EQ(object["before"]["layers"].size(), 2u);
  EXPECT_EQ(object["after"]["layers"][1],
            json::parse(R"({"name": "a.2", "type": "conv", "parameters": 400, "nonzeros": 400, "bits": 32,
                            "bytes": 1600, "macs": 3000})"));
  EXPECT_EQ(object["after"]["total"]["bytes"], 3000);
  EXPECT_EQ(object["accuracy_before"]["validation"], 0.98765);
  EXPECT_EQ(object["accuracy_control"]["test"], 1.0);
  EXPECT_FALSE(object.contains("accuracy_after"));
  EXPECT_FALSE(object.contains("source_before"));
  EXPECT_EQ(object["finetune_epochs"], 2);
  EXPECT_EQ(object["revived"], 0);
  EXPECT_EQ(object["notes"]["rank"], "a 4, b 2; twice");
}

TEST(Report, TheTableFitsIntoATerminalWhateverTheNumbers) {
  Random random(1, RandomStream::kDigits);
  for (int round = 0; round < 500; ++round) {
    const auto number = [&] {
      std::int64_t most = 1;
      for (auto digits = random.below(14); digits > 0; --digits) most *= 10;
      return static_cast<std::int64_t>(random.uniform() * static_cast<double>(most));
    };
    const auto size = [&] {
      ModelSize model;
      for (auto count = random.below(6); count > 0; --count) {
        model.layers.push_back(layer(std::string(random.below(60) + 1, static_cast<char>('a' + count)),
                                     number(), number(), static_cast<int>(random.below(32)) + 1, number(),
                                     number()));
        model.layers.back().type = "batch_norm";
      }
      model.total = layer("total", number(), number(), 32, number(), number());
      return model;
    };
    Report report;
    report.pass = "prune";
    report.before = size();
    report.after = size();
    report.notes = {{std::string(random.below(100), 'n'), std::string(random.below(400), 'w')},
                    {"note", "some words " + std::string(random.below(200), ' ') + "and more of them"}};
    const std::string table = to_table(report);
    for (std::size_t at = 0; at < table.size();) {
      const std::size_t end = table.find('\n', at);
      ASSERT_NE(end, std::string::npos);
      ASSERT_LE(end - at, 110u) << table;
      at = end + 1;
    }
  }
}

}  // namespace
}  // namespace espalier
