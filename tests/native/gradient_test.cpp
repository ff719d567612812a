// Every layer's gradients against finite differences, in double: a network around the layer, five
// to eighteen random images, the loss's derivative by each weight of the network (a sample of them
// where there are many). Weights below a layer see its input gradient, its own their gradient.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/random.h"
#include "graph/executor.h"
#include "ops/weights.h"
#include "train/tables.h"

namespace espalier {
namespace {

static_assert(sizeof(real) == sizeof(double), "gradients are checked in double");

struct Case {
  const char* name;
  const char* layers;  // JSON
  int channels = 2;
  int height = 7;
  int width = 6;
  int images = 5;
  const char* loss = "softmax_cross_entropy";
  double label_smoothing = 0;
  real lambda = 1;
  double density = 1;  // below 1: the share of weights that a mask leaves
};

// A first layer makes input gradients flow through the layer under test.
constexpr Case kCases[] = {
    {"conv_same",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":4,"kernel":3,"padding":"same"}])"},
    {"conv_valid_5x5",
     R"([{"type":"conv","out_channels":7,"kernel":1},{"type":"conv","out_channels":5,"kernel":5,"padding":"valid"}])",
     2, 9, 8},
    {"conv_wide_kernel",
     R"([{"type":"conv","out_channels":2,"kernel":1},{"type":"conv","out_channels":3,"kernel":[2,7],"padding":[0,3]}])",
     1, 5, 9},
    {"conv_stride_2_same",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":4,"kernel":3,"stride":2,"padding":"same"}])",
     2, 8, 7},
    {"conv_stride_3_2_valid",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":4,"kernel":[3,2],"stride":[3,2]}])",
     2, 11, 7},
    {"conv_stride_beyond_kernel",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":4,"kernel":2,"stride":3,"padding":1}])",
     2, 10, 8},
    {"conv_dilation_2",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":4,"kernel":3,"dilation":2,"padding":"same"}])"},
    {"conv_dilation_3_stride_2",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":4,"kernel":3,"dilation":3,"stride":2,"padding":3}])",
     2, 11, 9},
    {"conv_dilation_4_stride_6",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":2,"kernel":4,"dilation":4,"stride":6,"padding":2}])",
     1, 19, 17, 3},
    {"conv_uneven_padding",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":4,"kernel":[4,3],"padding":[3,0,1,2]}])"},
    {"conv_grouped",
     R"([{"type":"conv","out_channels":6,"kernel":1},{"type":"conv","out_channels":9,"kernel":3,"groups":3,"padding":1}])"},
    {"conv_depthwise",
     R"([{"type":"conv","out_channels":7,"kernel":1},{"type":"conv","kernel":3,"groups":"depthwise","padding":"same"}])"},
    {"conv_depthwise_stride_multiplier",
     R"([{"type":"conv","out_channels":3,"kernel":1},{"type":"conv","out_channels":6,"kernel":3,"stride":2,"groups":3,"padding":"same"}])"},
    {"conv_many_channels",
     R"([{"type":"conv","out_channels":13,"kernel":1},{"type":"conv","out_channels":17,"kernel":3,"padding":"same","bias":false}])",
     3, 5, 5},
    {"conv_kernel_of_image_size",
     R"([{"type":"conv","out_channels":2,"kernel":1},{"type":"conv","out_channels":5,"kernel":[7,6]}])"},
    {"dense_deep", R"([{"type":"dense","units":19},{"type":"dense","units":13,"bias":false}])", 3, 3, 3, 18},
    {"batch_norm", R"([{"type":"conv","out_channels":3,"kernel":3},{"type":"batch_norm"},{"type":"tanh"}])",
     2, 7, 6, 11},
    {"batch_norm_first", R"([{"type":"batch_norm"},{"type":"conv","out_channels":3,"kernel":3}])"},
    {"batch_norm_after_dense", R"([{"type":"dense","units":9},{"type":"batch_norm"},{"type":"sigmoid"}])", 2,
     4, 3, 18},
    {"batch_norm_chain",
     R"([{"type":"conv","out_channels":3,"kernel":3},{"type":"batch_norm"},{"type":"relu"},{"type":"conv","out_channels":4,"kernel":3},{"type":"batch_norm"},{"type":"leaky_relu","slope":0.2}])",
     2, 8, 7, 9},
    {"max_pool", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"max_pool","kernel":2}])"},
    {"max_pool_overlapping",
     R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"max_pool","kernel":3,"stride":2,"padding":1}])"},
    {"max_pool_odd_remainder",
     R"([{"type":"conv","out_channels":2,"kernel":1},{"type":"max_pool","kernel":2}])", 1, 7, 5},
    {"max_pool_same",
     R"([{"type":"conv","out_channels":2,"kernel":1},{"type":"max_pool","kernel":[2,3],"stride":[2,1],"padding":"same"}])"},
    {"avg_pool", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"avg_pool","kernel":2}])"},
    {"avg_pool_overlapping_padded",
     R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"avg_pool","kernel":3,"stride":2,"padding":[1,0,2,1]}])"},
    {"global_avg_pool", R"([{"type":"conv","out_channels":5,"kernel":2},{"type":"global_avg_pool"}])"},
    {"relu", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"relu"}])"},
    {"relu6", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"relu6"}])"},
    {"leaky_relu", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"leaky_relu","slope":0.3}])"},
    {"tanh", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"tanh"}])"},
    {"sigmoid", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"sigmoid"}])"},
    {"dropout", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"dropout","rate":0.4}])", 2, 7, 6,
     11},
    {"flatten", R"([{"type":"conv","out_channels":3,"kernel":2},{"type":"flatten"},{"type":"tanh"}])"},
    {"add",
     R"([{"type":"conv","name":"a","out_channels":3,"kernel":1},{"type":"conv","name":"b","out_channels":3,"kernel":3,"padding":"same"},{"type":"add","inputs":["b","a"]}])"},
    {"add_three_and_itself",
     R"([{"type":"conv","name":"a","out_channels":3,"kernel":1},{"type":"tanh","name":"b"},{"type":"add","name":"s","inputs":["a","b","a"]},{"type":"add","inputs":["s","s"]}])"},
    {"add_in_front_of_relu",
     R"([{"type":"conv","name":"a","out_channels":3,"kernel":1},{"type":"relu","name":"r"},{"type":"conv","name":"b","out_channels":3,"kernel":3,"padding":1},{"type":"add","inputs":["r","b"]},{"type":"relu"}])"},
    {"concat",
     R"([{"type":"conv","name":"a","out_channels":3,"kernel":1},{"type":"conv","name":"b","out_channels":2,"kernel":3,"padding":"same"},{"type":"concat","inputs":["b","input","a"]},{"type":"conv","out_channels":3,"kernel":3}])"},
    {"residual_with_batch_norm",
     R"([{"type":"conv","name":"c0","out_channels":4,"kernel":3,"padding":"same"},{"type":"batch_norm"},{"type":"relu","name":"r0"},
        {"type":"conv","out_channels":6,"kernel":3,"stride":2,"padding":"same"},{"type":"batch_norm"},{"type":"relu"},{"type":"conv","out_channels":6,"kernel":3,"padding":"same"},{"type":"batch_norm","name":"m"},
        {"type":"conv","inputs":["r0"],"out_channels":6,"kernel":1,"stride":2,"padding":"same"},{"type":"batch_norm","name":"s"},{"type":"add","inputs":["m","s"]},{"type":"relu","name":"r1"},
        {"type":"max_pool","kernel":3,"stride":1,"padding":1},{"type":"conv","name":"l","out_channels":6,"kernel":1},{"type":"batch_norm","name":"lb"},{"type":"concat","inputs":["lb","r1"]},{"type":"global_avg_pool"}])",
     2, 8, 7, 10},
    {"label_smoothing", R"([{"type":"conv","out_channels":3,"kernel":2}])", 2, 5, 5, 7,
     "softmax_cross_entropy", 0.2},
    {"mixup_targets", R"([{"type":"conv","out_channels":3,"kernel":2}])", 2, 5, 5, 7, "softmax_cross_entropy",
     0.1, real(0.7)},
    {"mean_squared_error", R"([{"type":"conv","out_channels":3,"kernel":2}])", 2, 5, 5, 7, "mse"},
    {"more_images_than_a_round",
     R"([{"type":"conv","out_channels":2,"kernel":2},{"type":"relu"},{"type":"dense","units":6},{"type":"tanh"}])",
     1, 4, 4, 131},
    {"more_images_than_a_round_with_batch_norm",
     R"([{"type":"conv","out_channels":2,"kernel":2},{"type":"batch_norm"},{"type":"dropout","rate":0.2},{"type":"dense","units":6},{"type":"batch_norm"}])",
     1, 4, 4, 131},
};

// Those whose layers visit surviving weights alone (kernels/sparse.h).
constexpr Case kPrunedCases[] = {
    {.name = "pruned_conv_padded",
     .layers =
         R"([{"type":"conv","out_channels":5,"kernel":1},{"type":"conv","out_channels":6,"kernel":[3,5],"padding":"same"},{"type":"tanh"}])",
     .density = 0.3},
    {.name = "pruned_conv_strides_dilation_groups",
     .layers =
         R"([{"type":"conv","out_channels":6,"kernel":1},{"type":"conv","out_channels":8,"kernel":3,"stride":[2,3],"dilation":[1,2],"padding":[2,1,1,3],"groups":2},{"type":"tanh"}])",
     .height = 9,
     .width = 11,
     .density = 0.3},
    {.name = "pruned_dense",
     .layers = R"([{"type":"dense","units":19},{"type":"tanh"},{"type":"dense","units":13,"bias":false}])",
     .channels = 3,
     .images = 131,
     .density = 0.1},
    {.name = "pruned_dense_with_a_dense_gradient",
     .layers = R"([{"type":"dense","units":19},{"type":"tanh"},{"type":"dense","units":13,"bias":false}])",
     .channels = 3,
     .images = 18,
     .density = 0.4},
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.layers; }

class Gradient : public ::testing::TestWithParam<Case> {};

TEST_P(Gradient, matches_finite_differences) {
  const Case& c = GetParam();
  nlohmann::json spec{{"input", {{"channels", c.channels}, {"height", c.height}, {"width", c.width}}},
                      {"classes", 4},
                      {"layers", nlohmann::json::parse(c.layers)}};
  spec["layers"].push_back({{"type", "dense"}, {"units", "classes"}});
  const Graph graph = compile(spec);
  const Kernels& kernels = select_kernels("plain");
  ThreadPool pool(2);
  Executor executor(graph, kernels, pool, {.training = true, .max_batch = c.images});

  Parameters parameters(graph);
  initialize(graph, 7, parameters);
  Random random(3, RandomStream::kInitialization, 99);
  for (const ParameterInfo* info : graph.parameters()) {
    if (!info->trainable || info->initializer == Initializer::kUniform) continue;
    for (std::int64_t i = 0; i < info->size; ++i) {
      parameters.value[static_cast<std::size_t>(info->offset + i)] += random.uniform(-0.5, 0.5);
    }
  }

  if (c.density < 1) {
    parameters.mask.assign(static_cast<std::size_t>(graph.trainable_size), real{1});
    for (const Node& node : graph.nodes) {
      if (!has_weights(node)) continue;
      const ParameterInfo& weight = weight_of(node);
      for (std::int64_t i = 0; i < weight.size; ++i) {
        const auto at = static_cast<std::size_t>(weight.offset + i);
        if (random.uniform() < c.density) continue;
        parameters.mask[at] = parameters.value[at] = 0;
      }
    }
  }

  const int lanes = kernels.lanes, size = graph.input.shape.size();
  aligned_vector<real> images(static_cast<std::size_t>((c.images + lanes - 1) / lanes * lanes * size));
  for (int n = 0; n < c.images; ++n) {
    for (int i = 0; i < size; ++i) {
      images[static_cast<std::size_t>((n / lanes * size + i) * lanes + n % lanes)] = random.uniform(-2, 2);
    }
  }
  std::vector<Target> targets(static_cast<std::size_t>(c.images));
  for (Target& target : targets) {
    target = {static_cast<int>(random.below(4)), static_cast<int>(random.below(4)), c.lambda};
  }
  const Batch batch{
      .images = images.data(), .targets = targets.data(), .count = c.images, .seed = 5, .step = 2};
  const auto loss = [&] {
    executor.prepare(parameters);
    return executor.train(batch, find_loss(c.loss).function, c.label_smoothing, parameters).loss;
  };

  loss();
  const aligned_vector<real> gradient = parameters.gradient;
  // Differences of a loss near 1 in double are exact to about 1e-16 / h; the curvature adds h^2.
  constexpr double kStep = 1e-5, kTolerance = 2e-7;
  for (const ParameterInfo* info : graph.parameters()) {
    if (!info->trainable) continue;
    const std::int64_t every = std::max<std::int64_t>(info->size / 40, 1);
    for (std::int64_t i = 0; i < info->size; i += every) {
      const auto at = static_cast<std::size_t>(info->offset + i);
      if (!parameters.mask.empty() && parameters.mask[at] == 0) continue;
      const real kept = parameters.value[at];
      parameters.value[at] = kept + kStep;
      const double above = loss();
      parameters.value[at] = kept - kStep;
      const double below = loss();
      parameters.value[at] = kept;
      const double expected = (above - below) / (2 * kStep);
      ASSERT_NEAR(gradient[at], expected, kTolerance * std::max(1.0, std::abs(expected)))
          << info->name << "[" << i << "]";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, Gradient, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(PrunedLayers, Gradient, ::testing::ValuesIn(kPrunedCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace espalier
