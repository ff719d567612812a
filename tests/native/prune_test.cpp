// Pruning: which weights go, that they stay away, and that contradictions are refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "compress/finetune.h"
#include "compress/prune/pruner.h"
#include "core/error.h"
#include "core/math.h"
#include "core/random.h"
#include "data/digits.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

const Dataset& digits() {
  static const Dataset dataset = synthetic_digits(360, 60, 1);
  return dataset;
}

// Convolutions of several widths, a batch norm, dense layers; small enough for many trainings.
const json kSmall = json::parse(R"({
  "name": "small", "input": {"channels": 1, "height": 28, "width": 28}, "classes": 10,
  "layers": [
    {"type": "conv", "name": "conv1", "out_channels": 5, "kernel": 5, "stride": 2},
    {"type": "batch_norm", "name": "norm"}, {"type": "relu", "name": "relu1"},
    {"type": "conv", "name": "conv2", "out_channels": 7, "kernel": 3, "stride": 2},
    {"type": "relu", "name": "relu2"}, {"type": "flatten"},
    {"type": "dense", "name": "ip1", "units": 13}, {"type": "relu", "name": "relu3"},
    {"type": "dense", "name": "ip2", "units": "classes"}
  ]})");

json preset(std::string_view name) { return preset_spec(name, 1, 28, 28, 10); }

const Node& node_of(const Model& model, std::string_view name) {
  const auto& nodes = model.graph.nodes;
  return *std::find_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.name == name; });
}

// Biases and batch norms are random too, so that masking them shows.
std::unique_ptr<Model> random_model(const json& spec, std::uint64_t seed) {
  auto model = Model::create(spec, seed, &digits());
  Random random(seed, RandomStream::kDigits, 77);
  for (const Node& node : model->graph.nodes) {
    for (const ParameterInfo& info : node.parameters) {
      if (!info.trainable || &info == &node.parameters.front()) {
        if (node.op != &kBatchNorm || !info.trainable) continue;
      }
      for (std::int64_t i = 0; i < info.size; ++i) {
        model->parameters.value[static_cast<std::size_t>(info.offset + i)] =
            static_cast<real>(random.uniform(0.1, 1.0));
      }
    }
  }
  return model;
}

struct Session {
  ThreadPool pool;
  PassContext context;

  explicit Session(std::unique_ptr<Model> model, int threads = 1, std::string_view kernels = "auto",
                   const Dataset& dataset = digits())
      : pool(threads),
        context{.model = std::move(model),
                .dataset = dataset,
                .kernels = select_kernels(kernels),
                .pool = pool,
                .training = {.batch_size = 32, .learning_rate = 0.02}} {}

  Session& prune(const json& options) {
    context.report = {};
    finish(kPrunePass.start(context, options));
    return *this;
  }
  const Model& model() const { return *context.model; }
  const Report& report() const { return context.report; }
  std::string note(std::string_view name) const {
    for (const auto& [key, text] : report().notes) {
      if (key == name) return text;
    }
    return "";
  }
};

std::int64_t zeros(const Model& model, const ParameterInfo& info) {
  const auto begin = model.parameters.mask.begin() + info.offset;
  return std::count(begin, begin + info.size, real{0});
}

std::int64_t weights_in(const Model& model) {
  std::int64_t count = 0;
  for_each_weight(model.graph, [&](std::size_t) { ++count; });
  return count;
}

std::int64_t pruned_in(const Model& model) {
  std::int64_t count = 0;
  for_each_weight(model.graph, [&](std::size_t i) { count += model.parameters.mask[i] == 0 ? 1 : 0; });
  return count;
}

void expect_pruned_values_are_zero(const Model& model) {
  const auto& [value, gradient, mask] = model.parameters;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0) ASSERT_EQ(value[i], 0) << i;
  }
}

bool available(std::string_view name) {
  const auto all = available_kernels();
  return std::any_of(all.begin(), all.end(), [&](const Kernels* k) { return k->name == name; });
}

// ---- how much

TEST(Prune, hits_a_global_sparsity_exactly) {
  Random random(5, RandomStream::kDigits);
  for (int i = 0; i < 25; ++i) {
    const double sparsity = random.uniform(0.01, 0.97);
    Session run(random_model(kSmall, 3));
    run.prune({{"sparsity", sparsity}, {"criterion", i % 2 ? "magnitude" : "random"}});
    const std::int64_t all = weights_in(run.model());
    EXPECT_EQ(pruned_in(run.model()), std::llround(sparsity * static_cast<double>(all))) << sparsity;
    EXPECT_EQ(run.report().revived, 0);
    expect_pruned_values_are_zero(run.model());
  }
}

TEST(Prune, hits_the_sparsity_in_every_layer) {
  for (const double sparsity : {0.1, 0.5, 0.77, 0.9, 0.98}) {
    Session run(random_model(kSmall, 3));
    run.prune({{"sparsity", sparsity}, {"scope", "layer"}});
    for (const Node& node : run.model().graph.nodes) {
      if (!has_weights(node)) continue;
      const ParameterInfo& weight = weight_of(node);
      EXPECT_EQ(zeros(run.model(), weight), std::llround(sparsity * static_cast<double>(weight.size)))
          << node.name << " at " << sparsity;
    }
  }
}

TEST(Prune, takes_the_smallest_magnitudes_and_no_biases) {
  Session run(random_model(kSmall, 4));
  const auto original = run.model().parameters.value;
  run.prune({{"sparsity", 0.6}});
  real largest_pruned = 0, smallest_kept = 1e9;
  for_each_weight(run.model().graph, [&](std::size_t i) {
    const real size = std::abs(original[i]);
    if (run.model().parameters.mask[i] == 0) {
      largest_pruned = std::max(largest_pruned, size);
    } else {
      smallest_kept = std::min(smallest_kept, size);
    }
  });
  EXPECT_LE(largest_pruned, smallest_kept);
  EXPECT_EQ(std::count(run.model().parameters.mask.begin(), run.model().parameters.mask.end(), real{0}),
            pruned_in(run.model()));
}

TEST(Prune, by_threshold_takes_exactly_what_is_below_it) {
  Session run(random_model(kSmall, 4));
  const auto original = run.model().parameters.value;
  run.prune({{"threshold", 0.1}});
  for_each_weight(run.model().graph, [&](std::size_t i) {
    ASSERT_EQ(run.model().parameters.mask[i] == 0, std::abs(original[i]) < 0.1) << original[i];
  });
  EXPECT_GT(pruned_in(run.model()), 0);
}

TEST(Prune, by_bytes_prunes_as_little_as_fits) {
  for (const int bytes : {6000, 4000, 2500}) {
    Session run(random_model(kSmall, 4));
    ASSERT_GT(measure(run.model()).total.bytes, bytes);
    run.prune({{"bytes", bytes}});
    EXPECT_LE(run.report().after.total.bytes, bytes);
    const std::int64_t pruned = pruned_in(run.model());
    Session less(random_model(kSmall, 4));
    less.prune(
        {{"sparsity", static_cast<double>(pruned - 1) / static_cast<double>(weights_in(run.model()))}});
    ASSERT_EQ(pruned_in(less.model()), pruned - 1);
    EXPECT_GT(less.report().after.total.bytes, bytes);
  }
}

TEST(Prune, never_empties_a_layer) {
  for (const char* scope : {"global", "layer"}) {
    for (const char* granularity : {"weight", "row", "channel"}) {
      Session run(random_model(kSmall, 6));
      run.prune({{"sparsity", 0.9999}, {"scope", scope}, {"granularity", granularity}});
      for (const Node& node : run.model().graph.nodes) {
        if (!has_weights(node)) continue;
        EXPECT_LT(zeros(run.model(), weight_of(node)), weight_of(node).size)
            << node.name << ", " << scope << ", " << granularity;
      }
      EXPECT_NE(run.note("spared"), "") << scope << ", " << granularity;
    }
  }
}

// tests/golden/make_compression.py: torch.nn.utils.prune.
TEST(Prune, chooses_as_pytorch_does) {
  std::ifstream file(std::string(ESPALIER_SOURCE_DIR) + "/tests/golden/compression.json");
  const json golden = json::parse(file)["pruned"];
  const json spec =
      json::parse(R"({"input": {"channels": 3, "height": 3, "width": 3}, "classes": 6, "layers": [
    {"type": "conv", "name": "first", "out_channels": 8, "kernel": 3}, {"type": "flatten"},
    {"type": "dense", "name": "middle", "units": 11}, {"type": "dense", "name": "second", "units": 6}]})");
  const auto mask_after = [&](const json& options, const char* layer) {
    auto model = Model::create(spec, 1, nullptr);
    for (const char* name : {"first", "second"}) {
      const auto values = golden[name]["data"].get<std::vector<real>>();
      std::copy(values.begin(), values.end(),
                model->parameters.value.begin() + weight_of(node_of(*model, name)).offset);
    }
    Dataset data{.name = "none", .channels = 3, .height = 3, .width = 3};
    data.class_names.resize(6);
    Session run(std::move(model), 1, "auto", data);
    run.prune(options);
    const ParameterInfo& weight = weight_of(node_of(run.model(), layer));
    const auto begin = run.model().parameters.mask.begin() + weight.offset;
    return std::vector<real>(begin, begin + weight.size);
  };
  const auto expected = [](const json& tensor) { return tensor["data"].get<std::vector<real>>(); };
  EXPECT_EQ(mask_after({{"sparsity", 80.0 / 216}, {"layers", {"first"}}}, "first"),
            expected(golden["weights_80"]));
  const json both{{"sparsity", 141.0 / 282}, {"layers", {"first", "second"}}};
  EXPECT_EQ(mask_after(both, "first"), expected(golden["global_141"]["first"]));
  EXPECT_EQ(mask_after(both, "second"), expected(golden["global_141"]["second"]));
  const auto channels =
      mask_after({{"sparsity", 3.0 / 8}, {"layers", {"first"}}, {"granularity", "channel"}}, "first");
  for (std::size_t i = 0; i < channels.size(); ++i) {
    EXPECT_EQ(channels[i], expected(golden["channels_3"])[i / 27]) << i;
  }
}

TEST(Prune, leaves_other_layers_alone) {
  Session run(random_model(kSmall, 6));
  run.prune({{"sparsity", 0.5}, {"layers", {"conv*"}}});
  EXPECT_EQ(zeros(run.model(), weight_of(node_of(run.model(), "ip1"))), 0);
  EXPECT_EQ(zeros(run.model(), weight_of(node_of(run.model(), "ip2"))), 0);
  const std::int64_t convs =
      weight_of(node_of(run.model(), "conv1")).size + weight_of(node_of(run.model(), "conv2")).size;
  EXPECT_EQ(pruned_in(run.model()), std::llround(0.5 * static_cast<double>(convs)));
}

TEST(Cubic, rises_fast_and_then_slowly) {
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.9, 0), 0);
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.9, 0.5), 0.9 * 0.875);
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.9, 0.25), 0.9 * (1 - 0.421875));
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.9, 1), 0.9);
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.9, 7), 0.9);
}

// ---- what is pruned together

TEST(Granularity, n_of_m_holds_in_every_group) {
  for (const auto& [n, m] : {std::pair{2, 4}, {1, 4}, {3, 5}, {1, 2}, {4, 8}, {7, 64}}) {
    Session run(random_model(kSmall, 8));
    const auto original = run.model().parameters.value;
    run.prune({{"granularity", std::to_string(n) + ":" + std::to_string(m)}});
    for (const Node& node : run.model().graph.nodes) {
      if (!has_weights(node)) continue;
      const ParameterInfo& weight = weight_of(node);
      const std::int64_t rows = weight.shape[0], inputs = weight.shape[1], taps = weight.size / rows / inputs;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t tap = 0; tap < taps; ++tap) {
          for (std::int64_t first = 0; first < inputs; first += m) {
            int kept = 0;
            real largest_pruned = 0, smallest_kept = 1e9;
            const std::int64_t size = std::min<std::int64_t>(m, inputs - first);
            for (std::int64_t i = first; i < first + size; ++i) {
              const auto at = static_cast<std::size_t>(weight.offset + (row * inputs + i) * taps + tap);
              const real magnitude = std::abs(original[at]);
              if (run.model().parameters.mask[at] != 0) {
                ++kept;
                smallest_kept = std::min(smallest_kept, magnitude);
              } else {
                largest_pruned = std::max(largest_pruned, magnitude);
              }
            }
            ASSERT_EQ(kept, std::min<std::int64_t>(n, size)) << node.name;
            ASSERT_LE(largest_pruned, smallest_kept) << node.name;
          }
        }
      }
    }
  }
}

TEST(Granularity, rows_of_kernels_go_whole) {
  Session run(random_model(kSmall, 8));
  run.prune({{"granularity", "row"}, {"sparsity", 0.5}});
  std::int64_t empty = 0;
  for (const char* name : {"conv1", "conv2"}) {
    const Node& node = node_of(run.model(), name);
    const int width = node.attributes.kernel.width;
    for (std::int64_t i = 0; i < weight_of(node).size; i += width) {
      const auto begin = run.model().parameters.mask.begin() + weight_of(node).offset + i;
      const auto count = std::count(begin, begin + width, real{0});
      ASSERT_TRUE(count == 0 || count == width) << count;
      empty += count == width ? 1 : 0;
    }
  }
  EXPECT_GT(empty, 0);
}

bool is_pruned(const Model& model, const ParameterInfo& info, int row) {
  const std::int64_t size = info.size / info.shape[0];
  const auto begin = model.parameters.mask.begin() + info.offset + row * size;
  const auto count = std::count(begin, begin + size, real{0});
  EXPECT_TRUE(count == 0 || count == size) << info.name << " is half pruned";
  return count > 0;
}

TEST(Granularity, a_channel_takes_its_bias_and_batch_norm_along) {
  Session run(random_model(kSmall, 9));
  run.prune({{"granularity", "channel"}, {"sparsity", 0.5}, {"scope", "layer"}});
  const Model& model = run.model();
  const Node& conv = node_of(model, "conv1");
  const Node& norm = node_of(model, "norm");
  int pruned = 0;
  for (int c = 0; c < 5; ++c) {
    const bool out = is_pruned(model, weight_of(conv), c);
    pruned += out ? 1 : 0;
    EXPECT_EQ(is_pruned(model, *bias_of(conv), c), out);
    EXPECT_EQ(is_pruned(model, norm.parameters[0], c), out);
    EXPECT_EQ(is_pruned(model, norm.parameters[1], c), out);
  }
  EXPECT_EQ(pruned, 2);  // of 5, at most half
  EXPECT_EQ(zeros(model, weight_of(node_of(model, "ip2"))), 0);

  ThreadPool pool(1);
  Predictor predictor(model, select_kernels("auto"), pool);
  Shape shape;
  const std::vector<real> map = predictor.activation(digits().test.images.data(), "relu1", shape);
  for (int c = 0; c < 5; ++c) {
    const auto begin = map.begin() + c * shape.pixels();
    const bool silent = std::all_of(begin, begin + shape.pixels(), [](real x) { return x == 0; });
    if (is_pruned(model, weight_of(conv), c)) EXPECT_TRUE(silent);
  }
}

TEST(Granularity, channels_tied_by_additions_go_together) {
  Session run(random_model(preset("resnet"), 9));
  run.prune({{"granularity", "channel"}, {"sparsity", 0.5}, {"scope", "layer"}});
  const Model& model = run.model();
  const Node& stem = node_of(model, "stem");
  const Node& tied = node_of(model, "stage1_conv2");
  const Node& free = node_of(model, "stage1_conv1");
  int different = 0;
  for (int c = 0; c < 16; ++c) {
    EXPECT_EQ(is_pruned(model, weight_of(stem), c), is_pruned(model, weight_of(tied), c));
    different += is_pruned(model, weight_of(stem), c) != is_pruned(model, weight_of(free), c) ? 1 : 0;
  }
  EXPECT_GT(different, 0);
  EXPECT_EQ(zeros(model, weight_of(stem)), weight_of(stem).size / 2);
  EXPECT_EQ(zeros(model, weight_of(free)), weight_of(free).size / 2);
}

TEST(Granularity, depthwise_channels_follow_their_input) {
  Session run(random_model(preset("mobile"), 9));
  run.prune({{"granularity", "channel"}, {"sparsity", 0.4}, {"scope", "layer"}});
  const Model& model = run.model();
  int pruned = 0;
  for (int c = 0; c < 16; ++c) {
    const bool out = is_pruned(model, weight_of(node_of(model, "stem")), c);
    EXPECT_EQ(is_pruned(model, weight_of(node_of(model, "block1_depthwise")), c), out);
    EXPECT_EQ(is_pruned(model, node_of(model, "block1_depthwise_bn").parameters[0], c), out);
    pruned += out ? 1 : 0;
  }
  EXPECT_GT(pruned, 0);
  EXPECT_EQ(zeros(model, weight_of(node_of(model, "fc"))), 0);
}

TEST(Granularity, channels_tied_to_a_layer_that_stays_stay_too) {
  Session run(random_model(preset("resnet"), 9));
  run.prune({{"granularity", "channel"}, {"sparsity", 0.5}, {"layers", {"stage1_*"}}});
  EXPECT_EQ(zeros(run.model(), weight_of(node_of(run.model(), "stage1_conv2"))), 0);
  EXPECT_GT(zeros(run.model(), weight_of(node_of(run.model(), "stage1_conv1"))), 0);
}

// ---- criteria

// Two pixels, three classes, one dense layer: gradients are (p - y) · x.
struct Tiny {
  Dataset data;
  json spec = json::parse(R"({"input": {"channels": 1, "height": 1, "width": 2}, "classes": 3,
    "layers": [{"type": "flatten"}, {"type": "dense", "name": "ip", "units": "classes"}]})");

  Tiny() {
    data = {.name = "tiny", .channels = 1, .height = 1, .width = 2, .class_names = {"a", "b", "c"}};
    Random random(3, RandomStream::kDigits);
    for (int i = 0; i < 21; ++i) {
      for (int p = 0; p < 2; ++p) data.train.images.push_back(static_cast<std::uint8_t>(random.below(256)));
      data.train.labels.push_back(static_cast<std::uint16_t>(random.below(3)));
    }
  }
  std::unique_ptr<Model> model() const { return std::make_unique<Model>(*Model::create(spec, 5, nullptr)); }
};

TEST(Criterion, gradient_taylor_and_fisher_are_the_means_that_they_say) {
  const Tiny tiny;
  Session run(tiny.model(), 1, "auto", tiny.data);
  const Model& model = run.model();
  const real* w = model.parameters.value.data() + weight_of(model.graph.nodes[1]).offset;
  double size[6] = {}, product[6] = {}, square[6] = {};
  const int samples = tiny.data.train.count();
  for (int i = 0; i < samples; ++i) {
    const double x[2] = {tiny.data.train.images[static_cast<std::size_t>(2 * i)] / 255.0,
                         tiny.data.train.images[static_cast<std::size_t>(2 * i + 1)] / 255.0};
    double e[3], sum = 0;
    for (int o = 0; o < 3; ++o) sum += e[o] = std::exp(w[2 * o] * x[0] + w[2 * o + 1] * x[1]);
    for (int o = 0; o < 3; ++o) {
      for (int p = 0; p < 2; ++p) {
        const double y = tiny.data.train.labels[static_cast<std::size_t>(i)] == o ? 1 : 0;
        const double g = (e[o] / sum - y) * x[p];
        size[2 * o + p] += std::abs(g) / samples;
        product[2 * o + p] += std::abs(w[2 * o + p] * g) / samples;
        square[2 * o + p] += g * g * w[2 * o + p] * w[2 * o + p] / 2 / samples;
      }
    }
  }
  const auto expect = [&](const Criterion& criterion, const double* expected) {
    const PruneSettings settings{
        .criterion = &criterion, .amount = {.sparsity = 0.5}, .layers = std::vector<bool>(2, true)};
    Pruner pruner(*run.context.model, run.context, settings);
    finish(pruner.measure());
    const std::vector<double> scores = pruner.unit_scores();
    ASSERT_EQ(scores.size(), 6u);
    // Float gradients against double ones.
    for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(scores[i], expected[i], 1e-5) << criterion.name << i;
  };
  expect(kGradient, size);
  expect(kTaylor, product);
  expect(kFisher, square);
}

TEST(Criterion, measuring_leaves_the_model_as_it_was) {
  Session run(random_model(preset("resnet"), 2));
  const Model before = run.model();
  GradientStatistics gradients(run.model().graph);
  ActivityStatistics activity(run.model().graph);
  finish(record_gradients(run.model(), run.context, 5, gradients));
  finish(record_activity(run.model(), run.context, 5, activity));
  EXPECT_EQ(gradients.samples(), 5);
  EXPECT_EQ(before.parameters.value, run.model().parameters.value);
  double total = 0;
  for_each_weight(before.graph, [&](std::size_t i) { total += gradients.mean_size(i); });
  EXPECT_GT(total, 0);
}

TEST(Criterion, activity_counts_what_is_behind_the_rectifier) {
  Session run(random_model(kSmall, 2), 2);
  const int images = 37;
  ActivityStatistics activity(run.model().graph);
  finish(record_activity(run.model(), run.context, images, activity));

  // The same images, one at a time: the first of the shuffled order of epoch 0.
  const Dataset& data = digits();
  Batcher batcher(1, 28, 28, run.context.kernels.lanes, 1, run.model().graph.input.mean,
                  run.model().graph.input.standard_deviation);
  Executor executor(run.model().graph, run.context.kernels, run.pool, {.max_batch = 1, .keep_values = true});
  executor.prepare(run.model().parameters);
  const std::pair<const char*, const char*> layers[] = {
      {"conv1", "relu1"}, {"conv2", "relu2"}, {"ip1", "relu3"}, {"ip2", "ip2"}};
  for (const auto& [layer, observed] : layers) {
    const Node& node = node_of(run.model(), layer);
    const Node& behind = node_of(run.model(), observed);
    const int value = static_cast<int>(behind.index) + 1;
    EXPECT_EQ(activity.observed(node), value);
    std::vector<double> size(static_cast<std::size_t>(node.out_shape.channels)), nonzero(size.size());
    std::vector<real> map(static_cast<std::size_t>(behind.out_shape.size()));
    std::vector<real> logits(10);
    const int pixels = behind.out_shape.pixels();
    for (int i = 0; i < images; ++i) {
      batcher.load_training(
          data.train, {},
          {.population = data.train.count(), .seed = run.context.training.seed, .first = i, .count = 1},
          run.pool);
      executor.infer({.images = batcher.images(), .count = 1}, logits.data());
      executor.copy_value(value, 0, map.data());
      for (std::size_t p = 0; p < map.size(); ++p) {
        size[p / static_cast<std::size_t>(pixels)] += std::abs(map[p]);
        nonzero[p / static_cast<std::size_t>(pixels)] += map[p] != 0 ? 1 : 0;
      }
    }
    for (std::size_t c = 0; c < size.size(); ++c) {
      EXPECT_NEAR(activity.mean_size(node, static_cast<int>(c)), size[c] / images / pixels, 1e-9);
      EXPECT_DOUBLE_EQ(activity.share_of_nonzeros(node, static_cast<int>(c)), nonzero[c] / images / pixels);
    }
  }
}

TEST(Criterion, activity_prunes_the_channel_that_is_never_active) {
  for (const char* criterion : {"activity", "activity-zeros"}) {
    auto model = random_model(kSmall, 2);
    // A large negative bias: channel 4 of conv2 and neuron 6 of ip1 never pass their rectifiers.
    model->parameters.value[static_cast<std::size_t>(bias_of(node_of(*model, "conv2"))->offset + 4)] = -1000;
    model->parameters.value[static_cast<std::size_t>(bias_of(node_of(*model, "ip1"))->offset + 6)] = -1000;
    Session run(std::move(model));
    run.prune({{"criterion", criterion}, {"granularity", "channel"}, {"sparsity", 0.2}, {"scope", "layer"}});
    EXPECT_TRUE(is_pruned(run.model(), weight_of(node_of(run.model(), "conv2")), 4)) << criterion;
    EXPECT_TRUE(is_pruned(run.model(), weight_of(node_of(run.model(), "ip1")), 6)) << criterion;
  }
}

TEST(Criterion, batch_norm_scale_takes_the_smallest_and_spares_layers_without_one) {
  auto model = random_model(kSmall, 2);
  real* gamma = model->parameters.value.data() + node_of(*model, "norm").parameters[0].offset;
  const real gammas[] = {0.9, -0.1, 0.5, -0.8, 0.2};
  std::copy_n(gammas, 5, gamma);
  Session run(std::move(model));
  run.prune({{"criterion", "batch-norm-scale"}, {"granularity", "channel"}, {"sparsity", 0.4}});
  const bool expected[] = {false, true, false, false, true};
  for (int c = 0; c < 5; ++c) {
    EXPECT_EQ(is_pruned(run.model(), weight_of(node_of(run.model(), "conv1")), c), expected[c]) << c;
  }
  for (const char* name : {"conv2", "ip1", "ip2"}) {
    EXPECT_EQ(zeros(run.model(), weight_of(node_of(run.model(), name))), 0);
  }
}

TEST(Criterion, l1_and_l2_differ_for_channels) {
  auto model = random_model(kSmall, 2);
  const Node& conv = node_of(*model, "conv1");
  real* weight = model->parameters.value.data() + weight_of(conv).offset;
  std::fill_n(weight, 5 * 25, real{1});
  // Channel 0: one large weight, mean 0.4, root of the mean square 2; channel 1: 0.5 everywhere.
  std::fill_n(weight, 25, real{0});
  weight[0] = 10;
  std::fill_n(weight + 25, 25, real{0.5});
  const json options{{"granularity", "channel"}, {"sparsity", 0.2}, {"layers", {"conv1"}}};
  for (const auto& [criterion, pruned] : {std::pair{"magnitude", 0}, {"magnitude-l2", 1}}) {
    Session run(copy_of(*model));
    json with = options;
    with["criterion"] = criterion;
    run.prune(with);
    for (int c = 0; c < 5; ++c) {
      EXPECT_EQ(is_pruned(run.model(), weight_of(conv), c), c == pruned) << criterion << c;
    }
  }
}

TEST(Criterion, random_depends_on_the_seed_alone) {
  const auto mask = [](std::uint64_t seed) {
    Session run(random_model(kSmall, 2));
    run.context.training.seed = seed;
    run.prune({{"criterion", "random"}, {"sparsity", 0.5}});
    return run.model().parameters.mask;
  };
  EXPECT_EQ(mask(1), mask(1));
  EXPECT_NE(mask(1), mask(2));
}

// ---- with fine-tuning

TEST(Finetune, masks_survive_every_optimizer_and_schedule) {
  for (const char* optimizer : {"sgd", "momentum", "nesterov", "adam", "adamw"}) {
    for (const char* schedule : {"one-shot", "iterative", "cubic", "splicing"}) {
      Session run(random_model(kSmall, 3), 2);
      run.context.training.optimizer = optimizer;
      run.context.training.learning_rate = 0.005;
      run.context.training.weight_decay = 0.01;
      run.prune(
          {{"sparsity", 0.8}, {"schedule", schedule}, {"finetune", 2}, {"rounds", 2}, {"control", false}});
      EXPECT_EQ(run.report().revived, 0);
      expect_pruned_values_are_zero(run.model());
      EXPECT_EQ(pruned_in(run.model()), std::llround(0.8 * static_cast<double>(weights_in(run.model()))))
          << optimizer << ", " << schedule;
    }
  }
}

TEST(Finetune, every_criterion_works_with_every_schedule) {
  for (const Criterion* criterion : criteria()) {
    for (const char* schedule : {"iterative", "cubic", "splicing"}) {
      Session run(random_model(kSmall, 3), 2);
      run.context.training.limit = 100;
      run.prune({{"sparsity", 0.5},
                 {"criterion", criterion->name},
                 {"granularity", "channel"},
                 {"schedule", schedule},
                 {"samples", 20},
                 {"finetune", 2},
                 {"rounds", 2},
                 {"control", false}});
      EXPECT_EQ(run.report().revived, 0);
      EXPECT_GT(pruned_in(run.model()), 0) << criterion->name << ", " << schedule;
    }
  }
}

TEST(Finetune, reports_accuracies_and_a_control) {
  Session run(random_model(kSmall, 3));
  run.prune({{"sparsity", 0.5}, {"schedule", "one-shot"}, {"finetune", 1}});
  EXPECT_TRUE(run.report().accuracy_before && run.report().accuracy_after);
  EXPECT_TRUE(run.report().accuracy_finetuned && run.report().accuracy_control);
  EXPECT_EQ(run.report().finetune_epochs, 1);
  EXPECT_EQ(run.report().pass, "prune");
  run.prune({{"sparsity", 0.6}, {"finetune", 1}, {"control", false}});  // cubic
  EXPECT_FALSE(run.report().accuracy_after || run.report().accuracy_control);
  EXPECT_EQ(run.note("schedule"), "cubic");
  run.prune({{"sparsity", 0.7}});
  EXPECT_TRUE(run.report().accuracy_after && !run.report().accuracy_finetuned);
  EXPECT_EQ(run.note("schedule"), "one-shot");
}

TEST(Cubic, follows_its_curve_in_a_training) {
  Session run(random_model(kSmall, 3));
  Work work = kPrunePass.start(run.context, {{"sparsity", 0.9}, {"finetune", 4}, {"control", false}});
  const double all = static_cast<double>(weights_in(run.model()));
  std::int64_t seen = -1;
  bool halfway = false;
  while (work.advance()) {
    if (work.progress().stage != "fine-tune" || work.progress().done == seen) continue;
    seen = work.progress().done;
    const std::int64_t ramp = work.progress().total / 2;
    if (seen == 0) continue;
    // Masks were last changed before this step; with 11 steps an epoch there is an update at each.
    const double x = static_cast<double>(seen - 1) / static_cast<double>(ramp);
    EXPECT_EQ(pruned_in(run.model()), std::llround(cubic_sparsity(0.9, x) * all)) << seen;
    halfway = halfway || (x > 0.3 && x < 0.7);
  }
  EXPECT_TRUE(halfway);
}

TEST(Splicing, brings_weights_back) {
  Session run(random_model(kSmall, 3));
  run.context.training.learning_rate = 0.1;
  run.prune({{"sparsity", 0.8}, {"schedule", "splicing"}, {"finetune", 3}, {"control", false}});
  EXPECT_GT(std::stoi(run.note("brought back")), 0);
  // A quiet training brings nothing back: the threshold has two sides.
  Session quiet(random_model(kSmall, 3));
  quiet.context.training.learning_rate = 1e-9;
  quiet.prune({{"sparsity", 0.8}, {"schedule", "splicing"}, {"finetune", 3}, {"control", false}});
  EXPECT_EQ(quiet.note("brought back"), "0 weights");
}

TEST(Splicing, keeps_n_of_m) {
  Session run(random_model(kSmall, 3));
  run.prune({{"granularity", "2:4"}, {"schedule", "splicing"}, {"finetune", 2}, {"control", false}});
  const Node& ip2 = node_of(run.model(), "ip2");  // 10 x 13: groups of 4, 4, 4 and 1
  EXPECT_EQ(zeros(run.model(), weight_of(ip2)), 10 * 3 * 2);
}

TEST(Rewinding, survivors_take_their_early_values) {
  const auto early = random_model(kSmall, 3);
  auto late = random_model(kSmall, 11);
  const auto late_values = late->parameters.value;
  for (const char* schedule : {"one-shot", "iterative"}) {
    Session run(copy_of(*late));
    run.context.early = early.get();
    run.context.training.learning_rate = 0;
    run.prune(
        {{"sparsity", 0.7}, {"rewind", true}, {"schedule", schedule}, {"finetune", 3}, {"control", false}});
    const auto& mask = run.model().parameters.mask;
    for (const Node& node : run.model().graph.nodes) {
      if (node.op == &kBatchNorm) continue;  // its running statistics move
      for (const ParameterInfo& info : node.parameters) {
        for (auto i = static_cast<std::size_t>(info.offset);
             i < static_cast<std::size_t>(info.offset + info.size); ++i) {
          ASSERT_EQ(run.model().parameters.value[i], mask[i] * early->parameters.value[i]);
        }
      }
    }
    EXPECT_EQ(pruned_in(run.model()), std::llround(0.7 * static_cast<double>(weights_in(run.model()))));
  }
  // The mask is the late model's all the same.
  Session plain(copy_of(*late)), rewound(copy_of(*late));
  rewound.context.early = early.get();
  plain.prune({{"sparsity", 0.7}});
  rewound.prune({{"sparsity", 0.7}, {"rewind", true}, {"finetune", 1}, {"control", false}});
  EXPECT_EQ(plain.model().parameters.mask, rewound.model().parameters.mask);
}

// ---- with other passes

TEST(Composition, pruning_again_never_brings_weights_back) {
  Random random(8, RandomStream::kDigits);
  for (int i = 0; i < 12; ++i) {
    Session run(random_model(kSmall, 3));
    run.prune({{"sparsity", 0.3 + 0.3 * random.uniform()}, {"criterion", "random"}});
    const auto first = run.model().parameters.mask;
    const json second[] = {
        {{"sparsity", 0.7}},
        {{"granularity", "channel"}, {"sparsity", 0.4}},
        {{"granularity", "2:4"}},
        {{"granularity", "row"}, {"sparsity", 0.3}},
        {{"sparsity", 0.1}},  // less than there is
        {{"sparsity", 0.8}, {"schedule", "splicing"}, {"finetune", 1}, {"control", false}},
    };
    run.prune(second[i % 6]);
    const auto& mask = run.model().parameters.mask;
    for (std::size_t w = 0; w < mask.size(); ++w) {
      if (first[w] == 0) ASSERT_EQ(mask[w], 0) << second[i % 6];
    }
    EXPECT_EQ(run.report().revived, 0);
    if (i % 6 == 0) {
      EXPECT_EQ(pruned_in(run.model()), std::llround(0.7 * static_cast<double>(weights_in(run.model()))));
    }
    if (i % 6 == 4) EXPECT_EQ(mask, first);
  }
}

json quantized(json spec, const json& quantize) {
  for (json& layer : spec["layers"]) {
    if (layer["type"] == "conv" || layer["type"] == "dense") layer["quantize"] = quantize;
  }
  return spec;
}

TEST(Composition, pruned_weights_stay_zero_under_grids) {
  const json schemes[] = {{{"scheme", "symmetric"}, {"bits", 4}},
                          {{"scheme", "article"}, {"bits", 4}},  // its grid has no zero
                          {{"scheme", "symmetric"}, {"bits", 3}, {"learned", true}}};
  for (const json& scheme : schemes) {
    for (const char* granularity : {"weight", "channel"}) {
      Session run(random_model(quantized(kSmall, scheme), 3), 2);
      run.prune({{"sparsity", 0.5},
                 {"scope", std::string(granularity) == "channel" ? "layer" : "global"},
                 {"granularity", granularity},
                 {"finetune", 2},
                 {"control", false}});
      EXPECT_EQ(run.report().revived, 0);
      expect_pruned_values_are_zero(run.model());
      if (std::string(granularity) == "weight") {
        EXPECT_EQ(pruned_in(run.model()), std::llround(0.5 * static_cast<double>(weights_in(run.model()))));
      } else {
        // A silent channel is silent on the grid too.
        ThreadPool pool(1);
        Predictor predictor(run.model(), select_kernels("auto"), pool);
        Shape shape;
        const auto map = predictor.activation(digits().test.images.data(), "conv2", shape);
        int pruned = 0;
        for (int c = 0; c < 7; ++c) {
          if (!is_pruned(run.model(), weight_of(node_of(run.model(), "conv2")), c)) continue;
          ++pruned;
          for (int p = 0; p < shape.pixels(); ++p) {
            ASSERT_EQ(map[static_cast<std::size_t>(c * shape.pixels() + p)], 0);
          }
        }
        EXPECT_GT(pruned, 0);
      }
    }
  }
}

TEST(Composition, slimming_removes_what_channels_left_behind) {
  for (const char* name : {"resnet", "mobile"}) {
    const json options{{"granularity", "channel"}, {"sparsity", 0.5}, {"scope", "layer"}};
    Session masked(random_model(preset(name), 9)), slimmed(random_model(preset(name), 9));
    masked.prune(options);
    json with = options;
    with["slim"] = true;
    slimmed.prune(with);
    EXPECT_LT(slimmed.report().after.total.macs, masked.report().after.total.macs / 2) << name;
    EXPECT_LT(slimmed.model().graph.parameter_count(), masked.model().graph.parameter_count() / 2) << name;
    ThreadPool pool(1);
    Predictor one(masked.model(), select_kernels("auto"), pool);
    Predictor other(slimmed.model(), select_kernels("auto"), pool);
    std::vector<real> a(200), b(200);
    one.predict(digits().test.images.data(), 20, a.data());
    other.predict(digits().test.images.data(), 20, b.data());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4) << name;
  }
}

TEST(Composition, pruned_codebooks_keep_their_zeros) {
  const json shared = quantized(kSmall, {{"scheme", "codebook"}, {"bits", 4}, {"learned", true}});
  auto model = random_model(shared, 3);
  Random random(4, RandomStream::kDigits);
  for (const Node& node : model->graph.nodes) {
    if (!has_weights(node)) continue;
    real* value = model->parameters.value.data();
    for (int level = 1; level < 16; ++level) {
      value[codebook_of(node)->offset + level] = static_cast<real>(random.uniform(-0.3, 0.3));
    }
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
      value[codebook_index_of(node)->offset + i] = static_cast<real>(1 + random.below(15));
    }
  }
  const Model original = *model;
  Session run(std::move(model));
  run.prune({{"sparsity", 0.5}, {"finetune", 1}, {"schedule", "one-shot"}, {"control", false}});
  // By what the levels stand for, not by what lies in the unused weights.
  std::vector<real> decoded;
  take_scored_weights(original, decoded);
  real largest_pruned = 0, smallest_kept = 1e9;
  for_each_weight(original.graph, [&](std::size_t i) {
    real& side = run.model().parameters.mask[i] == 0 ? largest_pruned : smallest_kept;
    side = &side == &largest_pruned ? std::max(side, std::abs(decoded[i]))
                                    : std::min(side, std::abs(decoded[i]));
  });
  EXPECT_LE(largest_pruned, smallest_kept);
  EXPECT_GT(largest_pruned, 0);
  EXPECT_EQ(run.report().revived, 0);
  try {
    run.prune({{"criterion", "taylor"}, {"sparsity", 0.6}});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).substr(0, 70),
              "criterion: \"taylor\" needs gradients, but the weights of conv1 are leve");
  }
}

TEST(Composition, frozen_layers_are_scored_by_a_pass_of_their_own) {
  Session run(random_model(kSmall, 3));
  run.context.training.freeze = {"conv*", "norm"};
  const json options{{"criterion", "taylor"}, {"sparsity", 0.5}, {"finetune", 1}, {"control", false}};
  try {
    run.prune(options);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "schedule");
    EXPECT_NE(error.message().find("the frozen layer conv1 does not have"), std::string::npos);
  }
  json once = options;
  once["schedule"] = "one-shot";
  run.prune(once);
  const ParameterInfo& weight = weight_of(node_of(run.model(), "conv1"));
  EXPECT_GT(zeros(run.model(), weight), 0);
  EXPECT_LT(zeros(run.model(), weight), weight.size);
  EXPECT_EQ(run.report().revived, 0);
}

// ---- the same everywhere

aligned_vector<real> pruned_values(const json& options, std::string_view kernels, int threads) {
  Session run(random_model(kSmall, 3), threads, kernels);
  run.prune(options);
  auto values = run.model().parameters.value;
  values.insert(values.end(), run.model().parameters.mask.begin(), run.model().parameters.mask.end());
  return values;
}

const json kRuns[] = {
    {{"sparsity", 0.8}, {"criterion", "taylor"}, {"finetune", 2}, {"control", false}},
    {{"sparsity", 0.5},
     {"criterion", "activity"},
     {"granularity", "channel"},
     {"finetune", 2},
     {"control", false}},
    {{"sparsity", 0.8}, {"criterion", "fisher"}, {"samples", 30}},
    {{"sparsity", 0.8}, {"schedule", "splicing"}, {"finetune", 2}, {"control", false}},
};

TEST(Prune, gives_the_same_bits_for_any_number_of_threads) {
  for (const json& options : kRuns) {
    EXPECT_EQ(pruned_values(options, "auto", 1), pruned_values(options, "auto", 3)) << options;
  }
}

TEST(Prune, gives_the_same_bits_for_8_and_16_lanes) {
  if (!available("avx512")) GTEST_SKIP() << "this processor has no AVX-512";
  for (const json& options : kRuns) {
    EXPECT_EQ(pruned_values(options, "avx2", 2), pruned_values(options, "avx512", 2)) << options;
  }
}

// ---- mistakes

TEST(Prune, refuses_what_contradicts_itself) {
  const struct {
    json options;
    const char* message;
  } cases[] = {
      {{{"sparsity", 1}}, "sparsity: is 1, which prunes every weight; choose less, such as 0.9"},
      {{{"sparsity", 1.5}}, "sparsity: must be a number from 0 to 1, found 1.5"},
      {{{"sparsity", -0.5}}, "sparsity: must be a number from 0 to 1, found -0.5"},
      {json::object(), "sparsity: is missing; say how much to prune by sparsity, threshold or bytes"},
      {{{"sparsity", 0.5}, {"threshold", 0.1}},
       "sparsity: contradicts the others; give only one of sparsity, threshold and bytes"},
      {{{"bytes", 100}, {"threshold", 0.1}}, "sparsity: contradicts the others"},
      {{{"bytes", 100}}, "bytes: is 100, but this pruning cannot make \"small\" smaller than "},
      {{{"granularity", "2:4"}, {"sparsity", 0.6}},
       "granularity: 2:4 itself says how much is pruned; leave out sparsity, threshold and bytes"},
      {{{"granularity", "4:2"}}, "granularity: must be weight, row, channel or N:M with 1 <= N < M <= 64"},
      {{{"granularity", "0:4"}}, "granularity: must be"},
      {{{"granularity", "2:4x"}}, "granularity: must be"},
      {{{"granularity", "2:65"}}, "granularity: must be"},
      {{{"granularity", "2:"}}, "granularity: must be"},
      {{{"granularity", "99999999999:4"}}, "granularity: must be"},
      {{{"granularity", "filter"}, {"sparsity", 0.5}}, "granularity: must be"},
      {{{"criterion", "size"}, {"sparsity", 0.5}},
       "criterion: must be one of magnitude, magnitude-l2, gradient"},
      {{{"criterion", "activity"}, {"sparsity", 0.5}},
       "criterion: \"activity\" scores whole channels and neurons; add granularity \"channel\""},
      {{{"criterion", "batch-norm-scale"},
        {"granularity", "channel"},
        {"sparsity", 0.5},
        {"layers", {"ip*"}}},
       "layers: leaves nothing to prune in \"small\""},
      {{{"layers", {"ip2"}}, {"granularity", "channel"}, {"sparsity", 0.5}},
       "layers: leaves nothing to prune"},
      {{{"layers", {"relu1"}}, {"sparsity", 0.5}}, "layers: leaves nothing to prune"},
      {{{"layers", {"conv9"}}, {"sparsity", 0.5}}, "layers: names \"conv9\", but the model \"small\" has no"},
      {{{"schedule", "cubic"}, {"sparsity", 0.5}},
       "schedule: \"cubic\" prunes while it fine-tunes; give finetune some epochs or take \"one-shot\""},
      {{{"schedule", "iterative"}, {"sparsity", 0.5}, {"finetune", 2}},
       "rounds: is 3, but each round needs an epoch of fine-tuning; finetune is 2"},
      {{{"schedule", "cubic"}, {"granularity", "2:4"}, {"finetune", 2}},
       "schedule: \"cubic\" prunes little by little, but 2:4 is all or nothing"},
      {{{"schedule", "cubic"}, {"threshold", 0.1}, {"finetune", 2}}, "threshold: prunes all at once"},
      {{{"rewind", true}, {"sparsity", 0.5}}, "rewind: needs fine-tuning afterwards"},
      {{{"rewind", true}, {"sparsity", 0.5}, {"finetune", 1}},
       "rewind: needs the model as it was early in its training, which was not given"},
      {{{"rewind", true}, {"sparsity", 0.5}, {"finetune", 1}, {"schedule", "cubic"}},
       "rewind: fits the schedules \"one-shot\" and \"iterative\""},
      {{{"sparsety", 0.5}}, "sparsety: is unknown; the fields are criterion, sparsity"},
  };
  for (const auto& [options, message] : cases) {
    Session run(random_model(kSmall, 3));
    try {
      run.prune(options);
      ADD_FAILURE() << options << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kArgument) << options;
      EXPECT_EQ(std::string(error.what()).substr(0, std::string(message).size()), message);
    }
  }
}

TEST(Prune, refuses_an_early_model_of_another_shape) {
  const auto early = random_model(preset("small"), 1);
  Session run(random_model(kSmall, 3));
  run.context.early = early.get();
  try {
    run.prune({{"rewind", true}, {"sparsity", 0.5}, {"finetune", 1}});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kArgument);
    EXPECT_NE(std::string(error.what()).find("early model that has no conv1.weight"), std::string::npos);
  }
}

TEST(Prune, refuses_to_measure_on_no_images) {
  Dataset empty = digits();
  empty.train = {};
  for (const char* criterion : {"gradient", "activity"}) {
    Session run(random_model(kSmall, 3), 1, "auto", empty);
    try {
      run.prune({{"criterion", criterion}, {"granularity", "channel"}, {"sparsity", 0.5}});
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kData);
      EXPECT_NE(std::string(error.what()).find("has no training images"), std::string::npos);
    }
  }
}

TEST(Prune, lists_every_criterion_in_its_options) {
  const json fields = kPrunePass.defaults();
  EXPECT_EQ(fields[0]["choices"], names_of(criteria()));
  EXPECT_EQ(&find_criterion("taylor"), &kTaylor);
}

}  // namespace
}  // namespace espalier
