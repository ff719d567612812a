// The order in which a network runs changes no bit of what it learns. A dropout that drops nothing, between
// two layers, keeps them in the order of the spec.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/digits.h"
#include "graph/run_order.h"
#include "ops/op.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

json network(const std::string& rectifier, bool apart) {
  json layers = json::array();
  const auto add = [&](json layer) {
    if (apart && (layer["type"] == "max_pool" || layer["type"] == rectifier)) {
      layers.push_back({{"type", "dropout"}, {"rate", 0.0}});
    }
    layers.push_back(std::move(layer));
  };
  add({{"type", "conv"},
       {"name", "c1"},
       {"out_channels", 5},
       {"kernel", 3},
       {"stride", 2},
       {"padding", "same"}});
  add({{"type", rectifier}});
  add({{"type", "max_pool"}, {"kernel", 3}, {"stride", 2}, {"padding", 1}});
  add({{"type", "conv"}, {"name", "c2"}, {"out_channels", 7}, {"kernel", 3}, {"bias", false}});
  add({{"type", "batch_norm"}, {"name", "b2"}});
  add({{"type", rectifier}});
  add({{"type", "max_pool"}, {"kernel", 2}});
  add({{"type", "flatten"}});
  add({{"type", "dense"}, {"name", "fc"}, {"units", "classes"}});
  return {{"input", {{"channels", 1}, {"height", 28}, {"width", 28}}}, {"classes", 10}, {"layers", layers}};
}

aligned_vector<real> trained(const std::string& rectifier, bool apart, const Dataset& data,
                             const Kernels& kernels) {
  ThreadPool pool(2);
  const auto model = Model::create(network(rectifier, apart), 3, &data);
  // First weights depend on whether a rectifier is next.
  model->parameters.value = Model::create(network(rectifier, false), 3, &data)->parameters.value;
  TrainingConfig config;
  config.epochs = 1;
  config.learning_rate = 0.5;  // so that some numbers pass 6
  Trainer trainer(*model, data, config, kernels, pool);
  while (!trainer.done()) trainer.step();
  return model->parameters.value;
}

TEST(RunOrder, changes_no_bit_of_a_training) {
  const Dataset data = synthetic_digits(300, 10, 1);
  for (const Kernels* kernels : available_kernels()) {
    for (const char* rectifier : {"relu", "relu6"}) {
      const auto together = trained(rectifier, false, data, *kernels);
      const auto apart = trained(rectifier, true, data, *kernels);
      EXPECT_EQ(together, apart) << kernels->name << ", " << rectifier;
    }
  }
}

TEST(RunOrder, takes_the_pool_first_and_the_rectifier_into_batch_norm) {
  const Graph graph = in_run_order(compile(network("relu6", false)));
  EXPECT_EQ(graph.nodes[1].op, &kMaxPool);
  EXPECT_EQ(graph.nodes[2].op, &kRelu6);
  EXPECT_EQ(graph.nodes[2].out_shape, graph.nodes[1].out_shape);
  EXPECT_EQ(graph.nodes[4].rectifier, Rectifier::kRelu6);
}

TEST(RunOrder, is_that_of_the_spec_where_a_value_has_two_readers) {
  json spec = network("relu", false);
  json layers = json::array();
  for (std::size_t i = 0; i < spec["layers"].size(); ++i) {
    json& layer = spec["layers"][i];
    layers.push_back(layer);
    if (i == 1) layers.back()["name"] = "relu1";
    if (i != 2) continue;
    layers.back()["name"] = "pool1";
    layer["name"] = "pool2";
    layer["inputs"] = {"relu1"};
    layers.push_back(layer);
    layers.push_back({{"type", "add"}, {"inputs", {"pool1", "pool2"}}});
  }
  spec["layers"] = layers;
  const Graph graph = in_run_order(compile(spec));
  EXPECT_EQ(graph.nodes[1].op, &kRelu);
}

}  // namespace
}  // namespace espalier
