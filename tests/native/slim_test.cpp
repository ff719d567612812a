// Slimming: what goes, what stays, and that nobody sees the difference in the outputs.
#include "compress/slim.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "compress/report.h"
#include "core/random.h"
#include "data/digits.h"
#include "graph/executor.h"
#include "ops/op.h"
#include "ops/weights.h"
#include "random_network.h"

namespace espalier {
namespace {

using nlohmann::json;

// Outputs for `count` random images, [count][classes].
std::vector<real> outputs(const Model& model, int count = 9) {
  const Kernels& kernels = select_kernels("plain");
  ThreadPool pool(1);
  Executor executor(model.graph, kernels, pool, {.max_batch = count});
  executor.prepare(model.parameters);
  const int lanes = kernels.lanes, size = model.graph.input.shape.size();
  aligned_vector<real> images(static_cast<std::size_t>((count + lanes - 1) / lanes * lanes * size));
  Random random = random_for(4);
  for (int n = 0; n < count; ++n) {
    for (int i = 0; i < size; ++i) {
      images[static_cast<std::size_t>((n / lanes * size + i) * lanes + n % lanes)] =
          static_cast<real>(random.uniform(-1.5, 1.5));
    }
  }
  std::vector<real> result(static_cast<std::size_t>(count * model.graph.classes));
  executor.infer({.images = images.data(), .count = count}, result.data());
  return result;
}

// Sums of some hundred terms near 1, added in another order.
constexpr double kTolerance = 1e-4;

void expect_same_outputs(const Model& one, const Model& other, const std::string& what = {}) {
  const std::vector<real> expected = outputs(one), found = outputs(other);
  ASSERT_EQ(expected.size(), found.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_TRUE(std::isfinite(expected[i])) << what;
    ASSERT_NEAR(expected[i], found[i], kTolerance * std::max(1.0, std::abs(double{expected[i]}))) << what;
  }
}

const Node& layer(const Model& model, std::string_view name) {
  for (const Node& node : model.graph.nodes) {
    if (node.name == name) return node;
  }
  throw std::runtime_error("no layer " + std::string(name));
}
const ParameterInfo& tensor(const Model& model, const std::string& name) {
  for (const ParameterInfo* info : model.graph.parameters()) {
    if (info->name == name) return *info;
  }
  throw std::runtime_error("no tensor " + name);
}
real& value(Model& model, const std::string& name, std::int64_t i) {
  return model.parameters.value[static_cast<std::size_t>(tensor(model, name).offset + i)];
}

void prune_range(Model& model, const ParameterInfo& info, std::int64_t begin, std::int64_t end) {
  auto& mask = model.parameters.mask;
  if (mask.empty()) mask.assign(static_cast<std::size_t>(model.graph.trainable_size), real{1});
  for (std::int64_t i = info.offset + begin; i < info.offset + end; ++i) {
    mask[static_cast<std::size_t>(i)] = model.parameters.value[static_cast<std::size_t>(i)] = 0;
  }
}
// A filter's weights, or a neuron's; not its bias.
void prune_row(Model& model, const Node& node, int row) {
  const std::int64_t size = weight_of(node).size / node.out_shape.channels;
  prune_range(model, weight_of(node), row * size, (row + 1) * size);
}
// What every filter of the layer has for one of the channels of its group.
void prune_column(Model& model, const Node& node, int column) {
  const int rows = node.out_shape.channels;
  const std::int64_t row = weight_of(node).size / rows;
  const std::int64_t taps = node.op == &kDense
                                ? node.in_shape().pixels()
                                : std::int64_t{node.attributes.kernel.height} * node.attributes.kernel.width;
  for (int o = 0; o < rows; ++o) {
    prune_range(model, weight_of(node), o * row + column * taps, o * row + (column + 1) * taps);
  }
}
// A channel with everything that makes it: weights, bias, and the scale and shift of a batch norm behind it.
void prune_channel(Model& model, const std::string& name, int channel) {
  const Node& node = layer(model, name);
  prune_row(model, node, channel);
  if (const ParameterInfo* bias = bias_of(node)) prune_range(model, *bias, channel, channel + 1);
  for (const Node& next : model.graph.nodes) {
    if (next.op != &kBatchNorm || next.inputs[0] != static_cast<int>(node.index) + 1) continue;
    for (int i = 0; i < 2; ++i)
      prune_range(model, next.parameters[static_cast<std::size_t>(i)], channel, channel + 1);
  }
}

json spec_of(const std::string& layers, int channels = 2, int height = 8, int width = 7) {
  return {{"input", {{"channels", channels}, {"height", height}, {"width", width}}},
          {"classes", 3},
          {"layers", json::parse(layers)}};
}

std::map<std::string, int> channels_of(const Model& model) {
  std::map<std::string, int> result;
  for (const Node& node : model.graph.nodes) {
    if (node.op == &kConv || node.op == &kDense) result[node.name] = node.out_shape.channels;
  }
  return result;
}
using Channels = std::map<std::string, int>;

// ---- Known cases

constexpr const char* kTwoConvolutions = R"([
  {"type":"conv","name":"a","out_channels":4,"kernel":3,"padding":"same"},
  {"type":"relu","name":"r"},
  {"type":"conv","name":"b","out_channels":5,"kernel":3,"padding":"PADDING","bias":BIAS},
  {"type":"global_avg_pool","name":"p"},
  {"type":"dense","name":"fc","units":"classes"}])";

json two_convolutions_spec(const std::string& padding, const std::string& bias = "true") {
  std::string text = kTwoConvolutions;
  text.replace(text.find("PADDING"), 7, padding);
  text.replace(text.find("BIAS"), 4, bias);
  return spec_of(text);
}
std::unique_ptr<Model> two_convolutions(const std::string& padding, const std::string& bias = "true") {
  return model_of(two_convolutions_spec(padding, bias));
}

TEST(Slim, a_pruned_filter_goes_with_its_inputs_in_the_next_layer) {
  const auto model = two_convolutions("same");
  prune_channel(*model, "a", 1);
  prune_channel(*model, "b", 4);
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 3}, {"b", 4}, {"fc", 3}}));
  EXPECT_EQ(tensor(*slimmed, "b.weight").shape, (std::vector<int>{4, 3, 3, 3}));
  EXPECT_EQ(tensor(*slimmed, "fc.weight").shape, (std::vector<int>{3, 4}));
  EXPECT_TRUE(slimmed->parameters.mask.empty()) << "nothing that is pruned is left";
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, zero_weights_without_a_mask_count_as_pruned) {
  const auto model = two_convolutions("same");
  prune_channel(*model, "a", 0);
  model->parameters.mask.clear();
  EXPECT_EQ(channels_of(*slim(*model)), (Channels{{"a", 3}, {"b", 5}, {"fc", 3}}));
}

TEST(Slim, a_constant_joins_the_bias_of_an_unpadded_convolution_only) {
  for (const bool padded : {false, true}) {
    const auto model = two_convolutions(padded ? "same" : "valid");
    prune_row(*model, layer(*model, "a"), 2);
    value(*model, "a.bias", 2) = real(0.7);
    const auto slimmed = slim(*model);
    EXPECT_EQ(channels_of(*slimmed)["a"], padded ? 4 : 3);
    expect_same_outputs(*model, *slimmed);
  }
}

TEST(Slim, a_constant_that_a_rectifier_makes_zero_goes_at_borders_too) {
  const auto model = two_convolutions("same");
  prune_row(*model, layer(*model, "a"), 2);
  value(*model, "a.bias", 2) = real(-0.7);
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed)["a"], 3);
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, a_layer_without_bias_gets_one_for_a_constant) {
  const auto model = two_convolutions("valid", "false");
  prune_row(*model, layer(*model, "a"), 0);
  value(*model, "a.bias", 0) = real(0.7);
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed)["a"], 3);
  EXPECT_TRUE(layer(*slimmed, "b").attributes.bias);
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, a_masked_bias_is_unmasked_where_a_constant_joins_it) {
  const auto model = two_convolutions("valid");
  prune_row(*model, layer(*model, "a"), 0);
  value(*model, "a.bias", 0) = real(0.7);
  prune_range(*model, tensor(*model, "b.bias"), 0, 5);
  prune_range(*model, tensor(*model, "fc.weight"), 0, 1);  // so that a mask remains
  const auto slimmed = slim(*model);
  EXPECT_EQ(revived_weights(*slimmed), 0);
  EXPECT_FALSE(slimmed->parameters.mask.empty());
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, batch_norm_of_a_pruned_filter_leaves_its_constant) {
  const auto model = model_of(spec_of(R"([
    {"type":"conv","name":"a","out_channels":4,"kernel":3,"bias":false},
    {"type":"batch_norm","name":"n"},
    {"type":"tanh","name":"t"},
    {"type":"avg_pool","name":"p","kernel":3,"stride":2,"padding":1},
    {"type":"flatten","name":"f"},
    {"type":"dense","name":"fc","units":"classes","bias":false}])"));
  prune_row(*model, layer(*model, "a"), 1);  // the batch norm goes on: beta - mean · scale
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 3}, {"fc", 3}}));
  EXPECT_EQ(tensor(*slimmed, "n.running_mean").shape, std::vector<int>{3});
  EXPECT_TRUE(layer(*slimmed, "fc").attributes.bias);
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, a_channel_goes_when_only_the_scale_of_its_batch_norm_is_pruned) {
  const auto model = model_of(spec_of(R"([
    {"type":"conv","name":"a","out_channels":4,"kernel":3},
    {"type":"batch_norm","name":"n"},
    {"type":"dense","name":"fc","units":"classes"}])"));
  prune_range(*model, tensor(*model, "n.weight"), 3, 4);
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed)["a"], 3);
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, what_nobody_reads_goes_layer_after_layer) {
  const auto model = model_of(spec_of(R"([
    {"type":"conv","name":"a","out_channels":4,"kernel":3},
    {"type":"relu"},
    {"type":"conv","name":"b","out_channels":6,"kernel":3,"groups":2},
    {"type":"sigmoid"},
    {"type":"flatten"},
    {"type":"dense","name":"c","units":7},
    {"type":"relu","name":"r"},
    {"type":"dense","name":"fc","units":"classes"}])"));
  // Neurons 0 to 3 are not read; the others do not read channels 3 to 5: the second group of b, thus of a.
  for (int i = 0; i < 4; ++i) prune_column(*model, layer(*model, "fc"), i);
  const int pixels = layer(*model, "c").in_shape().size() / 6;
  for (int unit = 4; unit < 7; ++unit) {
    prune_range(*model, tensor(*model, "c.weight"), unit * 6 * pixels + 3 * pixels, (unit + 1) * 6 * pixels);
  }
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 2}, {"b", 3}, {"c", 3}, {"fc", 3}}));
  EXPECT_EQ(layer(*slimmed, "b").attributes.groups, 1);
  expect_same_outputs(*model, *slimmed);
}

constexpr const char* kResidual = R"([
  {"type":"conv","name":"stem","out_channels":5,"kernel":3,"padding":"same"},
  {"type":"conv","name":"a","out_channels":6,"kernel":3,"padding":"same"},
  {"type":"relu"},
  {"type":"conv","name":"b","out_channels":5,"kernel":3,"padding":"same"},
  {"type":"add","name":"sum","inputs":["b","stem"]},
  {"type":"relu"},
  {"type":"global_avg_pool"},
  {"type":"dense","name":"fc","units":"classes"}])";

TEST(Slim, a_channel_of_a_sum_goes_when_all_addends_are_pruned) {
  const auto model = model_of(spec_of(kResidual));
  prune_channel(*model, "stem", 0);
  prune_channel(*model, "stem", 3);
  prune_channel(*model, "b", 3);
  prune_channel(*model, "b", 4);
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"stem", 4}, {"a", 6}, {"b", 4}, {"fc", 3}}));
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, constants_of_a_sum_add_up) {
  const auto model = model_of(spec_of(R"([
    {"type":"conv","name":"a","out_channels":3,"kernel":3},
    {"type":"conv","name":"b","inputs":["input"],"out_channels":3,"kernel":3},
    {"type":"add","inputs":["a","b","a"]},
    {"type":"leaky_relu","slope":0.3},
    {"type":"dense","name":"fc","units":"classes"}])"));
  prune_row(*model, layer(*model, "a"), 1);
  prune_row(*model, layer(*model, "b"), 1);
  value(*model, "a.bias", 1) = real(-0.5);
  value(*model, "b.bias", 1) = real(0.25);
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 2}, {"b", 2}, {"fc", 3}}));
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, a_channel_that_only_feeds_itself_around_a_residual_loop_goes) {
  const auto model = model_of(spec_of(kResidual));
  // Channel 2 of the sum is not read behind it. In the loop stem's channel 2 is read by filter 5 of a alone,
  // and that by filter 2 of b alone.
  prune_column(*model, layer(*model, "fc"), 2);
  const auto prune = [&](const char* name, int columns, int row, int column) {
    prune_range(*model, tensor(*model, name), (row * columns + column) * 9, (row * columns + column + 1) * 9);
  };
  for (int row = 0; row < 5; ++row) prune("a.weight", 5, row, 2);
  for (const int row : {0, 1, 3, 4}) prune("b.weight", 6, row, 5);
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"stem", 4}, {"a", 5}, {"b", 4}, {"fc", 3}}));
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, what_only_makes_an_unread_addend_goes) {
  const auto model = model_of(spec_of(kResidual));
  // Channel 2 of the sum is not read, but stem's is, by a. So b keeps filter 2, whatever that computes, and a
  // loses filter 5, which b read for nothing else.
  prune_column(*model, layer(*model, "fc"), 2);
  for (const int row : {0, 1, 3, 4}) {
    prune_range(*model, tensor(*model, "b.weight"), (row * 6 + 5) * 9, (row * 6 + 6) * 9);
  }
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"stem", 5}, {"a", 5}, {"b", 5}, {"fc", 3}}));
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, parts_of_a_concatenation_lose_their_own_channels) {
  const auto model = model_of(spec_of(R"([
    {"type":"conv","name":"a","out_channels":3,"kernel":3,"padding":"same"},
    {"type":"conv","name":"b","inputs":["input"],"out_channels":4,"kernel":1},
    {"type":"concat","name":"c","inputs":["a","input","b"]},
    {"type":"max_pool","kernel":2},
    {"type":"conv","name":"d","out_channels":4,"kernel":2},
    {"type":"dense","name":"fc","units":"classes"}])"));
  prune_channel(*model, "a", 0);
  prune_channel(*model, "b", 1);
  prune_channel(*model, "b", 2);
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 2}, {"b", 2}, {"d", 4}, {"fc", 3}}));
  EXPECT_EQ(layer(*slimmed, "c").out_shape.channels, 2 + 2 + 2);
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, a_flattened_channel_goes_with_all_its_pixels) {
  const auto model = model_of(spec_of(R"([
    {"type":"conv","name":"a","out_channels":3,"kernel":3},
    {"type":"flatten","name":"f"},
    {"type":"dense","name":"b","units":6},
    {"type":"dropout"},
    {"type":"dense","name":"fc","units":"classes"}])"));
  const int pixels = 6 * 5;
  for (int pixel = 0; pixel < pixels; ++pixel) {
    prune_column(*model, layer(*model, "b"), pixels + pixel);                      // channel 1: all of them
    if (pixel != 7) prune_column(*model, layer(*model, "b"), 2 * pixels + pixel);  // channel 2: all but one
  }
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed)["a"], 2);
  EXPECT_EQ(layer(*slimmed, "f").out_shape.channels, 2 * pixels);
  EXPECT_FALSE(slimmed->parameters.mask.empty()) << "masks of what stays are kept";
  expect_same_outputs(*model, *slimmed);
}

constexpr const char* kGrouped = R"([
  {"type":"conv","name":"a","out_channels":8,"kernel":1},
  {"type":"conv","name":"g","out_channels":12,"kernel":3,"groups":4},
  {"type":"conv","name":"b","out_channels":4,"kernel":1},
  {"type":"dense","name":"fc","units":"classes"}])";

TEST(Slim, groups_go_whole_or_lose_the_same_number_each) {
  {
    const auto model = model_of(spec_of(kGrouped));  // group 1: filters 3 to 5, inputs 2 and 3
    for (const int filter : {3, 4, 5}) prune_channel(*model, "g", filter);
    const auto slimmed = slim(*model);
    EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 6}, {"g", 9}, {"b", 4}, {"fc", 3}}));
    EXPECT_EQ(layer(*slimmed, "g").attributes.groups, 3);
    expect_same_outputs(*model, *slimmed);
  }
  {
    const auto model = model_of(spec_of(kGrouped));
    for (const int filter : {0, 5, 7, 8, 9}) prune_channel(*model, "g", filter);  // 1, 1, 2 and 1
    for (const int channel : {0, 2, 5, 7}) prune_channel(*model, "a", channel);   // one of each
    const auto slimmed = slim(*model);
    EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 4}, {"g", 8}, {"b", 4}, {"fc", 3}}));
    EXPECT_EQ(layer(*slimmed, "g").attributes.groups, 4);
    expect_same_outputs(*model, *slimmed);
  }
  {
    const auto model = model_of(spec_of(kGrouped));
    prune_channel(*model, "g", 0);  // one group alone cannot be smaller
    prune_channel(*model, "a", 6);
    const auto slimmed = slim(*model);
    EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 8}, {"g", 12}, {"b", 4}, {"fc", 3}}));
    expect_same_outputs(*model, *slimmed);
  }
}

TEST(Slim, a_pruned_depthwise_filter_takes_its_channel_along) {
  const auto model = model_of(spec_of(R"([
    {"type":"conv","name":"a","out_channels":6,"kernel":1},
    {"type":"relu6"},
    {"type":"conv","name":"d","kernel":3,"padding":"same","groups":"depthwise"},
    {"type":"conv","name":"m","out_channels":12,"kernel":3,"stride":2,"groups":6},
    {"type":"conv","name":"b","out_channels":4,"kernel":1},
    {"type":"dense","name":"fc","units":"classes"}])"));
  prune_channel(*model, "d", 2);  // m's filters 4 and 5 give constants
  prune_channel(*model, "m", 10);
  prune_channel(*model, "m", 11);  // nobody reads channel 5
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 4}, {"d", 4}, {"m", 8}, {"b", 4}, {"fc", 3}}));
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, a_layer_that_is_pruned_altogether_keeps_one_channel) {
  const auto model = two_convolutions("same");
  for (int c = 0; c < 4; ++c) prune_channel(*model, "a", c);
  const auto slimmed = slim(*model);
  // b gives its bias everywhere, which fc takes over.
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 1}, {"b", 1}, {"fc", 3}}));
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, outputs_stay_even_if_they_are_pruned) {
  const auto model = two_convolutions("same");
  prune_channel(*model, "fc", 1);
  EXPECT_EQ(channels_of(*slim(*model)), channels_of(*model));
}

TEST(Slim, a_model_without_pruned_channels_is_copied_bit_for_bit) {
  const auto model = model_of(json::parse(find_preset("resnet")->spec));
  const auto slimmed = slim(*model);
  EXPECT_EQ(to_spec(slimmed->graph), to_spec(model->graph));
  EXPECT_EQ(slimmed->parameters.value, model->parameters.value);
  prune_range(*model, tensor(*model, "fc.weight"), 3, 9);
  const auto masked = slim(*model);
  EXPECT_EQ(masked->parameters.value, model->parameters.value);
  EXPECT_EQ(masked->parameters.mask, model->parameters.mask);
}

TEST(Slim, grids_of_the_weights_that_stay_are_kept) {
  for (const char* scheme : {"affine", "symmetric", "ternary", "power-of-two", "article", "codebook"}) {
    for (const char* granularity : {"tensor", "channel", "group"}) {
      json spec = two_convolutions_spec("valid");
      json quantize{{"scheme", scheme}, {"bits", 2}, {"granularity", granularity}};
      if (quantize["granularity"] == "group") quantize["group_size"] = 9;
      if (quantize["scheme"] == "codebook") quantize = {{"scheme", "codebook"}, {"bits", 3}};
      spec["layers"][2]["quantize"] = quantize;
      const auto model = model_of(spec);
      prune_channel(*model, "a", 1);
      prune_row(*model, layer(*model, "a"), 2);
      value(*model, "a.bias", 2) = real(0.3);
      prune_channel(*model, "b", 3);
      const Node& b = layer(*model, "b");
      fit_weights(b, RangeMethod::kMinMax, model->parameters.value.data());
      if (const ParameterInfo* index = codebook_index_of(b); index && quantize["scheme"] == "codebook") {
        for (int level = 1; level < 8; ++level)
          value(*model, "b.weight_codebook", level) = real(0.1) * static_cast<real>(level - 4);
        for (std::int64_t i = 0; i < index->size; ++i)
          value(*model, index->name, i) = static_cast<real>(i * 7 % 8);
      }
      const auto slimmed = slim(*model);
      const std::string what = quantize.dump();
      EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 2}, {"b", 4}, {"fc", 3}})) << what;
      EXPECT_EQ(layer(*slimmed, "b").attributes.quantize, b.attributes.quantize) << what;
      expect_same_outputs(*model, *slimmed, what);
    }
  }
}

TEST(Slim, inputs_stay_where_weights_would_change_their_grid) {
  json spec = two_convolutions_spec("valid");
  spec["layers"][2]["quantize"] = {
      {"scheme", "symmetric"}, {"bits", 3}, {"granularity", "group"}, {"group_size", 8}};
  const auto model = model_of(spec);
  prune_channel(*model, "a", 1);
  prune_channel(*model, "b", 2);
  fit_weights(layer(*model, "b"), RangeMethod::kMinMax, model->parameters.value.data());
  const auto slimmed = slim(*model);
  EXPECT_EQ(channels_of(*slimmed), (Channels{{"a", 4}, {"b", 4}, {"fc", 3}}));
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, a_weight_without_a_zero_is_read) {
  json spec = two_convolutions_spec("valid");
  spec["layers"][2]["quantize"] = {{"scheme", "binary"}, {"bits", 1}};
  const auto model = model_of(spec);
  prune_column(*model, layer(*model, "b"), 0);
  model->parameters.mask.clear();  // zeros, which the grid turns into plus or minus its scale
  EXPECT_EQ(channels_of(*slim(*model))["a"], 4);
}

// ---- Presets

TEST(Slim, the_resnet_preset_halves) {
  const auto model = model_of(json::parse(find_preset("resnet")->spec));
  for (const Node& node : model->graph.nodes) {
    if (node.op != &kConv) continue;
    for (int c = node.out_shape.channels / 2; c < node.out_shape.channels; ++c)
      prune_channel(*model, node.name, c);
  }
  const auto slimmed = slim(*model);
  for (const Node& node : slimmed->graph.nodes) {
    if (node.op != &kDense)
      EXPECT_EQ(node.out_shape.channels * 2, model->graph.nodes[node.index].out_shape.channels) << node.name;
  }
  EXPECT_TRUE(slimmed->parameters.mask.empty());
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, the_mobile_preset_halves) {
  const auto model = model_of(json::parse(find_preset("mobile")->spec));
  for (const Node& node : model->graph.nodes) {
    if (node.op != &kConv) continue;
    for (int c = 1; c < node.out_shape.channels; c += 2)
      prune_channel(*model, node.name, c % 64 < 32 ? c : c - 1);
  }
  // block1_depthwise loses odd channels as the stem does; the later ones follow their pointwise filters.
  const auto slimmed = slim(*model);
  for (const Node& node : slimmed->graph.nodes) {
    if (node.op != &kDense)
      EXPECT_EQ(node.out_shape.channels * 2, model->graph.nodes[node.index].out_shape.channels) << node.name;
  }
  expect_same_outputs(*model, *slimmed);
}

TEST(Slim, a_slimmed_model_trains) {
  const Dataset digits = synthetic_digits(70, 10, 3);
  auto model = Model::create(json::parse(find_preset("resnet")->spec), 1, &digits);
  for (const Node& node : model->graph.nodes) {
    if (node.op == &kConv) prune_channel(*model, node.name, 5);
  }
  const auto slimmed = slim(*model);
  ThreadPool pool(1);
  const auto before = slimmed->parameters.value;
  TrainingConfig config;
  config.epochs = 1;
  Trainer trainer(*slimmed, digits, config, select_kernels("plain"), pool);
  EXPECT_TRUE(std::isfinite(trainer.step().loss));
  EXPECT_NE(slimmed->parameters.value, before);
  EXPECT_EQ(slimmed->graph.input.mean, model->graph.input.mean);
}

// ---- Random networks

void prune_at_random(Model& model, NetworkGenerator& generator) {
  const auto share = [&] {
    const double shares[] = {0, 0.3, 0.6, 0.9, 1};
    return shares[generator.between(0, 4)];
  };
  for (const Node& node : model.graph.nodes) {
    if (node.op == &kBatchNorm) {
      const double pruned = generator.chance(0.4) ? 0.4 : 0;
      for (int c = 0; c < node.out_shape.channels; ++c) {
        for (const auto& info : {node.parameters[0], node.parameters[1]}) {
          if (generator.chance(pruned)) prune_range(model, info, c, c + 1);
        }
      }
    }
    if (node.op != &kConv && node.op != &kDense) continue;
    const double rows = share(), columns = generator.chance(0.3) ? share() : 0;
    for (int row = 0; row < node.out_shape.channels; ++row) {
      if (!generator.chance(rows)) continue;
      if (generator.chance(0.6)) {
        prune_channel(model, node.name, row);
      } else {
        prune_row(model, node, row);
      }
    }
    for (int column = 0; column < node.in_shape().channels / node.attributes.groups; ++column) {
      if (generator.chance(columns)) prune_column(model, node, column);
    }
    if (generator.chance(0.2)) {
      for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
        if (generator.chance(0.3)) prune_range(model, weight_of(node), i, i + 1);
      }
    }
    const WeightQuantization& q = node.attributes.quantize;
    if (!q.scheme) continue;
    fit_weights(node, RangeMethod::kMinMax, model.parameters.value.data());
    if (!q.scheme->codebook) continue;
    for (int level = 1; level < 1 << q.bits; ++level) {
      value(model, node.name + ".weight_codebook", level) = real(0.5) - real(1) / static_cast<real>(level);
    }
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
      value(model, node.name + ".weight_index", i) =
          static_cast<real>(generator.between(0, (1 << q.bits) - 1));
    }
  }
  if (generator.chance(0.1)) model.parameters.mask.clear();  // zeros alone
}

TEST(Slim, five_hundred_random_networks_give_the_same_outputs) {
  int smaller = 0, biases = 0;
  std::map<std::string, int> types;
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    NetworkGenerator generator(seed);
    const json spec = generator.spec();
    const auto model = model_of(spec, seed);
    prune_at_random(*model, generator);
    const auto slimmed = slim(*model);
    const std::string what = "network " + std::to_string(seed) + ": " + spec.dump();
    ASSERT_NO_FATAL_FAILURE(expect_same_outputs(*model, *slimmed, what));
    ASSERT_EQ(revived_weights(*slimmed), 0) << what;
    for (const Node& node : model->graph.nodes) {
      const Node& after = slimmed->graph.nodes[node.index];
      ASSERT_LE(after.out_shape.channels, node.out_shape.channels) << what;
      biases += after.attributes.bias && !node.attributes.bias ? 1 : 0;
      ++types[std::string(node.op->name)];
    }
    smaller += slimmed->graph.parameter_count() < model->graph.parameter_count() ? 1 : 0;
    const auto again = slim(*slimmed);
    ASSERT_EQ(to_spec(again->graph), to_spec(slimmed->graph)) << what;
    ASSERT_EQ(again->parameters.value, slimmed->parameters.value) << what;
    ASSERT_EQ(again->parameters.mask, slimmed->parameters.mask) << what;
  }
  EXPECT_GT(smaller, 350);
  EXPECT_GT(biases, 50);
  EXPECT_EQ(types.size(), op_types().size()) << "every type of layer was there";
}

}  // namespace
}  // namespace espalier
