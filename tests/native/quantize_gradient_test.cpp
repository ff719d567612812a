// The gradients of quantization-aware training, in double. Rounding has no useful derivative; what the
// straight-through estimator and LSQ give is that of a surrogate in which the rounding residuals are frozen
// at the point, x → x + scale · residual inside the range, and scale · outermost code outside. The
// surrogate's finite differences, through a float network that computes with the surrogate's numbers, are
// what the engine must give. Codebook levels have true derivatives.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/random.h"
#include "graph/executor.h"
#include "ops/weights.h"
#include "train/tables.h"

namespace espalier {
namespace {

using nlohmann::json;

static_assert(sizeof(real) == sizeof(double), "gradients are checked in double");

constexpr double kStep = 1e-5, kTolerance = 2e-7;

// A network, its parameters and a batch of numbers as images.
class Network {
 public:
  Network(const json& spec, int images)
      : graph(compile(spec)),
        parameters(graph),
        images_(images),
        executor_(graph, kernels_, pool_, {.training = true, .max_batch = images}) {
    initialize(graph, 7, parameters);
    Random random(3, RandomStream::kInitialization, 99);
    const int size = graph.input.shape.size(), lanes = kernels_.lanes;
    blocks_.resize(static_cast<std::size_t>((images + lanes - 1) / lanes * lanes * size));
    for (int n = 0; n < images; ++n) {
      for (int i = 0; i < size; ++i) pixel(n, i) = random.uniform(-2, 2);
      targets_.push_back({n * 7 % 3, 0, 1});
    }
  }

  double& pixel(int image, int i) {
    const int lanes = kernels_.lanes;
    return blocks_[static_cast<std::size_t>((image / lanes * graph.input.shape.size() + i) * lanes +
                                            image % lanes)];
  }
  double loss() {
    executor_.prepare(parameters);
    const Batch batch{
        .images = blocks_.data(), .targets = targets_.data(), .count = images_, .seed = 1, .step = 1};
    return executor_.train(batch, find_loss("softmax_cross_entropy").function, 0, parameters).loss;
  }
  const ParameterInfo& parameter(const std::string& name) const {
    for (const ParameterInfo* info : graph.parameters()) {
      if (info->name == name) return *info;
    }
    throw std::out_of_range(name);
  }
  double& value(const ParameterInfo& info, std::int64_t i) {
    return parameters.value[static_cast<std::size_t>(info.offset + i)];
  }
  double gradient(const ParameterInfo& info, std::int64_t i) const {
    return parameters.gradient[static_cast<std::size_t>(info.offset + i)];
  }

  Graph graph;
  Parameters parameters;

 private:
  int images_;
  const Kernels& kernels_ = select_kernels("plain");
  ThreadPool pool_{2};
  Executor executor_;
  aligned_vector<real> blocks_;
  std::vector<Target> targets_;
};

// Central differences of `loss` by `number`.
template <class Loss>
double difference(double& number, Loss&& loss) {
  const double kept = number;
  number = kept + kStep;
  const double above = loss();
  number = kept - kStep;
  const double below = loss();
  number = kept;
  return (above - below) / (2 * kStep);
}

void expect_close(double found, double expected, const std::string& what) {
  ASSERT_NEAR(found, expected, kTolerance * std::max(1.0, std::abs(expected))) << what;
}

struct Case {
  const char* name;
  const char* quantize;  // JSON
  double shrink = 1;     // of the fitted scales, so that some weights are clipped
  bool masked = false;
};

constexpr Case kCases[] = {
    {"symmetric_channel", R"({"scheme":"symmetric","bits":4,"learned":true})", 0.6},
    {"symmetric_unclipped", R"({"scheme":"symmetric","bits":8,"learned":true})"},
    {"symmetric_two_bits", R"({"scheme":"symmetric","bits":2,"learned":true})", 0.5},
    {"symmetric_tensor", R"({"scheme":"symmetric","bits":3,"learned":true,"granularity":"tensor"})", 0.6},
    {"symmetric_group",
     R"({"scheme":"symmetric","bits":3,"learned":true,"granularity":"group","group_size":4})", 0.6},
    {"symmetric_masked", R"({"scheme":"symmetric","bits":3,"learned":true})", 0.6, true},
    {"symmetric_not_learned", R"({"scheme":"symmetric","bits":3})", 0.6},
    {"affine_channel", R"({"scheme":"affine","bits":4,"learned":true})", 0.6},
    {"affine_group_masked",
     R"({"scheme":"affine","bits":3,"learned":true,"granularity":"group","group_size":5})", 0.7, true},
    {"ternary", R"({"scheme":"ternary","bits":2,"learned":true})"},
    {"ternary_masked", R"({"scheme":"ternary","bits":2,"learned":true})", 1, true},
    {"article", R"({"scheme":"article","bits":4})"},
    {"binary", R"({"scheme":"binary","bits":1})"},
    {"power_of_two", R"({"scheme":"power-of-two","bits":3})"},
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.quantize; }

json two_layers(const json& quantize) {
  json conv = {{"type", "conv"}, {"name", "conv"}, {"out_channels", 3}, {"kernel", 3}};
  json dense = {{"type", "dense"}, {"name", "dense"}, {"units", 3}};
  if (!quantize.is_null()) conv["quantize"] = dense["quantize"] = quantize;
  return {{"input", {{"channels", 2}, {"height", 5}, {"width", 4}}},
          {"classes", 3},
          {"layers", {conv, {{"type", "tanh"}}, dense}}};
}

class WeightGradient : public ::testing::TestWithParam<Case> {};

TEST_P(WeightGradient, is_that_of_the_surrogate) {
  const Case& c = GetParam();
  Network network(two_layers(json::parse(c.quantize)), 11);
  Network twin(two_layers(nullptr), 11);  // float, the same images
  Random random(5, RandomStream::kInitialization, 98);
  if (c.masked) {
    network.parameters.mask.assign(static_cast<std::size_t>(network.graph.trainable_size), 1.0);
    for (const char* name : {"conv.weight", "dense.weight"}) {
      const ParameterInfo& info = network.parameter(name);
      for (std::int64_t i = 0; i < info.size; ++i) {
        if (random.below(3) > 0) continue;
        network.parameters.mask[static_cast<std::size_t>(info.offset + i)] = 0;
        network.value(info, i) = 0;
      }
    }
  }
  for (const Node& node : network.graph.nodes) {
    if (!node.attributes.quantize.scheme) continue;
    fit_weights(node, RangeMethod::kMinMax, network.parameters.value.data());
    const ParameterInfo& scale = *grid_scale_of(node);
    for (std::int64_t i = 0; i < scale.size; ++i) network.value(scale, i) *= c.shrink;
  }

  int clipped = 0, scales = 0;
  for (const Node& node : network.graph.nodes) {
    const WeightQuantization& q = node.attributes.quantize;
    if (!q.scheme) continue;
    const ParameterInfo& weight = weight_of(node);
    const ParameterInfo& scale = *grid_scale_of(node);
    const std::int64_t rows = weight.shape[0], row = weight.size / rows;
    const auto mask = [&](std::int64_t i) {
      return c.masked ? network.parameters.mask[static_cast<std::size_t>(weight.offset + i)] : 1.0;
    };
    // Each weight is a · w + b · scale + d at the frozen point.
    std::vector<double> a(static_cast<std::size_t>(weight.size)), b(a), d(a);
    std::vector<std::int64_t> group_of(a.size());
    std::vector<double> factor;
    for (std::int64_t g = 0; g < scale.size; ++g) {
      const WeightGroup group = group_at(q, rows, row, g);
      const double s = network.value(scale, g);
      const ParameterInfo* offset = grid_offset_of(node);
      const double z = offset ? network.value(*offset, g) : 0;
      factor.push_back(1 / std::sqrt(static_cast<double>(group.size) * q.scheme->highest_code(q.bits)));
      for (std::int64_t i = group.begin; i < group.begin + group.size; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const double w = network.value(weight, i);
        group_of[at] = g;
        if (q.scheme == &kSymmetric || q.scheme == &kAffine) {
          const double lowest = q.scheme->lowest_code(q.bits) - z,
                       highest = q.scheme->highest_code(q.bits) - z;
          const double code = std::nearbyint(w / s);
          const bool inside = code >= lowest && code <= highest;
          clipped += inside ? 0 : 1;
          a[at] = inside ? 1 : 0;
          b[at] = inside ? code - w / s : code < lowest ? lowest : highest;
        } else if (q.scheme == &kTernary) {
          a[at] = 1;
          b[at] = std::abs(w) <= z ? 0 : w > 0 ? 1 : -1;
          d[at] = -w;
        } else {
          double level = 0;
          q.scheme->fake_quantize({&w, 1}, {s, z}, q.bits, &level);
          a[at] = 1;
          d[at] = level - w;
        }
      }
    }
    const auto surrogate_loss = [&] {
      for (const Node& other : network.graph.nodes) {
        if (!other.attributes.quantize.scheme) continue;
        std::vector<real> effective(network.parameters.value.begin(), network.parameters.value.end());
        fake_quantize_weights(other, network.parameters.value.data(), effective.data());
        const ParameterInfo& from = weight_of(other);
        const ParameterInfo& to = twin.parameter(from.name);
        for (std::int64_t i = 0; i < from.size; ++i) {
          const auto at = static_cast<std::size_t>(i);
          const double m =
              c.masked ? network.parameters.mask[static_cast<std::size_t>(from.offset + i)] : 1.0;
          twin.value(to, i) = m * (&other == &node ? a[at] * network.value(weight, i) +
                                                         b[at] * network.value(scale, group_of[at]) + d[at]
                                                   : effective[static_cast<std::size_t>(from.offset + i)]);
        }
      }
      return twin.loss();
    };
    ASSERT_NEAR(surrogate_loss(), network.loss(), 1e-12) << "the surrogate is the network at the point";
    const auto gradients = network.parameters.gradient;
    for (std::int64_t i = 0; i < weight.size; ++i) {
      if (mask(i) == 0) continue;
      const double expected = difference(network.value(weight, i), surrogate_loss);
      expect_close(gradients[static_cast<std::size_t>(weight.offset + i)], expected,
                   weight.name + "[" + std::to_string(i) + "]");
    }
    if (!q.learned) continue;
    for (std::int64_t g = 0; g < scale.size; ++g) {
      const double expected =
          difference(network.value(scale, g), surrogate_loss) * factor[static_cast<std::size_t>(g)];
      expect_close(gradients[static_cast<std::size_t>(scale.offset + g)], expected,
                   scale.name + "[" + std::to_string(g) + "]");
      ++scales;
    }
  }
  if (c.shrink < 1) {
    EXPECT_GT(clipped, 0);
  }
  EXPECT_EQ(scales > 0, json::parse(c.quantize).contains("learned"));
}

INSTANTIATE_TEST_SUITE_P(Schemes, WeightGradient, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

// dense → fake_quantize → dense; the twin is the last layer alone, on images that the test computes.
TEST(FeatureGradient, is_that_of_the_surrogate_for_scales_and_for_weights_below) {
  for (const int bits : {2, 4, 8}) {
    for (const double zero_point : {0.0, std::floor(0.4 * (1 << bits))}) {
      const json dense = {{"type", "dense"}, {"name", "below"}, {"units", 5}};
      const json quantizer = {{"type", "fake_quantize"}, {"name", "q"}, {"bits", bits}, {"learned", true}};
      const json last = {{"type", "dense"}, {"name", "last"}, {"units", 3}};
      constexpr int kImages = 19, kIn = 4, kOut = 5;
      Network network({{"input", {{"channels", kIn}, {"height", 1}, {"width", 1}}},
                       {"classes", 3},
                       {"layers", {dense, quantizer, last}}},
                      kImages);
      Network twin(
          {{"input", {{"channels", kOut}, {"height", 1}, {"width", 1}}}, {"classes", 3}, {"layers", {last}}},
          kImages);
      const ParameterInfo& weight = network.parameter("below.weight");
      const ParameterInfo& bias = network.parameter("below.bias");
      const ParameterInfo& scale = network.parameter("q.scale");
      network.value(scale, 0) = 3.0 / (1 << bits);
      network.value(network.parameter("q.zero_point"), 0) = zero_point;
      for (const char* name : {"last.weight", "last.bias"}) {
        const ParameterInfo& from = network.parameter(name);
        for (std::int64_t i = 0; i < from.size; ++i)
          twin.value(twin.parameter(name), i) = network.value(from, i);
      }
      const auto feature = [&](int image, int unit) {
        double x = network.value(bias, unit);
        for (int i = 0; i < kIn; ++i) x += network.value(weight, unit * kIn + i) * network.pixel(image, i);
        return x;
      };
      // Each feature is a · x + b · scale at the frozen point.
      std::vector<double> a(kImages * kOut), b(a);
      const double s = network.value(scale, 0), lowest = -zero_point, highest = (1 << bits) - 1 - zero_point;
      int clipped = 0;
      for (int n = 0; n < kImages; ++n) {
        for (int u = 0; u < kOut; ++u) {
          const auto at = static_cast<std::size_t>(n * kOut + u);
          const double x = feature(n, u), code = std::nearbyint(x / s);
          const bool inside = code >= lowest && code <= highest;
          clipped += inside ? 0 : 1;
          a[at] = inside ? 1 : 0;
          b[at] = inside ? code - x / s : code < lowest ? lowest : highest;
        }
      }
      ASSERT_GT(clipped, 0);
      ASSERT_LT(clipped, kImages * kOut);
      const auto surrogate_loss = [&] {
        for (int n = 0; n < kImages; ++n) {
          for (int u = 0; u < kOut; ++u) {
            const auto at = static_cast<std::size_t>(n * kOut + u);
            twin.pixel(n, u) = a[at] * feature(n, u) + b[at] * network.value(scale, 0);
          }
        }
        return twin.loss();
      };
      ASSERT_NEAR(surrogate_loss(), network.loss(), 1e-12);
      for (std::int64_t i = 0; i < weight.size; ++i) {
        expect_close(network.gradient(weight, i), difference(network.value(weight, i), surrogate_loss),
                     weight.name);
      }
      const double factor = 1 / std::sqrt(static_cast<double>(kOut) * ((1 << bits) - 1));
      expect_close(network.gradient(scale, 0), difference(network.value(scale, 0), surrogate_loss) * factor,
                   scale.name);
    }
  }
}

TEST(CodebookGradient, of_every_level_is_the_sum_over_its_weights) {
  for (const bool pinned : {true, false}) {
    for (const bool masked : {true, false}) {
      Network network(
          two_layers({{"scheme", "codebook"}, {"bits", 3}, {"learned", true}, {"pinned_zero", pinned}}), 11);
      Random random(5, RandomStream::kInitialization, 97);
      if (masked) network.parameters.mask.assign(static_cast<std::size_t>(network.graph.trainable_size), 1.0);
      for (const Node& node : network.graph.nodes) {
        if (!node.attributes.quantize.scheme) continue;
        for (std::int64_t i = 0; i < 8; ++i) {
          network.value(*codebook_of(node), i) = pinned && i == 0 ? 0 : random.uniform(-1, 1);
        }
        for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
          network.value(*codebook_index_of(node), i) = random.below(8);
          if (masked && random.below(3) == 0) {
            network.parameters.mask[static_cast<std::size_t>(weight_of(node).offset + i)] = 0;
          }
        }
      }
      network.loss();
      const auto gradients = network.parameters.gradient;
      for (const Node& node : network.graph.nodes) {
        if (!node.attributes.quantize.scheme) continue;
        const ParameterInfo& levels = *codebook_of(node);
        for (std::int64_t i = 0; i < 8; ++i) {
          const double expected = difference(network.value(levels, i), [&] { return network.loss(); });
          const double found = gradients[static_cast<std::size_t>(levels.offset + i)];
          if (pinned && i == 0) {
            EXPECT_EQ(found, 0);
          } else {
            expect_close(found, expected, levels.name);
          }
        }
        for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
          ASSERT_EQ(gradients[static_cast<std::size_t>(weight_of(node).offset + i)], 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace espalier
