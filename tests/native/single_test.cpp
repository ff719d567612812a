// One image by itself: the kernels for single images give the bits of the kernels for blocks, on every layer
// of every kind of network.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/random.h"
#include "data/digits.h"
#include "graph/executor.h"
#include "random_network.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

class SingleImage : public ::testing::TestWithParam<const Kernels*> {};

std::vector<real> value_of(const Executor& executor, const Graph& graph, int value) {
  std::vector<real> numbers(static_cast<std::size_t>(graph.value_shape(value).size()));
  executor.copy_value(value, 0, numbers.data());
  return numbers;
}

// Every feature map of one random image, and the outputs where layers share memory.
void expect_same_bits(const Model& model, const Kernels& kernels, std::uint64_t seed) {
  const Graph& graph = model.graph;
  const auto size = static_cast<std::size_t>(graph.input.shape.size());
  const auto lanes = static_cast<std::size_t>(kernels.lanes);
  aligned_vector<real> image((size + 15) / 16 * 16), block(size * lanes);
  Random random(seed, RandomStream::kInitialization, 1 << 21);
  for (std::size_t i = 0; i < size; ++i) {
    image[i] = block[i * lanes] = static_cast<real>(random.uniform(-1.5, 1.5));
  }
  ThreadPool pool(1);
  Executor in_lanes(graph, kernels, pool, {.max_batch = 1, .keep_values = true});
  Executor single(graph, *kernels.single, pool, {.max_batch = 1, .keep_values = true});
  Executor sharing(graph, *kernels.single, pool, {.max_batch = 1});
  std::vector<real> expected(static_cast<std::size_t>(graph.classes)), logits(expected), shared(expected);
  in_lanes.prepare(model.parameters);
  single.prepare(model.parameters);
  sharing.prepare(model.parameters);
  in_lanes.infer({.images = block.data(), .count = 1}, expected.data());
  single.infer({.images = image.data(), .count = 1}, logits.data());
  sharing.infer({.images = image.data(), .count = 1}, shared.data());
  for (const Node& node : graph.nodes) {
    const int value = static_cast<int>(node.index) + 1;
    const std::vector<real> wanted = value_of(in_lanes, graph, value);
    const std::vector<real> found = value_of(single, graph, value);
    ASSERT_EQ(std::memcmp(wanted.data(), found.data(), wanted.size() * sizeof(real)), 0)
        << node.name << ", " << node.op->name << ", to " << to_string(node.out_shape);
  }
  ASSERT_EQ(expected, logits);
  ASSERT_EQ(expected, shared);
}

TEST_P(SingleImage, has_the_bits_of_a_block_on_every_preset) {
  for (const Preset& preset : presets()) {
    SCOPED_TRACE(preset.name);
    const auto model = model_of(preset_spec(std::string(preset.name), 1, 28, 28, 10), 5);
    ASSERT_NO_FATAL_FAILURE(expect_same_bits(*model, *GetParam(), 5));
  }
}

TEST_P(SingleImage, has_the_bits_of_a_block_on_200_random_networks) {
  for (std::uint64_t seed = 1001; seed <= 1200; ++seed) {
    const json spec = NetworkGenerator(seed).spec();
    SCOPED_TRACE(spec.dump());
    ASSERT_NO_FATAL_FAILURE(expect_same_bits(*model_of(spec, seed), *GetParam(), seed));
  }
}

TEST_P(SingleImage, is_predicted_with_the_same_bits_alone_in_a_few_and_in_many) {
  const Dataset digits = synthetic_digits(10, 20, 1);
  for (const char* preset : {"small", "mobile"}) {
    const auto model = model_of(preset_spec(preset, 1, 28, 28, 10), 2);
    ThreadPool pool(2);
    Predictor predictor(*model, *GetParam(), pool);
    std::vector<real> many(200), some(200);
    predictor.predict(digits.test.images.data(), 20, many.data());
    for (int first = 0, count = 1; first < 20; first += count, count = count % 4 + 1) {
      count = std::min(count, 20 - first);
      predictor.predict(digits.test.images.data() + first * 784, count, some.data() + first * 10);
    }
    EXPECT_EQ(some, many);
  }
}

TEST_P(SingleImage, follows_the_weights) {
  const Dataset digits = synthetic_digits(10, 10, 1);
  const auto model = model_of(preset_spec("lenet5", 1, 28, 28, 10), 3);
  ThreadPool pool(1);
  Predictor predictor(*model, *GetParam(), pool);
  std::vector<real> before(10), after(10), fresh(10);
  predictor.predict(digits.test.images.data(), 1, before.data());
  for (real& value : model->parameters.value) value *= real(0.9);
  predictor.prepare();
  predictor.predict(digits.test.images.data(), 1, after.data());
  Predictor(*model, *GetParam(), pool).predict(digits.test.images.data(), 1, fresh.data());
  EXPECT_NE(before, after);
  EXPECT_EQ(after, fresh);
}

INSTANTIATE_TEST_SUITE_P(Variants, SingleImage,
                         ::testing::ValuesIn(available_kernels().begin(), available_kernels().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace espalier
