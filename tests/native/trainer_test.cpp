// Training steps: determinism, memory, divergence, evaluation.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/error.h"
#include "core/random.h"
#include "data/digits.h"

namespace {
std::atomic<long> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
  if (void* p = std::aligned_alloc(alignment, rounded)) return p;
  throw std::bad_alloc();
}
}  // namespace

// Every allocation of the test program is counted.
void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace espalier {
namespace {

using nlohmann::json;

const Dataset& digits() {
  static const Dataset dataset = synthetic_digits(1200, 200, 1);
  return dataset;
}

struct Training {
  ThreadPool pool;
  std::unique_ptr<Model> model;
  Trainer trainer;

  Training(const json& spec, const TrainingConfig& config, const Kernels& kernels, int threads = 1)
      : pool(threads),
        model(Model::create(spec, config.seed, &digits())),
        trainer(*model, digits(), config, kernels, pool) {}
};

json preset(std::string_view name) { return preset_spec(name, 1, 28, 28, 10); }

std::vector<real> weights_after(int steps, const json& spec, const TrainingConfig& config,
                                std::string_view kernels, int threads = 1) {
  Training training(spec, config, select_kernels(kernels), threads);
  for (int i = 0; i < steps; ++i) training.trainer.step();
  const auto& value = training.model->parameters.value;
  return {value.begin(), value.end()};
}

bool available(std::string_view name) {
  const auto all = available_kernels();
  return std::any_of(all.begin(), all.end(), [&](const Kernels* k) { return k->name == name; });
}

// A DAG with every kind of layer, dropout and batch norm.
const json kEverything = json::parse(R"({
  "input": {"channels": 1, "height": 28, "width": 28}, "classes": 10,
  "layers": [
    {"type": "conv", "name": "stem", "out_channels": 5, "kernel": 5, "stride": 2, "padding": "same"},
    {"type": "batch_norm"}, {"type": "relu6", "name": "a"},
    {"type": "conv", "kernel": 3, "groups": "depthwise", "padding": "same"},
    {"type": "leaky_relu", "name": "b"}, {"type": "add", "name": "sum", "inputs": ["a", "b"]},
    {"type": "avg_pool", "name": "c", "kernel": 2}, {"type": "max_pool", "name": "d", "kernel": 2, "inputs": ["sum"]},
    {"type": "concat", "inputs": ["c", "d"]}, {"type": "dropout", "rate": 0.2},
    {"type": "conv", "out_channels": 12, "kernel": 3, "dilation": 2}, {"type": "batch_norm"}, {"type": "tanh"},
    {"type": "flatten"}, {"type": "dense", "units": 30}, {"type": "sigmoid"}, {"type": "dense", "units": "classes"}
  ]})");

TEST(Step, allocates_nothing_after_the_first) {
  std::vector<json> specs{kEverything};
  for (const Preset& p : presets()) specs.push_back(preset(p.name));
  for (const json& spec : specs) {
    for (const char* optimizer : {"sgd", "adamw"}) {
      Training training(spec,
                        {.batch_size = 48,
                         .optimizer = optimizer,
                         .clip_norm = 1,
                         .augment = "shift:2,elastic,mixup",
                         .limit = 300},
                        select_kernels("auto"), 2);
      training.trainer.step();
      const long before = allocations;
      for (int i = 0; i < 8; ++i) training.trainer.step();  // crosses an epoch
      EXPECT_EQ(allocations - before, 0) << spec["layers"].size() << " layers, " << optimizer;
    }
  }
}

TEST(Step, allocates_nothing_on_the_surviving_weights_of_a_mask) {
  for (const json& spec : {preset("lenet5"), kEverything}) {
    Training training(spec, {.batch_size = 48, .limit = 300}, select_kernels("auto"), 2);
    auto& mask = training.model->parameters.mask;
    mask.assign(static_cast<std::size_t>(training.model->graph.trainable_size), real{0});
    for (std::size_t i = 0; i < mask.size(); i += 13) mask[i] = 1;
    training.trainer.step();
    const long before = allocations;
    for (int i = 0; i < 8; ++i) training.trainer.step();
    EXPECT_EQ(allocations - before, 0) << spec["layers"].size() << " layers";
  }
}

TEST(Step, allocates_nothing_with_a_teacher_an_anchor_and_rehearsal) {
  const auto other = Model::create(kEverything, 2, &digits());
  json spec = kEverything;
  spec["layers"].back()["name"] = "source_head";
  auto task = Model::create(spec, 3, &digits());
  TrainingTerms terms;
  terms.teacher = terms.anchor = other.get();
  terms.l2sp = 0.01;
  terms.source_task = task.get();
  terms.source_data = &digits();
  terms.lambda = 0.5;
  auto model = Model::create(kEverything, 1, &digits());
  model->parameters.mask.assign(static_cast<std::size_t>(model->graph.trainable_size), real{1});
  ThreadPool pool(2);
  Trainer trainer(*model, digits(), {.batch_size = 48, .augment = "mixup", .limit = 300},
                  select_kernels("auto"), pool, terms);
  trainer.step();
  const long before = allocations;
  for (int i = 0; i < 30; ++i) trainer.step();  // both sets of images begin anew
  EXPECT_EQ(allocations - before, 0);
}

TEST(Prediction, allocates_nothing_after_the_first) {
  for (const Preset& p : presets()) {
    const auto model = Model::create(preset(p.name), 1, &digits());
    ThreadPool pool(2);
    Predictor predictor(*model, select_kernels("auto"), pool);
    std::vector<real> probabilities(200);
    for (const int count : {1, 20}) {
      predictor.predict(digits().test.images.data(), count, probabilities.data());
      const long before = allocations;
      predictor.prepare();
      predictor.predict(digits().test.images.data(), count, probabilities.data());
      EXPECT_EQ(allocations - before, 0) << p.name << ", images: " << count;
    }
  }
}

TEST(Step, gives_the_same_bits_for_any_number_of_threads) {
  for (const json& spec : {preset("small"), preset("lenet5"), kEverything}) {
    const TrainingConfig config{
        .batch_size = 100, .learning_rate = 0.02, .augment = "standard,mixup", .seed = 3};
    const std::vector<real> one = weights_after(6, spec, config, "auto", 1);
    EXPECT_EQ(one, weights_after(6, spec, config, "auto", 2));
    EXPECT_EQ(one, weights_after(6, spec, config, "auto", 3));
    EXPECT_EQ(one, weights_after(6, spec, config, "auto", 4));
  }
}

TEST(Step, gives_the_same_bits_for_8_and_16_lanes) {
  if (!available("avx512")) GTEST_SKIP() << "this processor has no AVX-512";
  for (const json& spec : {preset("small"), preset("mobile"), kEverything}) {
    // 77 images: the last block of 8 and of 16 are both partly empty.
    const TrainingConfig config{.batch_size = 77, .learning_rate = 0.02, .label_smoothing = 0.1, .seed = 3};
    EXPECT_EQ(weights_after(5, spec, config, "avx2"), weights_after(5, spec, config, "avx512"));
  }
}

TEST(Step, differs_with_the_seed) {
  const json spec = preset("small");
  EXPECT_NE(weights_after(2, spec, {.seed = 1}, "plain"), weights_after(2, spec, {.seed = 2}, "plain"));
}

TEST(Training, learns_built_in_digits) {
  for (const char* kernels : {"plain", "auto"}) {
    Training training(preset("small"), {.epochs = 8, .learning_rate = 0.05}, select_kernels(kernels));
    while (!training.trainer.done()) training.trainer.step();
    const EvaluationResult result =
        evaluate(*training.model, digits(), digits().test, select_kernels(kernels), training.pool);
    EXPECT_GT(result.accuracy, 0.85) << kernels;
  }
}

TEST(Training, stops_at_a_loss_that_is_no_number_and_keeps_good_weights) {
  Training training(preset("small"), {.learning_rate = 1e6}, select_kernels("auto"));
  const auto before = training.model->parameters.value;
  try {
    for (int i = 0; i < 20; ++i) training.trainer.step();
    FAIL() << "a learning rate of a million went well";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDiverged);
    const std::string message = error.what();
    EXPECT_NE(message.find("training: the loss "), std::string::npos) << message;
    EXPECT_NE(message.find(" at step "), std::string::npos) << message;
    EXPECT_NE(message.find("lower the learning rate (now 1000000"), std::string::npos) << message;
    EXPECT_NE(message.find("the weights are back at those of step 0"), std::string::npos) << message;
  }
  EXPECT_EQ(training.model->parameters.value, before);
}

TEST(Training, counts_the_last_smaller_batch) {
  Training training(preset("small"), {.epochs = 1, .batch_size = 64, .limit = 100}, select_kernels("auto"));
  EXPECT_EQ(training.trainer.steps_per_epoch(), 2);
  EXPECT_EQ(training.trainer.step().images, 64);
  EXPECT_EQ(training.trainer.step().images, 36);
  EXPECT_TRUE(training.trainer.done());
}

TEST(Training, refuses_data_that_does_not_fit) {
  ThreadPool pool(1);
  const auto message = [&](const json& spec) {
    const auto model = Model::create(spec, 1, nullptr);
    try {
      Trainer trainer(*model, digits(), {}, select_kernels("plain"), pool);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kData);
      return error.message();
    }
    return std::string("no error");
  };
  EXPECT_EQ(message(preset_spec("small", 3, 32, 32, 10)),
            "has images of 1x28x28, but the model \"small\" takes 3x32x32; change \"input\" in its spec or "
            "use other data");
  EXPECT_EQ(
      message(preset_spec("small", 1, 28, 28, 26)),
      "has 10 classes, but the model \"small\" has 26; change \"classes\" in its spec or use other data");
}

TEST(Training, refuses_a_dataset_without_images) {
  Dataset empty = digits();
  empty.train = {};
  ThreadPool pool(1);
  const auto model = Model::create(preset("small"), 1, nullptr);
  try {
    Trainer trainer(*model, empty, {}, select_kernels("plain"), pool);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "has no training images; a training needs at least one");
  }
}

TEST(Config, survives_json_and_refuses_what_is_wrong) {
  const TrainingConfig config{
      .epochs = 7, .learning_rate = 0.125, .optimizer = "adamw", .augment = "shift:2", .seed = 9};
  EXPECT_EQ(to_json(training_config(to_json(config))), to_json(config));
  const auto message = [](const json& value) {
    try {
      training_config(value);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message({{"epochs", 0}}), "epochs: must be a whole number from 1 to 1000000, found 0");
  EXPECT_EQ(message({{"optimizer", "adagrad"}}),
            "optimizer: \"adagrad\" is unknown; choose one of sgd, momentum, nesterov, adam, adamw");
  EXPECT_EQ(message({{"schedule", "linear"}}),
            "schedule: \"linear\" is unknown; choose one of constant, step, cosine, one-cycle");
  EXPECT_EQ(message({{"lr", 1}}).substr(0, 15), "lr: is unknown;");
}

TEST(Config, takes_the_optimizers_own_learning_rate) {
  EXPECT_EQ(training_config({{"optimizer", "adam"}}).learning_rate, 0.001);
  EXPECT_EQ(training_config({{"optimizer", "adam"}, {"learning_rate", 0.5}}).learning_rate, 0.5);
}

TEST(Schedule, starts_and_ends_where_its_name_says) {
  const auto rate = [](const char* name, int step) {
    return learning_rate(find_schedule(name), 1.0, step, 100, 0);
  };
  EXPECT_EQ(rate("constant", 99), 1.0);
  EXPECT_EQ(rate("step", 10), 1.0);
  EXPECT_EQ(rate("step", 50), 0.1);
  EXPECT_EQ(rate("step", 99), 0.01);
  EXPECT_NEAR(rate("cosine", 0), 1.0, 1e-12);
  EXPECT_NEAR(rate("cosine", 50), 0.5, 1e-12);
  EXPECT_LT(rate("cosine", 99), 0.001);
  EXPECT_NEAR(rate("one-cycle", 0), 0.04, 1e-12);
  EXPECT_NEAR(rate("one-cycle", 30), 1.0, 1e-12);
  EXPECT_LT(rate("one-cycle", 99), 0.002);
}

TEST(Schedule, warms_up_in_a_line) {
  const ScheduleType& constant = find_schedule("constant");
  EXPECT_DOUBLE_EQ(learning_rate(constant, 1.0, 0, 100, 4), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate(constant, 1.0, 3, 100, 4), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(constant, 1.0, 4, 100, 4), 1.0);
}

TEST(Evaluation, agrees_with_single_predictions) {
  ThreadPool pool(2);
  for (const json& spec : {preset("small"), kEverything}) {
    Training training(spec, {}, select_kernels("auto"));
    for (int i = 0; i < 10; ++i) training.trainer.step();
    const EvaluationResult result =
        evaluate(*training.model, digits(), digits().test, select_kernels("auto"), pool);
    Predictor predictor(*training.model, select_kernels("auto"), pool);
    std::vector<real> probabilities(static_cast<std::size_t>(digits().test.count()) * 10);
    predictor.predict(digits().test.images.data(), digits().test.count(), probabilities.data());
    int correct = 0;
    for (int i = 0; i < digits().test.count(); ++i) {
      const real* p = probabilities.data() + i * 10;
      const auto best = static_cast<std::uint16_t>(std::max_element(p, p + 10) - p);
      EXPECT_EQ(result.predictions[static_cast<std::size_t>(i)], best);
      EXPECT_NEAR(result.confidences[static_cast<std::size_t>(i)], p[best], 1e-6);
      EXPECT_NEAR(std::accumulate(p, p + 10, 0.0), 1.0, 1e-5);
      correct += best == digits().test.labels[static_cast<std::size_t>(i)] ? 1 : 0;
    }
    EXPECT_DOUBLE_EQ(result.accuracy, static_cast<double>(correct) / digits().test.count());
    EXPECT_EQ(std::accumulate(result.confusion.begin(), result.confusion.end(), 0u), 200u);
  }
}

TEST(Evaluation, shows_the_feature_maps_that_lead_to_the_probabilities) {
  ThreadPool pool(1);
  const auto model = Model::create(preset("small"), 1, &digits());
  Predictor predictor(*model, select_kernels("auto"), pool);
  const std::uint8_t* image = digits().test.images.data();
  Shape shape;
  const std::vector<real> input = predictor.activation(image, "input", shape);
  EXPECT_EQ(shape, (Shape{1, 28, 28}));
  EXPECT_NEAR(input[300],
              (image[300] / 255.0 - model->graph.input.mean[0]) / model->graph.input.standard_deviation[0],
              1e-5);
  const std::vector<real> before = predictor.activation(image, "conv1", shape);
  const std::vector<real> after = predictor.activation(image, "relu1", shape);
  EXPECT_EQ(shape, (Shape{8, 28, 28}));
  EXPECT_LT(*std::min_element(before.begin(), before.end()), 0);
  for (std::size_t i = 0; i < before.size(); ++i) ASSERT_EQ(after[i], std::max(before[i], real{0}));
  EXPECT_THROW(predictor.activation(image, "conv9", shape), Error);
}

TEST(BatchNorm, inference_uses_running_statistics) {
  Training training(kEverything, {.learning_rate = 0.01}, select_kernels("auto"));
  for (int i = 0; i < 60; ++i) training.trainer.step();
  // A single image has no batch to look at: its prediction does not depend on its neighbours.
  ThreadPool pool(1);
  Predictor predictor(*training.model, select_kernels("auto"), pool);
  std::vector<real> together(200), alone(10);
  predictor.predict(digits().test.images.data(), 20, together.data());
  predictor.predict(digits().test.images.data() + 5 * 784, 1, alone.data());
  for (int c = 0; c < 10; ++c)
    EXPECT_EQ(alone[static_cast<std::size_t>(c)], together[static_cast<std::size_t>(50 + c)]);
  for (const ParameterInfo* info : training.model->graph.parameters()) {
    if (info->trainable) continue;
    const real start = info->initializer == Initializer::kOne ? 1 : 0;
    for (std::int64_t i = 0; i < info->size; ++i) {
      EXPECT_NE(training.model->parameters.value[static_cast<std::size_t>(info->offset + i)], start)
          << info->name;
    }
  }
}

TEST(Dropout, zeroes_its_share_in_training_and_nothing_in_inference) {
  const Kernels& kernels = select_kernels("auto");
  aligned_vector<real> in(static_cast<std::size_t>(1000 * kernels.lanes), real{1}), out(in.size());
  kernels.dropout(1000, 0.3, 12345, 0, in.data(), out.data());
  const auto zeros = std::count(out.begin(), out.end(), real{0});
  EXPECT_NEAR(static_cast<double>(zeros) / static_cast<double>(out.size()), 0.3, 0.02);
  for (const real x : out) EXPECT_TRUE(x == 0 || std::abs(x - 1 / 0.7) < 1e-6);
}

}  // namespace
}  // namespace espalier
