// Passes after each other, in any order: whatever the sequence, a pass either refuses and leaves the model as
// it was, or keeps what holds of every compressed model.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "core/error.h"
#include "core/random.h"
#include "data/digits.h"
#include "io/checkpoint.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

const Dataset& digits() {
  static const Dataset dataset = [] {
    Dataset drawn = synthetic_digits(160, 40, 5);
    split_validation(drawn, 30);
    return drawn;
  }();
  return dataset;
}

ThreadPool& pool() {
  static ThreadPool threads(2);
  return threads;
}

// A residual sum, a depthwise convolution, a concatenation, batch norms and two dense layers.
const json kSpec = json::parse(R"({
  "name": "mixed", "input": {"channels": 1, "height": 28, "width": 28}, "classes": 10,
  "layers": [
    {"type": "conv", "name": "stem", "out_channels": 8, "kernel": 5, "stride": 2, "bias": false},
    {"type": "batch_norm", "name": "stem_norm"}, {"type": "relu", "name": "stem_relu"},
    {"type": "conv", "name": "depthwise", "kernel": 3, "padding": "same", "groups": "depthwise"},
    {"type": "conv", "name": "pointwise", "out_channels": 8, "kernel": 1},
    {"type": "batch_norm", "name": "norm"},
    {"type": "add", "name": "sum", "inputs": ["norm", "stem_relu"]}, {"type": "relu", "name": "sum_relu"},
    {"type": "max_pool", "name": "pool", "kernel": 2},
    {"type": "conv", "name": "left", "out_channels": 6, "kernel": 3},
    {"type": "relu", "name": "left_relu"},
    {"type": "conv", "name": "right", "out_channels": 5, "kernel": 3, "inputs": ["pool"]},
    {"type": "concat", "name": "both", "inputs": ["left_relu", "right"]},
    {"type": "avg_pool", "name": "average", "kernel": 2}, {"type": "flatten"},
    {"type": "dense", "name": "ip1", "units": 20}, {"type": "tanh", "name": "tanh"},
    {"type": "dense", "name": "ip2", "units": "classes"}
  ]})");

struct Step {
  const char* pass;
  json options;
};

const std::vector<Step>& steps() {
  static const std::vector<Step> list{
      {"quantize", {{"weights", "8"}}},
      {"quantize", {{"weights", "4"}, {"activations", "4"}, {"qat", 1}, {"control", false}}},
      {"quantize",
       {{"weights", "3"}, {"activations", "float"}, {"scheme", "affine"}, {"granularity", "tensor"}}},
      {"quantize", {{"weights", "4"}, {"activations", "float"}, {"granularity", "group"}, {"group_size", 7}}},
      {"quantize", {{"scheme", "ternary"}, {"activations", "float"}, {"qat", 1}, {"control", false}}},
      {"quantize", {{"scheme", "binary"}, {"activations", "float"}}},
      {"quantize", {{"scheme", "article"}, {"weights", "6"}, {"activations", "float"}}},
      {"quantize",
       {{"scheme", "codebook"}, {"weights", "3"}, {"activations", "8"}, {"qat", 1}, {"control", false}}},
      {"prune", {{"sparsity", 0.5}}},
      {"prune", {{"sparsity", 0.7}, {"finetune", 1}, {"control", false}}},
      {"prune", {{"sparsity", 0.6}, {"schedule", "splicing"}, {"finetune", 1}, {"control", false}}},
      {"prune", {{"sparsity", 0.4}, {"granularity", "channel"}, {"scope", "layer"}, {"slim", true}}},
      {"prune", {{"sparsity", 0.3}, {"granularity", "row"}, {"criterion", "taylor"}, {"samples", 20}}},
      {"prune", {{"granularity", "2:4"}, {"criterion", "random"}}},
      {"factorize", {{"energy", 0.8}}},
      {"transfer", {{"mode", "distill"}, {"epochs", 1}}},
  };
  return list;
}

std::vector<real> probabilities(const Model& model) {
  Predictor predictor(model, select_kernels("plain"), pool());
  const int count = digits().test.count();
  std::vector<real> out(static_cast<std::size_t>(count * model.graph.classes));
  predictor.predict(digits().test.images.data(), count, out.data());
  return out;
}

// What holds of every compressed model.
void check(const Model& model, const Report& report) {
  EXPECT_EQ(report.revived, 0);
  EXPECT_EQ(revived_weights(model), 0);
  for (const real x : model.parameters.value) ASSERT_TRUE(std::isfinite(x));

  // Quantized weights lie on their grids, and zero is among them where the scheme says so.
  aligned_vector<real> effective = model.parameters.value;
  for (const Node& node : model.graph.nodes) {
    const WeightQuantization& q = node.attributes.quantize;
    if (!q.scheme) continue;
    fake_quantize_weights(node, model.parameters.value.data(), effective.data());
    const std::vector<std::int32_t> codes = weight_codes(node, model.parameters.value.data());
    const ParameterInfo& weight = weight_of(node);
    const std::int64_t rows = weight.shape[0], row = weight.size / rows;
    for (std::int64_t g = 0; !q.scheme->codebook && g < group_count(q, rows, row); ++g) {
      const WeightGroup group = group_at(q, rows, row, g);
      const auto offset = grid_offset_of(node);
      const Grid grid{
          model.parameters.value[static_cast<std::size_t>(grid_scale_of(node)->offset + g)],
          offset ? model.parameters.value[static_cast<std::size_t>(offset->offset + g)] : real{0}};
      std::vector<real> levels(static_cast<std::size_t>(group.size));
      const std::span<const std::int32_t> part(codes.data() + group.begin, levels.size());
      q.scheme->dequantize(part, grid, q.bits, levels.data());
      for (std::size_t i = 0; i < levels.size(); ++i) {
        ASSERT_GE(part[i], q.scheme->lowest_code(q.bits));
        ASSERT_LE(part[i], q.scheme->highest_code(q.bits));
        const auto at = static_cast<std::size_t>(weight.offset + group.begin) + i;
        ASSERT_EQ(effective[at], levels[i]) << node.name << " " << q.scheme->name;
        if (q.scheme->exact_zero && model.parameters.value[at] == 0) ASSERT_EQ(effective[at], 0);
      }
    }
  }

  // The spec and the file say everything.
  const Graph again = compile(to_spec(model.graph));
  EXPECT_EQ(to_spec(again), to_spec(model.graph));
  const std::vector<std::uint8_t> bytes = save_model(model);
  const auto loaded = load_model({"model", bytes});
  EXPECT_EQ(
      loaded->parameters.mask.empty(),
      model.parameters.mask.empty() || measure(model).total.nonzeros == measure(model).total.parameters);
  EXPECT_EQ(probabilities(*loaded), probabilities(model));
}

TEST(Passes, keep_their_invariants_in_any_order) {
  int done = 0;
  int refused = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    Random random(seed, RandomStream::kInitialization, 1234);
    PassContext context{.model = Model::create(kSpec, seed, &digits()),
                        .dataset = digits(),
                        .kernels = select_kernels("plain"),
                        .pool = pool(),
                        .training = {.batch_size = 16, .learning_rate = 0.005, .seed = seed}};
    const auto teacher = copy_of(*context.model);
    std::string history;
    for (int length = 0; length < 5; ++length) {
      const Step& step = steps()[random.below(static_cast<std::uint32_t>(steps().size()))];
      history += std::string(length ? ", " : "") + step.pass + " " + step.options.dump();
      SCOPED_TRACE("seed " + std::to_string(seed) + ": " + history);
      context.source = teacher.get();
      context.report = {};
      const std::vector<std::uint8_t> before = save_model(*context.model);
      try {
        Work work = find_pass(step.pass).start(context, step.options);
        while (work.advance()) {
        }
        ++done;
      } catch (const Error& error) {
        // Contradictions are found before anything is done.
        EXPECT_FALSE(error.message().empty());
        ASSERT_TRUE(context.model);
        EXPECT_EQ(save_model(*context.model), before) << error.what();
        ++refused;
        continue;
      }
      check(*context.model, context.report);
      if (HasFatalFailure()) return;
    }
  }
  // Both happen, or the list of steps says little.
  EXPECT_GT(done, 60);
  EXPECT_GT(refused, 10);
}

}  // namespace
}  // namespace espalier
