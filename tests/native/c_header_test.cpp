// The C export: it compiles without a warning, and its classes are the engine's.
#include "io/c_header.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ops/weights.h"
#include "random_network.h"
#include "train/trainer.h"

namespace espalier {
namespace {

constexpr int kImages = 40;

// What the header says to `pixels`, compiled with the system's compiler.
std::vector<int> classes_in_c(const Model& model, const std::vector<std::uint8_t>& pixels) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) /
      ("espalier-c-" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "net.h") << save_c(model, "net");
  std::ofstream(folder / "main.c")
      << "#include \"net.h\"\n#include <stdio.h>\nint main(void) {\n  static unsigned char "
         "pixels[NET_PIXELS];\n  while (fread(pixels, 1, NET_PIXELS, stdin) == NET_PIXELS) "
         "printf(\"%d\\n\", net_class(pixels));\n  return 0;\n}\n";
  std::ofstream(folder / "images", std::ios::binary)
      .write(reinterpret_cast<const char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
  const std::string command =
      "cd '" + folder.string() +
      "' && cc -std=c99 -O1 -Wall -Wextra -Wconversion -pedantic -Werror main.c -o net -lm && "
      "./net < images > classes";
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::ifstream file(folder / "classes");
  std::vector<int> classes;
  for (int c = 0; file >> c;) classes.push_back(c);
  return classes;
}

void expect_same_classes(const Model& model, std::uint64_t seed) {
  Random random = random_for(seed);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kImages * model.graph.input.shape.size()));
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  const auto wanted = static_cast<std::size_t>(model.graph.classes);
  std::vector<real> shares(kImages * wanted);
  ThreadPool pool(1);
  Predictor(model, select_kernels("auto"), pool).predict(pixels.data(), kImages, shares.data());
  std::vector<int> expected;
  for (std::size_t i = 0; i < kImages; ++i) {
    const auto first = shares.begin() + static_cast<std::ptrdiff_t>(i * wanted);
    expected.push_back(
        static_cast<int>(std::max_element(first, first + static_cast<std::ptrdiff_t>(wanted)) - first));
  }
  EXPECT_EQ(classes_in_c(model, pixels), expected);
}

TEST(CHeader, PresetsGiveTheSameClasses) {
  if (std::system("cc --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "there is no C compiler";
  for (const char* preset : {"small", "resnet", "mobile"}) {
    expect_same_classes(*model_of(preset_spec(preset, 1, 28, 28, 10)), 1);
  }
}

TEST(CHeader, PackedWeightsGiveTheSameClasses) {
  if (std::system("cc --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "there is no C compiler";
  for (const int bits : {4, 8}) {
    nlohmann::json spec = preset_spec("small", 1, 28, 28, 10);
    for (auto& layer : spec["layers"]) {
      if (layer["type"] == "dense") layer["quantize"] = {{"scheme", "symmetric"}, {"bits", bits}};
    }
    auto model = model_of(spec);
    for (const Node& node : model->graph.nodes) {
      if (!has_weights(node)) continue;
      const ParameterInfo& weight = weight_of(node);
      auto& mask = model->parameters.mask;
      if (bits == 4) {  // sparse
        mask.resize(static_cast<std::size_t>(model->graph.trainable_size), real{1});
        for (std::int64_t i = 0; i < weight.size; ++i)
          mask[static_cast<std::size_t>(weight.offset + i)] = i % 4 ? 0 : 1;
      }
      if (node.attributes.quantize.scheme)
        fit_weights(node, RangeMethod::kMinMax, model->parameters.value.data());
    }
    expect_same_classes(*model, 2);
  }
}

}  // namespace
}  // namespace espalier
