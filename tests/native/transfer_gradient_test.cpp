// The terms of a training's loss (train/terms.h) against finite differences, in double: the gradient that a
// step leaves in the slab is that of the loss that it reports.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/random.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

static_assert(sizeof(real) == sizeof(double), "gradients are checked in double");

// 11 images: a block of 8 and a partly empty one.
Dataset random_images(int classes, std::uint64_t seed) {
  Dataset data;
  data.name = "random";
  data.height = 6;
  data.width = 5;
  for (int c = 0; c < classes; ++c) data.class_names.push_back(std::to_string(c));
  Random random(seed, RandomStream::kDigits);
  for (int i = 0; i < 11; ++i) {
    for (int p = 0; p < data.image_size(); ++p) {
      data.train.images.push_back(static_cast<std::uint8_t>(random.below(256)));
    }
    data.train.labels.push_back(static_cast<std::uint16_t>(random.below(static_cast<unsigned>(classes))));
  }
  return data;
}

std::unique_ptr<Model> random_model(int classes, std::uint64_t seed, const char* head = "head") {
  json spec = json::parse(R"({
    "input": {"channels": 1, "height": 6, "width": 5, "mean": [0.5], "standard_deviation": [0.3]},
    "layers": [
      {"type": "conv", "name": "first", "out_channels": 3, "kernel": 3, "padding": "same"},
      {"type": "batch_norm", "name": "first_norm"}, {"type": "tanh", "name": "first_tanh"},
      {"type": "conv", "name": "middle", "out_channels": 4, "kernel": 2},
      {"type": "batch_norm", "name": "middle_norm"}, {"type": "tanh", "name": "middle_tanh"},
      {"type": "dense", "name": "last", "units": 6}, {"type": "tanh", "name": "last_tanh"}]})");
  spec["classes"] = classes;
  spec["layers"].push_back({{"type", "dense"}, {"name", head}, {"units", "classes"}});
  auto model = Model::create(spec, seed, nullptr);
  // Biases, scales and running statistics of no special value.
  Random random(seed, RandomStream::kInitialization, 99);
  for (const ParameterInfo* info : model->graph.parameters()) {
    if (info->initializer == Initializer::kUniform) continue;
    for (std::int64_t i = 0; i < info->size; ++i) {
      model->parameters.value[static_cast<std::size_t>(info->offset + i)] += random.uniform(-0.3, 0.3);
    }
  }
  return model;
}

// A training of `model` that can be asked for the loss of its first step again and again.
struct Check {
  Dataset data = random_images(3, 1);
  Dataset source_data = random_images(4, 2);
  std::unique_ptr<Model> model = random_model(3, 1);
  std::unique_ptr<Model> other = random_model(3, 2);                // teacher, anchor
  std::unique_ptr<Model> task = random_model(4, 3, "source_head");  // rehearsed
  TrainingConfig config{.batch_size = 16, .optimizer = "sgd", .momentum = 0, .schedule = "constant"};
  TrainingTerms terms;
  ThreadPool pool{2};

  static constexpr double kStep = 1e-5, kTolerance = 4e-7;

  // Of every trainable tensor of the model that is not frozen, and, where a task is rehearsed, of its head.
  void run() {
    Trainer trainer(*model, data, config, select_kernels("plain"), pool, terms);
    const auto start = model->parameters.value, task_start = task->parameters.value;
    const auto loss_at = [&](const aligned_vector<real>& value, const aligned_vector<real>& task_value) {
      model->parameters.value = value;
      task->parameters.value = task_value;
      trainer.restore(0);
      return trainer.step().loss;
    };
    loss_at(start, task_start);
    const auto gradient = model->parameters.gradient, task_gradient = task->parameters.gradient;

    const auto compare = [&](const ParameterInfo& info, double found, std::int64_t i, auto&& loss) {
      const double expected = (loss(kStep) - loss(-kStep)) / (2 * kStep);
      ASSERT_NEAR(found, expected, kTolerance * std::max(1.0, std::abs(expected)))
          << info.name << "[" << i << "]";
    };
    bool any = false;
    for (const Node& node : model->graph.nodes) {
      for (const ParameterInfo& info : node.parameters) {
        if (!info.trainable) continue;
        const bool frozen =
            std::find(config.freeze.begin(), config.freeze.end(), node.name) != config.freeze.end();
        for (std::int64_t i = 0; i < info.size; i += std::max<std::int64_t>(info.size / 20, 1)) {
          const auto at = static_cast<std::size_t>(info.offset + i);
          if (frozen) {
            ASSERT_EQ(gradient[at], 0) << info.name;
            continue;
          }
          any = any || gradient[at] != 0;
          compare(info, gradient[at], i, [&](double h) {
            auto value = start;
            value[at] += h;
            return loss_at(value, task_start);
          });
        }
      }
    }
    EXPECT_TRUE(any);
    if (!terms.source_task) return;
    for (const ParameterInfo& info : task->graph.nodes.back().parameters) {
      for (std::int64_t i = 0; i < info.size; ++i) {
        const auto at = static_cast<std::size_t>(info.offset + i);
        compare(info, task_gradient[at], i, [&](double h) {
          auto value = task_start;
          value[at] += h;
          return loss_at(start, value);
        });
      }
    }
  }
};

TEST(TransferGradient, of_distillation) {
  for (const double temperature : {1.0, 4.0}) {
    for (const double share : {0.3, 1.0}) {
      Check check;
      check.terms.teacher = check.other.get();
      check.terms.temperature = temperature;
      check.terms.distillation = share;
      SCOPED_TRACE(testing::Message() << "T " << temperature << ", share " << share);
      check.run();
    }
  }
}

TEST(TransferGradient, of_distillation_with_mixup_and_label_smoothing) {
  Check check;
  check.terms.teacher = check.other.get();
  check.terms.distillation = 0.5;
  check.config.augment = "mixup";
  check.config.label_smoothing = 0.1;
  check.run();
}

TEST(TransferGradient, of_distillation_beside_mean_squared_error) {
  Check check;
  check.terms.teacher = check.other.get();
  check.terms.distillation = 0.5;
  check.config.loss = "mse";
  check.run();
}

TEST(TransferGradient, of_imitation) {
  Check check;
  check.terms.teacher = check.other.get();
  check.terms.imitate = true;
  check.run();
}

TEST(TransferGradient, of_the_pull_towards_the_source) {
  Check check;
  check.terms.anchor = check.other.get();
  check.terms.l2sp = 0.7;
  check.run();
}

TEST(TransferGradient, of_rehearsal) {
  for (const double lambda : {0.4, 3.0}) {
    Check check;
    check.terms.source_task = check.task.get();
    check.terms.source_data = &check.source_data;
    check.terms.lambda = lambda;
    check.run();
  }
}

TEST(TransferGradient, of_a_frozen_middle) {
  for (const std::vector<std::string>& freeze : {std::vector<std::string>{"middle"},
                                                 {"middle", "middle_norm"},
                                                 {"first_norm", "middle_norm", "last"}}) {
    Check check;
    check.config.freeze = freeze;
    check.run();
  }
}

TEST(TransferGradient, of_everything_at_once_above_a_frozen_layer) {
  Check check;
  check.terms = {.teacher = check.other.get(),
                 .temperature = 3,
                 .distillation = 0.6,
                 .anchor = check.other.get(),
                 .l2sp = 0.2,
                 .source_task = check.task.get(),
                 .source_data = &check.source_data,
                 .lambda = 0.5};
  check.config.freeze = {"first", "first_norm"};
  check.run();
}

// The formula itself, from the outputs: what a gradient check cannot see.
TEST(Distillation, is_the_divergence_of_softened_outputs) {
  Check check;
  Predictor student(*check.model, select_kernels("plain"), check.pool);
  Predictor teacher(*check.other, select_kernels("plain"), check.pool);
  // In inference mode both, so that the student's batch norm does as in the prediction.
  check.config.freeze = {"first_norm", "middle_norm"};
  check.terms.teacher = check.other.get();
  check.terms.temperature = 2.5;
  check.terms.distillation = 1;
  const int count = check.data.train.count();
  double expected = 0;
  for (int i = 0; i < count; ++i) {
    const std::uint8_t* image = check.data.train.images.data() + i * check.data.image_size();
    Shape shape;
    const auto s = student.activation(image, "head", shape), t = teacher.activation(image, "head", shape);
    double s_sum = 0, t_sum = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      s_sum += std::exp(s[c] / 2.5);
      t_sum += std::exp(t[c] / 2.5);
    }
    for (std::size_t c = 0; c < 3; ++c) {
      const double p = std::exp(t[c] / 2.5) / t_sum, q = std::exp(s[c] / 2.5) / s_sum;
      expected += 2.5 * 2.5 * p * std::log(p / q) / count;
    }
  }
  Trainer trainer(*check.model, check.data, check.config, select_kernels("plain"), check.pool, check.terms);
  EXPECT_NEAR(trainer.step().loss, expected, 1e-10);
  EXPECT_GT(expected, 1e-3);
}

}  // namespace
}  // namespace espalier
