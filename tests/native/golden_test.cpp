// Three small networks against PyTorch: forward, loss, every gradient, and ten steps of each
// optimizer (tests/golden/make_golden.py made the values, in double).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/math.h"
#include "train/layers.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

json golden(const std::string& name) {
  std::ifstream file(std::string(ESPALIER_SOURCE_DIR) + "/tests/golden/" + name + ".json");
  return json::parse(file);
}

// A network with golden weights and the batch, in lanes.
struct Network {
  const Kernels& kernels;
  Model model;
  aligned_vector<real> images;
  std::vector<Target> targets;
  Batch batch;

  Network(const json& values, const Kernels& with) : kernels(with), model(compile(values["spec"])) {
    for (const ParameterInfo* info : model.graph.parameters()) {
      const auto data = values["initial"].at(info->name)["data"].get<std::vector<real>>();
      EXPECT_EQ(static_cast<std::int64_t>(data.size()), info->size) << info->name;
      std::copy(data.begin(), data.end(), model.parameters.value.begin() + info->offset);
    }
    const int count = values["batch"]["count"], size = model.graph.input.shape.size(), lanes = kernels.lanes;
    images.resize(static_cast<std::size_t>((count + lanes - 1) / lanes * lanes * size));
    for (int n = 0; n < count; ++n) {
      targets.push_back({.label = values["batch"]["labels"][static_cast<std::size_t>(n)]});
      for (int i = 0; i < size; ++i) {
        images[static_cast<std::size_t>((n / lanes * size + i) * lanes + n % lanes)] =
            values["batch"]["images"][static_cast<std::size_t>(n * size + i)];
      }
    }
    batch = {.images = images.data(), .targets = targets.data(), .count = count};
  }
};

void expect_near(const real* found, const json& tensor, const std::string& name, double tolerance) {
  const auto expected = tensor["data"].get<std::vector<double>>();
  double largest = 1e-2;
  for (const double x : expected) largest = std::max(largest, std::abs(x));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(found[i], expected[i], tolerance * largest) << name << "[" << i << "]";
  }
}

class Golden : public ::testing::TestWithParam<std::tuple<const char*, std::string>> {
 protected:
  const json values_ = golden(std::get<0>(GetParam()));
  const Kernels& kernels_ = select_kernels(std::get<1>(GetParam()));
  ThreadPool pool_{2};
};

// Float sums of some hundred products: PyTorch's own float differs from these by up to 6e-6 of the
// largest gradient and 5e-7 of the largest weight.
TEST_P(Golden, loss_and_gradients_match_pytorch) {
  Network setup(values_, kernels_);
  Executor executor(setup.model.graph, kernels_, pool_, {.training = true, .max_batch = setup.batch.count});
  executor.prepare(setup.model.parameters);
  const BatchResult result =
      executor.train(setup.batch, find_loss("softmax_cross_entropy").function, 0, setup.model.parameters);
  EXPECT_NEAR(result.loss, values_["loss"].get<double>(), 2e-6);
  for (const ParameterInfo* info : setup.model.graph.parameters()) {
    if (!info->trainable) continue;
    expect_near(setup.model.parameters.gradient.data() + info->offset, values_["gradients"].at(info->name),
                info->name, 3e-5);
  }
}

TEST_P(Golden, ten_steps_of_each_optimizer_match_pytorch) {
  for (const json& run : values_["optimizers"]) {
    Network setup(values_, kernels_);
    Executor executor(setup.model.graph, kernels_, pool_, {.training = true, .max_batch = setup.batch.count});
    const std::string name = run["optimizer"];
    const double rate = run["learning_rate"];
    TrainingConfig config{.optimizer = name};
    config.momentum = run["momentum"];
    config.beta2 = run["beta2"];
    config.weight_decay = run["weight_decay"];
    config.clip_norm = run["clip_norm"];
    Optimizer optimizer(setup.model.graph, config, layer_rates(setup.model.graph, config), kernels_, pool_);
    for (int step = 0; step < 10; ++step) {
      executor.prepare(setup.model.parameters);
      const BatchResult result =
          executor.train(setup.batch, find_loss(run["loss"].get<std::string>()).function,
                         run["label_smoothing"].get<double>(), setup.model.parameters);
      EXPECT_NEAR(result.loss, run["losses"][static_cast<std::size_t>(step)].get<double>(), 1e-5)
          << name << " step " << step;
      optimizer.update(setup.model.parameters, step, rate, optimizer.gradient_norm(setup.model.parameters));
    }
    for (const ParameterInfo* info : setup.model.graph.parameters()) {
      expect_near(setup.model.parameters.value.data() + info->offset, run["final"].at(info->name),
                  name + " " + info->name, 2e-5);
    }
  }
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Networks, Golden,
                         ::testing::Combine(::testing::Values("chain", "residual", "depthwise"),
                                            ::testing::ValuesIn(kernel_names())),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

// Only the network without batch norm: the others' logits in training mode are seen through their losses.
TEST(GoldenLogits, match_pytorch_on_every_kernel) {
  const json values = golden("chain");
  ThreadPool pool(1);
  for (const Kernels* kernels : available_kernels()) {
    Network setup(values, *kernels);
    Executor executor(setup.model.graph, *kernels, pool, {.max_batch = setup.batch.count});
    executor.prepare(setup.model.parameters);
    std::vector<real> logits(static_cast<std::size_t>(setup.batch.count * setup.model.graph.classes));
    executor.infer(setup.batch, logits.data());
    expect_near(logits.data(), {{"data", values["logits"]}}, std::string(kernels->name), 1e-6);
  }
}

}  // namespace
}  // namespace espalier
