// Transfer: parts of datasets, copies of parameters, terms of the loss in training, the pass.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "compress/distill.h"
#include "compress/finetune.h"
#include "compress/pass.h"
#include "core/error.h"
#include "core/random.h"
#include "data/digits.h"
#include "data/subset.h"
#include "ops/op.h"
#include "ops/weights.h"
#include "train/copy.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

const Dataset& digits() {
  static const Dataset dataset = synthetic_digits(1200, 200, 1);
  return dataset;
}

Dataset some_digits(std::vector<int> classes) {
  Dataset dataset = digits();
  select_classes(dataset, classes);
  return dataset;
}

const Kernels& kernels() { return select_kernels("auto"); }

ThreadPool& pool() {
  static ThreadPool threads(2);
  return threads;
}

template <class Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kIo, "nothing", "was thrown");
}

// ---- parts of datasets

TEST(Classes, are_read_from_a_list) {
  EXPECT_EQ(parse_classes("0-4,7"), (std::vector<int>{0, 1, 2, 3, 4, 7}));
  EXPECT_EQ(parse_classes("9"), (std::vector<int>{9}));
  EXPECT_EQ(parse_classes("3,1-1,12-13"), (std::vector<int>{3, 1, 12, 13}));
  for (const char* wrong :
       {"", ",", "1,", "4-2", "-3", "1-", "a", "1 2", "1,,2", "1--2", "70000", "0-99999999999"}) {
    const Error error = error_of([&] { parse_classes(wrong); });
    EXPECT_EQ(error.code(), ErrorCode::kArgument) << wrong;
    EXPECT_EQ(error.where(), "classes") << wrong;
  }
}

TEST(Subset, of_classes_has_their_images_in_order_with_new_labels) {
  const std::vector<int> classes{7, 2, 5};
  const Dataset subset = some_digits(classes);
  EXPECT_EQ(subset.class_names, (std::vector<std::string>{"7", "2", "5"}));
  const auto size = static_cast<std::size_t>(digits().image_size());
  const auto check = [&](const Split& whole, const Split& part) {
    std::size_t next = 0;
    for (std::size_t i = 0; i < whole.labels.size(); ++i) {
      const auto at = std::find(classes.begin(), classes.end(), whole.labels[i]);
      if (at == classes.end()) continue;
      ASSERT_LT(next, part.labels.size());
      EXPECT_EQ(part.labels[next], at - classes.begin());
      EXPECT_TRUE(std::equal(whole.images.begin() + static_cast<std::ptrdiff_t>(i * size),
                             whole.images.begin() + static_cast<std::ptrdiff_t>((i + 1) * size),
                             part.images.begin() + static_cast<std::ptrdiff_t>(next * size)));
      ++next;
    }
    EXPECT_EQ(next, part.labels.size());
    EXPECT_EQ(part.images.size(), next * size);
  };
  check(digits().train, subset.train);
  check(digits().validation, subset.validation);
  check(digits().test, subset.test);
}

TEST(Subset, refuses_classes_that_the_data_does_not_have) {
  Dataset data = digits();
  for (const std::vector<int>& wrong : {std::vector<int>{3, 10}, {3, 4, 3}, {-1, 2}, {5}, {}}) {
    const Error error = error_of([&] { select_classes(data, wrong); });
    EXPECT_EQ(error.code(), ErrorCode::kArgument);
    EXPECT_EQ(error.where(), "classes");
    EXPECT_NE(error.message().find("0, 1, 2, 3, 4, 5, 6, 7, 8, 9"), std::string::npos) << error.message();
  }
  EXPECT_EQ(data.train.labels, digits().train.labels) << "a refused list changes nothing";
  data.class_names.push_back("ten");
  EXPECT_NE(error_of([&] { select_classes(data, std::vector<int>{1, 10}); }).message().find("10 (ten)"),
            std::string::npos);
}

TEST(Subset, per_class_is_a_random_choice_of_training_images) {
  std::set<std::vector<std::uint8_t>> choices;
  for (const std::uint64_t seed : {1, 2, 1}) {
    Dataset data = digits();
    limit_per_class(data, 7, seed);
    std::vector<int> count(10, 0);
    for (const auto label : data.train.labels) ++count[label];
    EXPECT_EQ(count, std::vector<int>(10, 7));
    EXPECT_EQ(data.validation.images, digits().validation.images);
    EXPECT_EQ(data.test.labels, digits().test.labels);
    // Each is an image of the whole, with its label.
    const auto size = static_cast<std::ptrdiff_t>(data.image_size());
    std::multimap<std::vector<std::uint8_t>, int> whole;
    for (int i = 0; i < digits().train.count(); ++i) {
      const auto begin = digits().train.images.begin() + i * size;
      whole.emplace(std::vector<std::uint8_t>(begin, begin + size),
                    digits().train.labels[static_cast<std::size_t>(i)]);
    }
    for (int i = 0; i < data.train.count(); ++i) {
      const auto begin = data.train.images.begin() + i * size;
      const auto found = whole.find(std::vector<std::uint8_t>(begin, begin + size));
      ASSERT_NE(found, whole.end());
      EXPECT_EQ(found->second, data.train.labels[static_cast<std::size_t>(i)]);
      whole.erase(found);  // none is chosen twice
    }
    choices.insert(data.train.images);
  }
  EXPECT_EQ(choices.size(), 2u) << "the seed decides, and nothing else";
  Dataset data = digits();
  EXPECT_EQ(error_of([&] { limit_per_class(data, 2000, 1); }).code(), ErrorCode::kData);
  EXPECT_EQ(error_of([&] { limit_per_class(data, 0, 1); }).where(), "per_class");
}

TEST(Subset, share_keeps_that_share_of_each_class_and_at_least_one) {
  std::vector<int> whole(10, 0);
  for (const auto label : digits().train.labels) ++whole[label];
  for (const double share : {0.001, 0.02, 0.5, 1.0}) {
    Dataset data = digits();
    limit_share(data, share, 3);
    std::vector<int> count(10, 0);
    for (const auto label : data.train.labels) ++count[label];
    for (std::size_t c = 0; c < 10; ++c) {
      EXPECT_EQ(count[c], std::max(1, static_cast<int>(std::floor(share * whole[c] + 0.5))));
    }
  }
  Dataset data = digits();
  for (const double wrong : {0.0, -1.0, 1.01, std::nan("")}) {
    EXPECT_EQ(error_of([&] { limit_share(data, wrong, 1); }).code(), ErrorCode::kArgument);
  }
}

// ---- copies

json small_spec(int channels, int classes, const char* more = "") {
  const std::string c = std::to_string(channels);
  json spec = json::parse(R"({"input": {"channels": 1, "height": 28, "width": 28}, "layers": [
    {"type": "conv", "name": "conv1", "out_channels": )" +
                          c + R"(, "kernel": 5, "stride": 2)" + more + R"(},
    {"type": "batch_norm", "name": "norm1"}, {"type": "relu", "name": "relu1"},
    {"type": "conv", "name": "conv2", "out_channels": )" +
                          c + R"(, "kernel": 3, "stride": 2)" + more + R"(},
    {"type": "relu", "name": "relu2"}, {"type": "dense", "name": "fc1", "units": 20)" +
                          more + R"(},
    {"type": "relu", "name": "relu3"}, {"type": "dense", "name": "fc2", "units": "classes"}]})");
  spec["classes"] = classes;
  return spec;
}

std::vector<real> tensor(const Model& model, const std::string& name) {
  for (const ParameterInfo* info : model.graph.parameters()) {
    if (info->name != name) continue;
    const auto begin = model.parameters.value.begin() + info->offset;
    return {begin, begin + info->size};
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

TEST(Copy, of_the_same_spec_is_the_same_model) {
  const auto source = Model::create(small_spec(6, 10), 1, &digits());
  auto target = Model::create(small_spec(6, 10), 2, &digits());
  for (const CopiedTensor& row : copy_parameters(*source, *target)) EXPECT_TRUE(row.whole()) << row.name;
  EXPECT_EQ(source->parameters.value, target->parameters.value);
}

TEST(Copy, of_other_extents_is_the_overlap_and_says_so) {
  Random random(5, RandomStream::kInitialization, 1);
  for (int round = 0; round < 40; ++round) {
    const int a = 1 + static_cast<int>(random.below(9)), b = 1 + static_cast<int>(random.below(9));
    const auto source = Model::create(small_spec(a, 10), 1, &digits());
    auto target = Model::create(small_spec(b, 4), 2, nullptr);
    const auto before = target->parameters.value;
    const auto rows = copy_parameters(*source, *target);
    std::size_t next = 0;
    for (const ParameterInfo* info : target->graph.parameters()) {
      const CopiedTensor& row = rows[next++];
      EXPECT_EQ(row.name, info->name);
      const std::vector<real> from = tensor(*source, info->name);
      const std::vector<int>& other = row.source_shape;
      for (std::int64_t i = 0; i < info->size; ++i) {
        std::int64_t rest = i, at = 0, factor = 1;
        bool in_source = true;
        for (std::size_t d = info->shape.size(); d-- > 0;) {
          const auto index = rest % info->shape[d];
          rest /= info->shape[d];
          in_source = in_source && index < other[d];
          at += index * factor;
          factor *= other[d];
        }
        const auto slot = static_cast<std::size_t>(info->offset + i);
        ASSERT_EQ(target->parameters.value[slot],
                  in_source ? from[static_cast<std::size_t>(at)] : before[slot])
            << info->name;
      }
      EXPECT_EQ(row.whole(),
                row.shape == other || std::equal(row.shape.begin(), row.shape.end(), row.copied.begin()))
          << row.name;
    }
    EXPECT_EQ(rows.size(), next);
  }
}

TEST(Copy, leaves_fresh_layers_and_unknown_tensors_alone) {
  const auto source = Model::create(small_spec(6, 10), 1, &digits());
  auto spec = small_spec(6, 10);
  spec["layers"][5]["name"] = "another";
  auto target = Model::create(spec, 2, nullptr);
  const auto head = tensor(*target, "fc2.weight"), other = tensor(*target, "another.weight");
  std::vector<bool> fresh(target->graph.nodes.size(), false);
  fresh.back() = true;
  for (const CopiedTensor& row : copy_parameters(*source, *target, fresh)) {
    const bool left = row.name.starts_with("fc2.") || row.name.starts_with("another.");
    EXPECT_EQ(row.fresh(), left) << row.name;
    EXPECT_EQ(row.whole(), !left) << row.name;
  }
  EXPECT_EQ(tensor(*target, "fc2.weight"), head);
  EXPECT_EQ(tensor(*target, "another.weight"), other);
  EXPECT_EQ(tensor(*target, "conv2.weight"), tensor(*source, "conv2.weight"));
}

// Prunes a share of the weights.
void prune_randomly(Model& model, double share, std::uint64_t seed) {
  Random random(seed, RandomStream::kDropout, 7);
  auto& mask = model.parameters.mask;
  mask.assign(static_cast<std::size_t>(model.graph.trainable_size), real{1});
  for (const Node& node : model.graph.nodes) {
    if (node.op != &kConv && node.op != &kDense) continue;
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
      if (random.uniform() < share) mask[static_cast<std::size_t>(weight_of(node).offset + i)] = 0;
    }
  }
  for (std::size_t i = 0; i < mask.size(); ++i) model.parameters.value[i] *= mask[i];
}

TEST(Copy, takes_masks_along_and_keeps_those_that_are_there) {
  auto source = Model::create(small_spec(6, 10), 1, &digits());
  prune_randomly(*source, 0.5, 1);
  auto target = Model::create(small_spec(8, 10), 2, nullptr);
  prune_randomly(*target, 0.2, 2);
  const auto own = target->parameters.mask;
  copy_parameters(*source, *target);
  EXPECT_EQ(revived_weights(*target), 0);
  int pruned = 0;
  for (std::size_t i = 0; i < own.size(); ++i) {
    EXPECT_LE(target->parameters.mask[i], own[i]);
    pruned += target->parameters.mask[i] < own[i] ? 1 : 0;
  }
  EXPECT_GT(pruned, 200);
}

constexpr const char* kQuantized = R"(, "quantize": {"scheme": "symmetric", "bits": 4})";

// Every quantized layer's grid is the one that fits its weights.
void expect_fitted(const Model& model) {
  auto value = model.parameters.value;
  int layers = 0;
  for (const Node& node : model.graph.nodes) {
    if (!node.attributes.quantize.scheme) continue;
    fit_weights(node, RangeMethod::kMinMax, value.data());
    ++layers;
  }
  EXPECT_GT(layers, 0);
  EXPECT_EQ(value, model.parameters.value);
}

TEST(Copy, fits_the_grids_of_a_quantized_target) {
  auto source = Model::create(small_spec(6, 10), 1, &digits());
  for (real& v : source->parameters.value) v *= 3;
  auto target = Model::create(small_spec(6, 10, kQuantized), 2, nullptr);
  copy_parameters(*source, *target);
  EXPECT_EQ(tensor(*target, "conv1.weight"), tensor(*source, "conv1.weight"));
  expect_fitted(*target);
  auto again = Model::create(small_spec(7, 10, kQuantized), 2, nullptr);
  copy_parameters(*target, *again);
  expect_fitted(*again);
}

// ---- training with terms

TrainingConfig quick() { return {.epochs = 1, .batch_size = 32, .learning_rate = 0.02, .limit = 320}; }

TEST(Freezing, keeps_every_value_of_the_layer_and_plans_no_backward_step_below) {
  auto model = Model::create(small_spec(6, 10), 1, &digits());
  const auto before = model->parameters.value;
  TrainingConfig config = quick();
  config.freeze = {"conv*", "norm1"};
  config.optimizer = "adamw";
  config.learning_rate = 0.002;
  config.weight_decay = 0.1;
  Trainer trainer(*model, digits(), config, kernels(), pool());
  int backward = 0;
  for (const Plan::Sweep& sweep : trainer.plan().sweeps) {
    EXPECT_TRUE(sweep.reduce_statistics.empty()) << "no statistics of a frozen batch norm";
    for (const Plan::Step& step : sweep.steps) {
      if (step.action == Plan::Action::kForward || step.action == Plan::Action::kLoss) continue;
      ++backward;
      EXPECT_TRUE(model->graph.nodes[static_cast<std::size_t>(step.node)].name.starts_with("fc") ||
                  model->graph.nodes[static_cast<std::size_t>(step.node)].name == "relu3");
    }
  }
  EXPECT_EQ(backward, 3);
  EXPECT_EQ(trainer.plan().sweeps.size(), 1u) << "a frozen batch norm does not cut the graph";
  while (!trainer.done()) trainer.step();
  for (const Node& node : model->graph.nodes) {
    const bool frozen = node.name.starts_with("conv") || node.name == "norm1";
    for (const ParameterInfo& info : node.parameters) {
      const bool same = std::equal(before.begin() + info.offset, before.begin() + info.offset + info.size,
                                   model->parameters.value.begin() + info.offset);
      EXPECT_EQ(same, frozen) << info.name;
    }
  }
}

struct Terms {
  std::unique_ptr<Model> other = Model::create(small_spec(6, 10), 2, &digits());
  std::unique_ptr<Model> task;
  Dataset source_data = some_digits({0, 1, 2});
  TrainingTerms terms;

  Terms() {
    json spec = small_spec(6, 3);
    spec["layers"].back()["name"] = "source_fc2";
    task = Model::create(spec, 3, &source_data);
    terms = {.teacher = other.get(),
             .distillation = 0.5,
             .anchor = other.get(),
             .l2sp = 0.01,
             .source_task = task.get(),
             .source_data = &source_data,
             .lambda = 0.5};
  }
};

TEST(Terms, change_no_parameter_before_the_step_ends) {
  Terms t;
  auto model = Model::create(small_spec(6, 10), 1, &digits());
  Trainer trainer(*model, digits(), quick(), kernels(), pool(), t.terms);
  trainer.step();
  const auto before = model->parameters.value, task_before = t.task->parameters.value;
  StepResult result;
  int pieces = 0;
  while (!trainer.advance(result)) {
    ++pieces;
    ASSERT_EQ(model->parameters.value, before);
    ASSERT_EQ(t.task->parameters.value, task_before);
  }
  EXPECT_GE(pieces, 6) << "the teacher, three sweeps, the rehearsal's three";
  EXPECT_NE(model->parameters.value, before);
  EXPECT_NE(t.task->parameters.value, task_before);
}

TEST(Terms, give_the_same_bits_for_any_number_of_threads_and_in_pieces) {
  const auto weights = [](int threads, bool abandon) {
    Terms t;
    ThreadPool own(threads);
    auto model = Model::create(small_spec(6, 10), 1, &digits());
    Trainer trainer(*model, digits(), quick(), kernels(), own, t.terms);
    for (int i = 0; i < 12; ++i) {  // the source's second epoch begins
      StepResult result;
      if (abandon) {
        trainer.advance(result);
        trainer.advance(result);
        trainer.restore(i);
      }
      if (trainer.done()) break;
      trainer.step();
    }
    std::vector<real> all(model->parameters.value.begin(), model->parameters.value.end());
    all.insert(all.end(), t.task->parameters.value.begin(), t.task->parameters.value.end());
    return all;
  };
  const auto one = weights(1, false);
  EXPECT_EQ(one, weights(3, false));
  EXPECT_EQ(one, weights(2, true)) << "a step that was abandoned has not happened";
}

TEST(Rehearsal, leaves_the_source_task_with_the_new_trunk_and_a_head_that_learned) {
  Terms t;
  const auto head = tensor(*t.task, "source_fc2.weight");
  auto model = Model::create(small_spec(6, 10), 1, &digits());
  prune_randomly(*model, 0.3, 4);
  TrainingTerms terms;
  terms.source_task = t.task.get();
  terms.source_data = &t.source_data;
  terms.lambda = 1;
  TrainingConfig config = quick();
  config.epochs = 6;
  Trainer trainer(*model, digits(), config, kernels(), pool(), terms);
  while (!trainer.done()) trainer.step();
  for (const SharedTensor& shared : shared_tensors(model->graph, t.task->graph)) {
    EXPECT_EQ(tensor(*model, shared.info->name), tensor(*t.task, shared.info->name)) << shared.info->name;
  }
  EXPECT_NE(tensor(*t.task, "source_fc2.weight"), head);
  EXPECT_EQ(revived_weights(*model), 0);
  EXPECT_EQ(revived_weights(*t.task), 0);
  EXPECT_FALSE(t.task->parameters.mask.empty());
  EXPECT_GT(evaluate(*t.task, t.source_data, t.source_data.test, kernels(), pool()).accuracy, 0.6);
}

TEST(Rehearsal, keeps_frozen_layers_in_both_models) {
  Terms t;
  auto model = Model::create(small_spec(6, 10), 1, &digits());
  const auto before = model->parameters.value;
  TrainingConfig config = quick();
  config.freeze = {"conv1", "norm1"};
  TrainingTerms terms;
  terms.source_task = t.task.get();
  terms.source_data = &t.source_data;
  terms.lambda = 1;
  Trainer trainer(*model, digits(), config, kernels(), pool(), terms);
  while (!trainer.done()) trainer.step();
  for (const Node& node : model->graph.nodes) {
    for (const ParameterInfo& info : node.parameters) {
      const bool same = std::equal(before.begin() + info.offset, before.begin() + info.offset + info.size,
                                   model->parameters.value.begin() + info.offset);
      EXPECT_EQ(same, node.name == "conv1" || node.name == "norm1") << info.name;
      if (node.name != "fc2") EXPECT_EQ(tensor(*model, info.name), tensor(*t.task, info.name)) << info.name;
    }
  }
}

TEST(Rehearsal, that_diverges_puts_both_models_back) {
  Terms t;
  auto model = Model::create(small_spec(6, 10), 1, &digits());
  const auto before = model->parameters.value;
  const auto head = tensor(*t.task, "source_fc2.weight");
  TrainingTerms terms;
  terms.source_task = t.task.get();
  terms.source_data = &t.source_data;
  terms.lambda = 1e5;
  Trainer trainer(*model, digits(), quick(), kernels(), pool(), terms);
  EXPECT_EQ(error_of([&] {
              while (!trainer.done()) trainer.step();
            }).code(),
            ErrorCode::kDiverged);
  EXPECT_EQ(tensor(*model, "conv1.weight"), tensor(*t.task, "conv1.weight"));
  EXPECT_EQ(model->parameters.value, before);
  EXPECT_EQ(tensor(*t.task, "source_fc2.weight"), head);
}

TEST(Anchor, holds_weights_back) {
  const auto distance_after = [](double l2sp) {
    auto model = Model::create(small_spec(6, 10), 1, &digits());
    const auto anchor = copy_of(*model);
    TrainingTerms terms;
    terms.anchor = anchor.get();
    terms.l2sp = l2sp;
    Trainer trainer(*model, digits(), quick(), kernels(), pool(), terms);
    while (!trainer.done()) trainer.step();
    double sum = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(model->graph.trainable_size); ++i) {
      sum += std::pow(model->parameters.value[i] - anchor->parameters.value[i], 2);
    }
    return std::sqrt(sum);
  };
  EXPECT_LT(distance_after(10), 0.5 * distance_after(0));
}

TEST(Teacher, must_see_the_same_images_and_give_as_many_outputs) {
  auto model = Model::create(small_spec(6, 10), 1, &digits());
  const auto refused = [&](const json& spec, const Dataset* data) {
    const auto teacher = Model::create(spec, 2, data);
    TrainingTerms terms;
    terms.teacher = teacher.get();
    return error_of([&] { Trainer(*model, digits(), quick(), kernels(), pool(), terms); });
  };
  json smaller = small_spec(6, 10);
  smaller["input"]["height"] = 27;
  for (const Error& error : {refused(smaller, nullptr), refused(small_spec(6, 10), nullptr),
                             refused(
                                 [] {
                                   json spec = small_spec(6, 9);
                                   return spec;
                                 }(),
                                 nullptr)}) {
    EXPECT_EQ(error.code(), ErrorCode::kArgument);
    EXPECT_EQ(error.where(), "teacher") << error.what();
  }
  EXPECT_NE(refused(small_spec(6, 10), nullptr).message().find("normalises"), std::string::npos);
}

// ---- the pass

struct Passed {
  Report report;
  std::unique_ptr<Model> model;
};

struct Transfer {
  const Model* source = nullptr;
  const Dataset* data = &digits();
  const Dataset* source_data = nullptr;
  std::unique_ptr<Model> model;
  TrainingConfig training{.batch_size = 32, .learning_rate = 0.02};

  Passed run(const json& options) {
    PassContext context{.model = std::move(model),
                        .dataset = *data,
                        .kernels = kernels(),
                        .pool = pool(),
                        .training = training,
                        .source = source,
                        .source_dataset = source_data};
    finish(find_pass("transfer").start(context, options));
    return {std::move(context.report), std::move(context.model)};
  }
};

std::string note(const Report& report, std::string_view name) {
  for (const auto& [key, text] : report.notes) {
    if (key == name) return text;
  }
  return "";
}

// Trained on the digits 0 … 4.
const Dataset& low_digits() {
  static const Dataset data = some_digits({0, 1, 2, 3, 4});
  return data;
}
const Dataset& high_digits() {
  static const Dataset data = some_digits({5, 6, 7, 8, 9});
  return data;
}
const Model& low_model() {
  static const std::unique_ptr<Model> model = [] {
    auto made = Model::create(small_spec(8, 5), 1, &low_digits());
    Trainer trainer(*made, low_digits(), {.epochs = 4, .batch_size = 32}, kernels(), pool());
    while (!trainer.done()) trainer.step();
    return made;
  }();
  return *model;
}

TEST(TransferPass, of_parameters_keeps_frozen_layers_and_reports_forgetting) {
  Transfer transfer{.source = &low_model(), .data = &high_digits(), .source_data = &low_digits()};
  const Passed passed =
      transfer.run({{"epochs", 5}, {"freeze", json::array({"conv*", "norm1"})}, {"control", true}});
  const Report& report = passed.report;
  EXPECT_EQ(tensor(*passed.model, "conv2.weight"), tensor(low_model(), "conv2.weight"));
  EXPECT_EQ(tensor(*passed.model, "norm1.running_mean"), tensor(low_model(), "norm1.running_mean"));
  EXPECT_NE(tensor(*passed.model, "fc2.weight"), tensor(low_model(), "fc2.weight"));
  EXPECT_EQ(note(report, "fresh"), "fc2.weight, fc2.bias") << "other names of classes: a new head";
  EXPECT_NE(note(report, "copied").find("conv1.weight"), std::string::npos);
  EXPECT_GT(report.accuracy_finetuned->test, report.accuracy_after->test);
  EXPECT_GT(report.accuracy_finetuned->test, 0.6);
  EXPECT_TRUE(report.accuracy_control.has_value());
  EXPECT_FALSE(report.accuracy_before.has_value());
  EXPECT_GT(report.source_before->test, 0.8);
  EXPECT_LT(report.source_after->test, report.source_before->test);
  EXPECT_FALSE(note(report, "forgetting").empty());
}

TEST(TransferPass, forgets_less_when_it_rehearses_or_is_pulled_back) {
  const auto forgotten = [](const json& options) {
    Transfer transfer{.source = &low_model(), .data = &high_digits(), .source_data = &low_digits()};
    const Report report = transfer.run(options).report;
    return report.source_before->test - report.source_after->test;
  };
  const double plain = forgotten({{"epochs", 3}});
  EXPECT_GT(plain, 0.1);
  EXPECT_LT(forgotten({{"epochs", 3}, {"lambda", 1.0}, {"rehearsal", 0.2}}), plain / 2);
  EXPECT_LT(forgotten({{"epochs", 3}, {"l2sp", 3.0}}), plain / 2);
}

TEST(TransferPass, without_epochs_copies_only) {
  Transfer transfer{.source = &low_model(), .data = &low_digits(), .source_data = &low_digits()};
  const Passed passed = transfer.run({{"epochs", 0}});
  EXPECT_EQ(passed.model->parameters.value, low_model().parameters.value);
  EXPECT_EQ(passed.report.accuracy_finetuned->test, passed.report.source_before->test);
  EXPECT_EQ(passed.report.source_after->test, passed.report.source_before->test);
}

TEST(TransferPass, of_structure_has_fresh_weights) {
  Transfer transfer{.source = &low_model(), .data = &high_digits()};
  const Passed passed = transfer.run({{"mode", "structure"}, {"epochs", 0}});
  EXPECT_EQ(passed.model->graph.nodes.size(), low_model().graph.nodes.size());
  EXPECT_NE(tensor(*passed.model, "conv1.weight"), tensor(low_model(), "conv1.weight"));
  EXPECT_EQ(tensor(*passed.model, "norm1.running_mean"), std::vector<real>(8, 0));
  EXPECT_EQ(passed.model->graph.input.mean, low_model().graph.input.mean);
}

const Model& teacher_model() {
  static const std::unique_ptr<Model> model = [] {
    auto made = Model::create(small_spec(12, 10), 1, &digits());
    Trainer trainer(*made, digits(), {.epochs = 6, .batch_size = 32}, kernels(), pool());
    while (!trainer.done()) trainer.step();
    return made;
  }();
  return *model;
}

TEST(TransferPass, distils_into_a_student_that_is_made_for_it) {
  json student = small_spec(3, 2);
  student["input"]["height"] = 5;  // input and classes are the teacher's
  student.erase("classes");
  Transfer transfer{.source = &teacher_model()};
  const json options{{"mode", "distill"}, {"student", student.dump()}, {"epochs", 3},
                     {"control", true},   {"temperature", 2.0},        {"alpha", 0.7}};
  const Passed passed = transfer.run(options);
  EXPECT_EQ(passed.model->graph.input.mean, teacher_model().graph.input.mean);
  EXPECT_EQ(passed.model->graph.classes, 10);
  EXPECT_LT(passed.report.after.total.parameters, passed.report.before.total.parameters);
  EXPECT_GT(passed.report.accuracy_finetuned->test, 0.5);
  EXPECT_NE(passed.report.accuracy_finetuned->test, passed.report.accuracy_control->test);
  EXPECT_FALSE(note(passed.report, "teacher").empty());
  const Passed again = transfer.run(options);
  EXPECT_EQ(again.model->parameters.value, passed.model->parameters.value);
}

TEST(Hint, makes_the_students_layer_predict_the_teachers) {
  const auto student = Model::create(small_spec(3, 10), 4, &digits());
  const Hint hint = make_hint("relu2=relu2", *student, teacher_model(), 1);
  EXPECT_EQ(hint.student->graph.classes, hint.teacher->graph.classes);
  EXPECT_EQ(hint.teacher->graph.classes, 12 * 5 * 5);
  // The truncated teacher gives what the whole one has there.
  Predictor whole(teacher_model(), kernels(), pool()), part(*hint.teacher, kernels(), pool());
  Shape shape;
  EXPECT_EQ(whole.activation(digits().test.images.data(), "relu2", shape),
            part.activation(digits().test.images.data(), "hint_outputs", shape));
  TrainingTerms terms;
  terms.teacher = hint.teacher.get();
  terms.imitate = true;
  TrainingConfig config = quick();
  config.epochs = 4;
  Trainer trainer(*hint.student, digits(), config, kernels(), pool(), terms);
  const double first = trainer.step().loss;
  double last = first;
  while (!trainer.done()) last = trainer.step().loss;
  EXPECT_LT(last, 0.6 * first);
}

TEST(Hint, of_a_larger_map_is_compared_through_a_larger_kernel) {
  const auto student = Model::create(small_spec(3, 10), 4, &digits());
  const Hint hint = make_hint("relu1=relu2", *student, teacher_model(), 1);
  EXPECT_EQ(hint.student->graph.classes, 12 * 5 * 5);
  for (const char* wrong : {"relu1", "relu1=", "=relu1", "relu2=relu1", "relu1=nothing", "nothing=relu1"}) {
    const Error error = error_of([&] { make_hint(wrong, *student, teacher_model(), 1); });
    EXPECT_EQ(error.code(), ErrorCode::kArgument) << wrong;
    EXPECT_EQ(error.where(), "hint") << wrong;
  }
}

TEST(TransferPass, distils_after_a_hint) {
  Transfer transfer{.source = &teacher_model()};
  transfer.training.layer_rates = {"fc1=0.5"};  // names a layer that the hint's part does not have
  json options{{"mode", "distill"}, {"student", small_spec(8, 10).dump()}, {"epochs", 3}, {"control", true}};
  const Passed plain = transfer.run(options);
  options["hint"] = "conv2=conv2";
  options["freeze"] = json::array({"fc2"});
  const Passed hinted = transfer.run(options);
  EXPECT_NE(hinted.model->parameters.value, plain.model->parameters.value);
  EXPECT_EQ(tensor(*hinted.model, "fc2.weight"),
            tensor(*make_student(small_spec(8, 10).dump(), teacher_model(), 1), "fc2.weight"));
  EXPECT_GT(hinted.report.accuracy_finetuned->test, 0.5);
}

TEST(TransferPass, keeps_a_students_masks_and_grids) {
  auto student = Model::create(small_spec(6, 10, kQuantized), 4, &digits());
  prune_randomly(*student, 0.5, 9);
  const auto mask = student->parameters.mask;
  Transfer transfer{.source = &teacher_model(), .model = std::move(student)};
  const Passed passed =
      transfer.run({{"mode", "distill"}, {"epochs", 3}, {"hint", "relu2=relu2"}, {"hint_epochs", 1}});
  EXPECT_EQ(passed.model->parameters.mask, mask);
  EXPECT_EQ(passed.report.revived, 0);
  EXPECT_EQ(revived_weights(*passed.model), 0);
  expect_fitted(*passed.model);
  EXPECT_GT(passed.report.accuracy_finetuned->test, passed.report.accuracy_before->test + 0.3);
}

TEST(TransferPass, keeps_a_targets_masks_and_grids_while_it_rehearses) {
  auto target = Model::create(small_spec(8, 5, kQuantized), 4, nullptr);
  target->graph.input = low_model().graph.input;
  prune_randomly(*target, 0.3, 9);
  const auto mask = target->parameters.mask;
  Transfer transfer{.source = &low_model(),
                    .data = &high_digits(),
                    .source_data = &low_digits(),
                    .model = std::move(target)};
  const Passed passed =
      transfer.run({{"epochs", 2}, {"lambda", 0.5}, {"rehearsal", 0.2}, {"l2sp", 0.001}, {"control", true}});
  EXPECT_EQ(passed.model->parameters.mask, mask);
  EXPECT_EQ(passed.report.revived, 0);
  expect_fitted(*passed.model);
  EXPECT_GT(passed.report.accuracy_finetuned->test, 0.6);
  EXPECT_GT(passed.report.source_after->test, 0.6);
}

TEST(TransferPass, of_a_pruned_source_gives_a_pruned_target) {
  auto source = copy_of(low_model());
  prune_randomly(*source, 0.5, 3);
  Transfer transfer{.source = source.get(), .data = &high_digits()};
  const Passed passed = transfer.run({{"epochs", 1}});
  EXPECT_EQ(revived_weights(*passed.model), 0);
  EXPECT_LT(passed.report.after.total.nonzeros, passed.report.after.total.parameters * 3 / 4);
  const Passed fresh = transfer.run({{"mode", "structure"}, {"epochs", 0}});
  EXPECT_TRUE(fresh.model->parameters.mask.empty());
}

TEST(TransferPass, refuses_what_contradicts_itself) {
  const auto refused = [](Transfer& transfer, const json& options) {
    const Error error = error_of([&] { transfer.run(options); });
    return std::string(to_string(error.code())) + " " + error.where();
  };
  Transfer none;
  EXPECT_EQ(refused(none, json::object()), "argument source");
  Transfer low{.source = &low_model(), .data = &high_digits()};
  EXPECT_EQ(refused(low, {{"mode", "magic"}}), "argument mode");
  EXPECT_EQ(refused(low, {{"lambda", 1.0}}), "argument lambda");
  EXPECT_EQ(refused(low, {{"freeze", json::array({"nothing"})}}), "argument freeze");
  EXPECT_EQ(refused(low, {{"freeze", json::array({"*"})}}), "argument freeze");
  EXPECT_EQ(refused(low, {{"student", "small"}}), "argument student");
  EXPECT_EQ(refused(low, {{"hint", "relu1=relu1"}}), "argument hint");
  EXPECT_EQ(refused(low, {{"mode", "distill"}}), "argument student");
  EXPECT_EQ(refused(low, {{"mode", "distill"}, {"student", "unknown"}}), "argument student");
  EXPECT_EQ(refused(low, {{"mode", "distill"}, {"student", "{"}}), "spec student");
  EXPECT_EQ(refused(low, {{"mode", "distill"}, {"student", "small"}, {"lambda", 1.0}}), "argument lambda");
  Transfer ten{.source = &low_model()};
  EXPECT_EQ(refused(ten, {{"mode", "distill"}, {"student", "small"}}), "data " + digits().name);

  Dataset wide = high_digits();
  wide.width = 14;
  wide.height = 56;
  Transfer other_images{.source = &low_model(), .data = &wide};
  EXPECT_EQ(refused(other_images, json::object()), "model source");

  json spec = small_spec(8, 5);
  for (json& layer : spec["layers"]) layer["name"] = "my_" + layer["name"].get<std::string>();
  Transfer nothing_shared{
      .source = &low_model(), .data = &high_digits(), .model = Model::create(spec, 1, &high_digits())};
  EXPECT_EQ(refused(nothing_shared, json::object()), "model source");
  Transfer given{.source = &low_model(), .data = &high_digits(), .model = copy_of(low_model())};
  EXPECT_EQ(refused(given, {{"mode", "structure"}}), "argument mode");
}

}  // namespace
}  // namespace espalier
