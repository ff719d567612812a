// The C export: it compiles without a warning, and its logits are those of the packed runtime, bit for bit.
#include "io/c_header.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "compress/fold_batch_norm.h"
#include "compress/quantize/rewrite.h"
#include "compress/share.h"
#include "ops/weights.h"
#include "random_network.h"
#include "runtime/packed_model.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr int kImages = 12;

struct Case {
  std::string what;
  std::unique_ptr<Model> model;
};

// Weights on grids of `scheme` and features of `bits` bits, or floats where it is null; a share is pruned.
Case compressed(const std::string& preset, const char* scheme, int weight_bits, double pruned) {
  const auto start = model_of(preset_spec(preset, 1, 28, 28, 10), 3);
  const auto folded = fold_batch_norm(*start);
  std::vector<WeightQuantization> weights(folded->graph.nodes.size());
  for (WeightQuantization& q : weights) q = {.scheme = find_scheme(scheme), .bits = weight_bits};
  auto model = rewritten(*folded, quantized_spec(folded->graph, weights, 8, false));
  Random random = random_for(4);
  Parameters& p = model->parameters;
  if (pruned > 0) p.mask.assign(static_cast<std::size_t>(model->graph.trainable_size), real{1});
  for (const Node& node : model->graph.nodes) {
    if (node.op == &kFakeQuantize) {
      p.value[static_cast<std::size_t>(node.parameters[0].offset)] =
          static_cast<real>(random.uniform(1, 4) / 256);
      p.value[static_cast<std::size_t>(node.parameters[1].offset)] = static_cast<real>(random.below(100));
    }
    if (!has_weights(node)) continue;
    const ParameterInfo& weight = weight_of(node);
    for (std::int64_t i = weight.offset; i < weight.offset + weight.size; ++i) {
      if (random.uniform() >= pruned) continue;
      p.mask[static_cast<std::size_t>(i)] = 0;
      p.value[static_cast<std::size_t>(i)] = 0;
    }
    if (!node.attributes.quantize.scheme) continue;
    if (node.attributes.quantize.scheme->codebook) {
      share_weights(node, CodebookStart::kLinear, 1, p.value.data(),
                    p.mask.empty() ? nullptr : p.mask.data());
    } else {
      fit_weights(node, RangeMethod::kMinMax, p.value.data());
    }
  }
  return {preset + ", " + scheme + (pruned > 0 ? ", pruned" : ""), std::move(model)};
}

std::vector<std::uint8_t> images_for(const Model& model) {
  Random random = random_for(5);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kImages * model.graph.input.shape.size()));
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  return pixels;
}

bool has(const std::string& compiler) {
  return std::system((compiler + " --version > /dev/null 2>&1").c_str()) == 0;
}

// One program with all headers, by each compiler that is here.
void expect_the_same_logits(const std::vector<Case>& cases) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) /
      ("espalier-c-" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
  std::filesystem::create_directories(folder);
  std::ofstream program(folder / "main.c");
  std::string calls;
  std::ofstream images(folder / "images", std::ios::binary);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::string name = "net" + std::to_string(i), upper = "NET" + std::to_string(i);
    std::ofstream(folder / (name + ".h")) << save_c(*cases[i].model, name);
    program << "#include \"" << name << ".h\"\n";
    calls += "  for (i = 0; i < " + std::to_string(kImages) + "; ++i) {\n    float logits[" + upper +
             "_CLASSES];\n    if (fread(pixels, 1, " + upper + "_PIXELS, stdin) != " + upper +
             "_PIXELS) return 1;\n    " + name +
             "_logits(pixels, logits);\n    fwrite(logits, sizeof logits, 1, stdout);\n"
             "    if (logits[" +
             name + "_class(pixels)] < logits[0]) return 2;\n  }\n";
    const auto pixels = images_for(*cases[i].model);
    images.write(reinterpret_cast<const char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
  }
  program << "#include <stdio.h>\nint main(void) {\n  static unsigned char pixels[4096];\n  int i;\n"
          << calls << "  return 0;\n}\n";
  program.close();
  images.close();
  bool any = false;
  for (const std::string compiler : {"gcc", "clang-19"}) {
    if (!has(compiler)) continue;
    any = true;
    const std::string command =
        "cd '" + folder.string() + "' && " + compiler +
        " -std=c99 -O1 -ffp-contract=off -Wall -Wextra -Wpedantic -Wconversion -Werror main.c "
        "-o net -lm && ./net < images > logits";
    ASSERT_EQ(std::system(command.c_str()), 0) << compiler;
    std::ifstream file(folder / "logits", std::ios::binary);
    for (const Case& one : cases) {
      const std::size_t count = static_cast<std::size_t>(kImages * one.model->graph.classes);
      std::vector<float> in_c(count);
      file.read(reinterpret_cast<char*>(in_c.data()), static_cast<std::streamsize>(count * sizeof(float)));
      ThreadPool pool(1);
      PackedModel packed(*one.model, select_kernels("plain"), pool);
      std::vector<real> logits(count);
      packed.infer(images_for(*one.model).data(), kImages, logits.data());
      const std::vector<float> expected(logits.begin(), logits.end());
      EXPECT_EQ(in_c, expected) << one.what << ", " << compiler;
    }
  }
  if (!any) GTEST_SKIP() << "there is no C compiler";
}

TEST(CHeader, IntegerModelsGiveTheLogitsOfThePackedRuntime) {
  std::vector<Case> cases;
  for (const char* preset : {"small", "mobile", "resnet", "lenet-300-100"}) {
    cases.push_back(compressed(preset, "symmetric", 8, 0));
  }
  cases.push_back(compressed("small", "symmetric", 4, 0.9));
  cases.push_back(compressed("small", "symmetric", 8, 0.97));
  cases.push_back(compressed("small", "ternary", 2, 0));
  cases.push_back(compressed("small", "binary", 1, 0));
  cases.push_back(compressed("mobile", "binary", 1, 0.5));
  expect_the_same_logits(cases);
}

TEST(CHeader, ModelsOfNumbersGiveTheLogitsOfThePackedRuntime) {
  std::vector<Case> cases;
  for (const char* preset : {"small", "mobile", "resnet"}) {
    cases.push_back({preset, model_of(preset_spec(preset, 1, 28, 28, 10), 3)});
  }
  cases.push_back(compressed("small", "codebook", 4, 0));
  cases.push_back(compressed("small", "codebook", 4, 0.9));
  cases.push_back(compressed("small", "article", 3, 0));
  cases.push_back(compressed("lenet-300-100", "affine", 8, 0.95));
  expect_the_same_logits(cases);
}

TEST(CHeader, RandomNetworksGiveTheLogitsOfThePackedRuntime) {
  std::vector<Case> cases;
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    const json spec = NetworkGenerator(seed).spec();
    bool library = false;  // tanh and sigmoid are the C library's
    for (const json& layer : spec["layers"]) library |= layer["type"] == "tanh" || layer["type"] == "sigmoid";
    if (!library) cases.push_back({spec.dump(), model_of(spec, seed)});
  }
  ASSERT_GE(cases.size(), 20u);
  expect_the_same_logits(cases);
}

TEST(CHeader, PackedWeightsTakeTheirBits) {
  const auto size = [](const Case& one) { return save_c(*one.model, "net").size(); };
  const auto bytes = size(compressed("lenet-300-100", "symmetric", 8, 0));
  // A byte is about 3.5 letters.
  EXPECT_LT(size(compressed("lenet-300-100", "symmetric", 4, 0)) * 16, bytes * 9);
  EXPECT_LT(size(compressed("lenet-300-100", "ternary", 2, 0)) * 16, bytes * 5);
  EXPECT_LT(size(compressed("lenet-300-100", "binary", 1, 0)) * 16, bytes * 3);
  EXPECT_LT(size(compressed("lenet-300-100", "symmetric", 4, 0.95)) * 16, bytes * 3);
}

}  // namespace
}  // namespace espalier
