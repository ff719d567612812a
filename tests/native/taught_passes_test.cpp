// Passes that train with the original as their teacher, and rounding after training.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/pass.h"
#include "data/digits.h"
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

const json kSpec = json::parse(R"({
  "name": "little", "input": {"channels": 1, "height": 28, "width": 28}, "classes": 10,
  "layers": [
    {"type": "conv", "name": "conv", "out_channels": 4, "kernel": 5, "stride": 2},
    {"type": "relu", "name": "relu"}, {"type": "max_pool", "name": "pool", "kernel": 2},
    {"type": "flatten"}, {"type": "dense", "name": "head", "units": "classes"}
  ]})");

std::unique_ptr<Model> little(std::uint64_t seed) { return Model::create(kSpec, seed, &digits()); }

struct Step {
  const char* pass;
  json options;
};

// The model that the steps leave of little(1). `teacher` may be null.
std::unique_ptr<Model> after(const std::vector<Step>& steps, const Model* teacher) {
  PassContext context{.model = little(1),
                      .dataset = digits(),
                      .kernels = select_kernels("plain"),
                      .pool = pool(),
                      .training = {},
                      .source = teacher,
                      .report = {}};
  context.training.batch_size = 32;
  context.training.learning_rate = 0.02;
  for (const Step& step : steps) {
    Work work = find_pass(step.pass).start(context, step.options);
    while (work.advance()) {
    }
  }
  return std::move(context.model);
}

TEST(TaughtPasses, PruneWithATeacherIsPruneAndThenFinetuneWithThatTeacher) {
  const std::unique_ptr<Model> teacher = little(2);
  const auto at_once = after({{"prune",
                               {{"sparsity", 0.5},
                                {"schedule", "one-shot"},
                                {"finetune", 2},
                                {"distillation", 0.7},
                                {"control", false}}}},
                             teacher.get());
  const auto apart = after({{"prune", {{"sparsity", 0.5}, {"schedule", "one-shot"}}},
                            {"finetune", {{"epochs", 2}, {"distillation", 0.7}}}},
                           teacher.get());
  EXPECT_EQ(at_once->parameters.value, apart->parameters.value);
  const auto untaught =
      after({{"prune", {{"sparsity", 0.5}, {"schedule", "one-shot"}, {"finetune", 2}, {"control", false}}}},
            nullptr);
  EXPECT_NE(at_once->parameters.value, untaught->parameters.value);
}

TEST(TaughtPasses, EverySchedulePrunesWithTheTeacher) {
  const std::unique_ptr<Model> teacher = little(2);
  for (const char* schedule : {"iterative", "cubic", "splicing"}) {
    json options{{"sparsity", 0.5}, {"schedule", schedule}, {"finetune", 3}, {"control", false}};
    const auto untaught = after({{"prune", options}}, teacher.get());
    options["distillation"] = 0.7;
    EXPECT_NE(after({{"prune", options}}, teacher.get())->parameters.value, untaught->parameters.value)
        << schedule;
  }
}

TEST(TaughtPasses, QuantizeWithATeacherIsQuantizeAndThenFinetuneWithThatTeacher) {
  const std::unique_ptr<Model> teacher = little(2);
  json options{{"weights", "4"}, {"activations", "float"}, {"learned", false}, {"control", false}};
  const auto apart =
      after({{"quantize", options}, {"finetune", {{"epochs", 2}, {"distillation", 0.7}}}}, teacher.get());
  options.update({{"qat", 2}, {"distillation", 0.7}});
  EXPECT_EQ(after({{"quantize", options}}, teacher.get())->parameters.value, apart->parameters.value);
}

TEST(TaughtPasses, WithoutAPipelineTheModelBeforeThePassTeaches) {
  const std::unique_ptr<Model> original = little(1);
  for (const Step& step :
       {Step{"prune", {{"sparsity", 0.5}, {"finetune", 1}, {"distillation", 0.7}, {"control", false}}},
        Step{"quantize", {{"weights", "4"}, {"qat", 1}, {"distillation", 0.7}, {"control", false}}}}) {
    EXPECT_EQ(after({step}, nullptr)->parameters.value, after({step}, original.get())->parameters.value)
        << step.pass;
  }
}

TEST(RoundPass, CodesStayEvenOfWeightsAtTheBorderBetweenTwo) {
  for (const char* granularity : {"tensor", "channel"}) {
    const Step quantize{"quantize",
                        {{"weights", "4"}, {"activations", "float"}, {"granularity", granularity}}};
    std::unique_ptr<Model> model = after({quantize}, nullptr);
    // As training leaves them: a hair to the left or to the right of a border.
    aligned_vector<real>& value = model->parameters.value;
    std::vector<std::vector<std::int32_t>> codes;
    for (const Node& node : model->graph.nodes) {
      if (!has_weights(node)) continue;
      const WeightQuantization& q = node.attributes.quantize;
      const std::int64_t rows = weight_of(node).shape[0], row = weight_of(node).size / rows;
      for (std::int64_t g = 0; g < group_count(node); ++g) {
        const WeightGroup group = group_at(q, rows, row, g);
        const real scale = value[static_cast<std::size_t>(grid_scale_of(node)->offset + g)];
        for (std::int64_t i = group.begin; i < group.begin + group.size; ++i) {
          const real border = static_cast<real>(i % 5 - 2) + real(0.5);
          value[static_cast<std::size_t>(weight_of(node).offset + i)] =
              (border + (i % 2 ? real(1e-3) : real(-1e-3))) * scale;
        }
      }
      codes.push_back(weight_codes(node, value.data()));
    }
    PassContext context{.model = std::move(model),
                        .dataset = digits(),
                        .kernels = select_kernels("plain"),
                        .pool = pool(),
                        .training = {},
                        .report = {}};
    Work work = find_pass("round").start(context, {{"grids", 4}, {"biases", 4}});
    while (work.advance()) {
    }
    std::size_t layer = 0;
    for (const Node& node : context.model->graph.nodes) {
      if (!has_weights(node)) continue;
      EXPECT_EQ(weight_codes(node, context.model->parameters.value.data()), codes[layer++]) << granularity;
    }
  }
}

}  // namespace
}  // namespace espalier
