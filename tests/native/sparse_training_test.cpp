// Training on surviving weights alone against the masked dense step: the same bits, whatever the network, the
// threads and the width of the registers.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/digits.h"
#include "graph/executor.h"
#include "kernels/sparse_weights.h"
#include "ops/shapes.h"
#include "ops/weights.h"
#include "random_network.h"
#include "train/tables.h"
#include "train/trainer.h"

namespace espalier {
namespace {

// A network of masked weights, from very few to most of them.
std::unique_ptr<Model> pruned(const nlohmann::json& spec, std::uint64_t seed) {
  auto model = model_of(spec, seed);
  Random random = random_for(seed + 1000);
  model->parameters.mask.assign(static_cast<std::size_t>(model->graph.trainable_size), real{1});
  for (const Node& node : model->graph.nodes) {
    if (!has_weights(node)) continue;
    const double density = random.uniform(0, 0.6);
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
      const auto at = static_cast<std::size_t>(weight_of(node).offset + i);
      if (random.uniform() < density) continue;
      model->parameters.mask[at] = model->parameters.value[at] = 0;
    }
  }
  return model;
}

// Pruned as `pruned` does, but nothing says so: the weights are 0 and every loop is dense.
std::unique_ptr<Model> without_mask(const Model& model) {
  auto result = std::make_unique<Model>(model.graph);
  result->parameters.value = model.parameters.value;
  return result;
}

struct Step {
  double loss;
  aligned_vector<real> gradient;
};

// Of 37 images: a last block that is not full.
Step step(Model& model, const Kernels& kernels, int threads, bool masked_gradients = false) {
  constexpr int kImages = 37;
  ThreadPool pool(threads);
  Executor executor(model.graph, kernels, pool, {.training = true, .max_batch = kImages});
  executor.masked_gradients(masked_gradients);
  const int lanes = kernels.lanes, size = model.graph.input.shape.size();
  Random random = random_for(5);
  aligned_vector<real> images(static_cast<std::size_t>((kImages + lanes - 1) / lanes * lanes * size));
  std::vector<Target> targets;
  for (int n = 0; n < kImages; ++n) {
    for (int i = 0; i < size; ++i) {
      images[static_cast<std::size_t>((n / lanes * size + i) * lanes + n % lanes)] =
          static_cast<real>(random.uniform(-1, 1));
    }
    targets.push_back({static_cast<int>(random.below(static_cast<std::uint32_t>(model.graph.classes)))});
  }
  executor.prepare(model.parameters);
  const BatchResult result =
      executor.train({.images = images.data(), .targets = targets.data(), .count = kImages},
                     find_loss("softmax_cross_entropy").function, 0, model.parameters);
  return {result.loss, model.parameters.gradient};
}

int layers_on_survivors(const Model& model, const Kernels& kernels) {
  int count = 0;
  for (const Node& node : model.graph.nodes) {
    if (!has_weights(node)) continue;
    const real* mask = model.parameters.mask.data() + weight_of(node).offset;
    const auto kept = std::count(mask, mask + weight_of(node).size, real{1});
    const double density = static_cast<double>(kept) / static_cast<double>(weight_of(node).size);
    count += density < sparse_break_even(kernels, conv_shape(node)) ? 1 : 0;
  }
  return count;
}

class SparseTraining : public ::testing::TestWithParam<const Kernels*> {};

TEST_P(SparseTraining, has_the_bits_of_the_masked_dense_step_on_150_random_networks) {
  int sparse_layers = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    const nlohmann::json spec = NetworkGenerator(seed).spec();
    SCOPED_TRACE(spec.dump());
    const auto model = pruned(spec, seed);
    bool quantized = false;  // a grid without a zero gives weights without a mask other values
    for (const Node& node : model->graph.nodes) quantized |= node.attributes.quantize.scheme != nullptr;
    if (quantized) continue;
    sparse_layers += layers_on_survivors(*model, *GetParam());
    const auto dense = without_mask(*model);
    const Step expected = step(*dense, *GetParam(), 1);
    const Step all = step(*model, *GetParam(), 1, true);
    EXPECT_EQ(all.loss, expected.loss);
    ASSERT_EQ(all.gradient, expected.gradient);
    const int threads = 1 + static_cast<int>(seed % 3);
    const auto again = pruned(spec, seed);  // a step moves running means, which later steps round around
    const Step survivors = step(*again, *GetParam(), threads);
    EXPECT_EQ(survivors.loss, expected.loss);
    for (std::size_t i = 0; i < survivors.gradient.size(); ++i) {
      if (model->parameters.mask[i] != 0) ASSERT_EQ(survivors.gradient[i], expected.gradient[i]) << i;
    }
  }
  EXPECT_GT(sparse_layers, 100);
}

std::vector<real> trained(const Kernels& kernels, int threads, const char* preset) {
  const Dataset digits = synthetic_digits(160, 10, 3);
  const auto model = pruned(preset_spec(preset, 1, 28, 28, 10), 2);
  ThreadPool pool(threads);
  const TrainingConfig config{.epochs = 2, .batch_size = 64, .learning_rate = 0.01};
  Trainer trainer(*model, digits, config, kernels, pool);
  while (!trainer.done()) trainer.step();
  for (std::size_t i = 0; i < model->parameters.mask.size(); ++i) {
    if (model->parameters.mask[i] == 0)
      EXPECT_EQ(model->parameters.value[i], 0) << "a pruned weight came back";
  }
  return {model->parameters.value.begin(), model->parameters.value.end()};
}

TEST_P(SparseTraining, gives_the_same_weights_for_any_number_of_threads) {
  for (const char* preset : {"lenet5", "resnet"}) {
    const auto expected = trained(*GetParam(), 1, preset);
    EXPECT_EQ(trained(*GetParam(), 2, preset), expected) << preset;
    EXPECT_EQ(trained(*GetParam(), 3, preset), expected) << preset;
  }
}

TEST(SparseTrainingVariants, give_the_same_weights_in_every_fused_variant) {
  std::vector<real> expected;
  for (const Kernels* kernels : available_kernels()) {
    if (!kernels->fused) continue;
    const auto weights = trained(*kernels, 2, "lenet5");
    if (expected.empty()) expected = weights;
    EXPECT_EQ(weights, expected) << kernels->name;
  }
}

// Lists of weights follow the mask, not what they were made for.
TEST_P(SparseTraining, follows_a_mask_that_changes) {
  auto model = pruned(preset_spec("lenet5", 1, 28, 28, 10), 4);
  ThreadPool pool(2);
  const Dataset digits = synthetic_digits(64, 10, 3);
  Trainer trainer(*model, digits, {.epochs = 9, .batch_size = 64, .learning_rate = 0.01}, *GetParam(), pool);
  trainer.step();
  // As many weights, but others: each moves to the place behind it.
  auto& mask = model->parameters.mask;
  for (const Node& node : model->graph.nodes) {
    if (!has_weights(node)) continue;
    const auto begin = mask.begin() + static_cast<std::ptrdiff_t>(weight_of(node).offset);
    std::rotate(begin, begin + weight_of(node).size - 1, begin + weight_of(node).size);
  }
  for (std::size_t i = 0; i < mask.size(); ++i) model->parameters.value[i] *= mask[i];
  const auto copy = std::make_unique<Model>(model->graph);
  copy->parameters = model->parameters;
  trainer.step();
  Trainer fresh(*copy, digits, {.epochs = 9, .batch_size = 64, .learning_rate = 0.01}, *GetParam(), pool);
  fresh.restore(1);
  fresh.moments(0) = trainer.moments(0);
  EXPECT_EQ(model->parameters.gradient.size(), copy->parameters.gradient.size());
  fresh.step();
  EXPECT_EQ(model->parameters.gradient, copy->parameters.gradient);
}

INSTANTIATE_TEST_SUITE_P(Variants, SparseTraining,
                         ::testing::ValuesIn(available_kernels().begin(), available_kernels().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace espalier
