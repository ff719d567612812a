// Low rank: the factors against an independent decomposition, factored networks against the original, and
// the pass.
#include "compress/low_rank.h"

#include <gtest/gtest.h>

#include <Eigen/SVD>
#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/pass.h"
#include "core/error.h"
#include "core/random.h"
#include "data/digits.h"
#include "graph/executor.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

Random random_for(std::uint64_t seed) { return Random(seed, RandomStream::kInitialization, 1 << 21); }

std::vector<real> random_matrix(int rows, int columns, std::uint64_t seed) {
  Random random = random_for(seed);
  std::vector<real> matrix;
  for (int i = 0; i < rows * columns; ++i) matrix.push_back(static_cast<real>(random.uniform(-1, 1)));
  return matrix;
}

double product(const Factors& f, int row, int column, int rank) {
  double sum = 0;
  for (int r = 0; r < rank; ++r) {
    sum += double{f.left[static_cast<std::size_t>(row * f.size + r)]} *
           f.right[static_cast<std::size_t>(r * f.columns + column)];
  }
  return sum;
}

double distance(const std::vector<real>& matrix, const Factors& f, int rank) {
  double sum = 0;
  for (int i = 0; i < f.rows; ++i) {
    for (int j = 0; j < f.columns; ++j) {
      const double d = matrix[static_cast<std::size_t>(i * f.columns + j)] - product(f, i, j, rank);
      sum += d * d;
    }
  }
  return std::sqrt(sum);
}

struct Size {
  int rows;
  int columns;
};
constexpr Size kSizes[] = {{1, 1}, {1, 9}, {7, 1}, {5, 5}, {8, 3}, {16, 17}, {31, 64}, {100, 25}};

TEST(LowRank, singular_values_are_those_of_jacobis_method) {
  for (const auto& [rows, columns] : kSizes) {
    const std::vector<real> matrix = random_matrix(rows, columns, 1);
    Eigen::MatrixXd copy(rows, columns);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) copy(i, j) = matrix[static_cast<std::size_t>(i * columns + j)];
    }
    const Eigen::VectorXd expected = Eigen::JacobiSVD<Eigen::MatrixXd>(copy).singularValues();
    const Factors factors = decompose(matrix, rows, columns);
    ASSERT_EQ(factors.size, std::min(rows, columns));
    for (int i = 0; i < factors.size; ++i) {
      // Roots of eigenvalues that are exact to 1e-16 of the largest.
      EXPECT_NEAR(factors.singular_values[static_cast<std::size_t>(i)], expected[i], 1e-7 * expected[0]);
    }
  }
}

TEST(LowRank, the_product_is_the_matrix_at_full_rank) {
  for (const auto& [rows, columns] : kSizes) {
    const std::vector<real> matrix = random_matrix(rows, columns, 2);
    const Factors factors = decompose(matrix, rows, columns);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        ASSERT_NEAR(product(factors, i, j, factors.size), matrix[static_cast<std::size_t>(i * columns + j)],
                    1e-5);
      }
    }
  }
}

TEST(LowRank, the_error_is_the_root_of_the_dropped_squares) {
  for (const auto& [rows, columns] : kSizes) {
    const std::vector<real> matrix = random_matrix(rows, columns, 3);
    const Factors factors = decompose(matrix, rows, columns);
    for (int rank = 1; rank < factors.size; ++rank) {
      double dropped = 0;
      for (int i = rank; i < factors.size; ++i) {
        dropped += std::pow(factors.singular_values[static_cast<std::size_t>(i)], 2);
      }
      EXPECT_NEAR(distance(matrix, factors, rank), std::sqrt(dropped), 1e-5 * factors.singular_values[0]);
    }
  }
}

TEST(LowRank, a_matrix_of_rank_two_needs_two) {
  std::vector<real> matrix;
  for (int i = 0; i < 12; ++i) {
    for (int j = 0; j < 20; ++j) matrix.push_back(static_cast<real>(i + 0.5 * j));
  }
  const Factors factors = decompose(matrix, 12, 20);
  EXPECT_EQ(rank_for_energy(factors.singular_values, 1 - 1e-9), 2);
  EXPECT_LT(distance(matrix, factors, 2), 1e-4);
}

TEST(LowRank, a_matrix_of_zeros_gives_zeros) {
  const Factors factors = decompose(std::vector<real>(12), 3, 4);
  EXPECT_EQ(rank_for_energy(factors.singular_values, 0.9), 1);
  EXPECT_EQ(product(factors, 1, 1, 3), 0);
}

TEST(LowRank, energy_is_the_share_of_squares) {
  const double values[] = {3, 2, 1, 0};  // squares 9, 4, 1, 0 of 14
  EXPECT_EQ(rank_for_energy(values, 0.0), 1);
  EXPECT_EQ(rank_for_energy(values, 9.0 / 14), 1);
  EXPECT_EQ(rank_for_energy(values, 9.1 / 14), 2);
  EXPECT_EQ(rank_for_energy(values, 13.0 / 14), 2);
  EXPECT_EQ(rank_for_energy(values, 0.95), 3);
  EXPECT_EQ(rank_for_energy(values, 1.0), 3);
}

// ---- Networks

json spec_of(const std::string& layers, int height = 11, int width = 9) {
  return {{"input", {{"channels", 2}, {"height", height}, {"width", width}}},
          {"classes", 3},
          {"layers", json::parse(layers)}};
}

std::unique_ptr<Model> model_of(const json& spec) {
  auto model = Model::create(spec, 1, nullptr);
  Random random = random_for(5);
  for (const ParameterInfo* info : model->graph.parameters()) {
    if (!info->name.ends_with(".bias")) continue;
    for (std::int64_t i = 0; i < info->size; ++i) {
      model->parameters.value[static_cast<std::size_t>(info->offset + i)] =
          static_cast<real>(random.uniform(-0.5, 0.5));
    }
  }
  return model;
}

std::vector<real> outputs(const Model& model) {
  constexpr int kImages = 5;
  const Kernels& kernels = select_kernels("plain");
  ThreadPool pool(1);
  Executor executor(model.graph, kernels, pool, {.max_batch = kImages});
  executor.prepare(model.parameters);
  aligned_vector<real> images(static_cast<std::size_t>(kernels.lanes * model.graph.input.shape.size()));
  Random random = random_for(4);
  for (real& x : images) x = static_cast<real>(random.uniform(-1, 1));
  std::vector<real> result(static_cast<std::size_t>(kImages * model.graph.classes));
  executor.infer({.images = images.data(), .count = kImages}, result.data());
  return result;
}

// The model with every layer that can be factored at its full rank, or at most at `rank`.
std::unique_ptr<Model> factored(const Model& model, int rank = 1 << 20) {
  std::vector<FactoredLayer> layers;
  for (const Node& node : model.graph.nodes) {
    if (!can_factor(node)) continue;
    Factors factors = decompose(model, node);
    const int kept = std::min(rank, factors.size);
    layers.push_back({node.index, kept, std::move(factors)});
  }
  return factorize(model, layers);
}

constexpr const char* kNetworks[] = {
    R"([{"type":"conv","name":"c","out_channels":7,"kernel":[2,3],"stride":[2,3],"padding":[1,0,0,2]},
        {"type":"dense","name":"fc","units":"classes"}])",
    R"([{"type":"conv","name":"c","out_channels":5,"kernel":3,"dilation":2,"stride":2,"padding":"same","bias":false},
        {"type":"tanh"},
        {"type":"conv","name":"d","out_channels":6,"kernel":1,"padding":"valid"},
        {"type":"flatten"},
        {"type":"dense","name":"fc","units":"classes","bias":false}])",
    R"([{"type":"conv","name":"c","out_channels":4,"kernel":5,"padding":"same"},
        {"type":"batch_norm"},
        {"type":"relu","name":"r"},
        {"type":"conv","name":"c_a","out_channels":4,"kernel":3,"padding":1,"groups":2},
        {"type":"conv","name":"d","out_channels":4,"kernel":3,"padding":"same"},
        {"type":"add","name":"s","inputs":["d","r","c"]},
        {"type":"concat","inputs":["s","input","d"]},
        {"type":"global_avg_pool"},
        {"type":"dense","name":"h","units":9},
        {"type":"dense","name":"fc","units":"classes"}])"};

TEST(LowRank, networks_at_full_rank_give_the_same_outputs) {
  for (const char* layers : kNetworks) {
    const auto model = model_of(spec_of(layers));
    const auto result = factored(*model);
    EXPECT_GT(result->graph.nodes.size(), model->graph.nodes.size() + 1);
    const std::vector<real> expected = outputs(*model), found = outputs(*result);
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-4) << layers;
  }
}

TEST(LowRank, a_convolution_becomes_a_thin_one_and_one_of_single_pixels) {
  const auto model = model_of(spec_of(kNetworks[0]));
  const auto result = factored(*model, 3);
  const Node &first = result->graph.nodes[0], &second = result->graph.nodes[1];
  EXPECT_EQ(first.name, "c_a");
  EXPECT_EQ(weight_of(first).shape, (std::vector<int>{3, 2, 2, 3}));
  EXPECT_EQ(bias_of(first), nullptr);
  EXPECT_EQ(first.attributes.stride, (Pair{2, 3}));
  EXPECT_EQ(second.name, "c");
  EXPECT_EQ(weight_of(second).shape, (std::vector<int>{7, 3, 1, 1}));
  EXPECT_NE(bias_of(second), nullptr);
  EXPECT_EQ(second.out_shape, model->graph.nodes[0].out_shape);
  EXPECT_EQ(weight_of(first).size + weight_of(second).size, factored_size(model->graph.nodes[0], 3));
}

TEST(LowRank, a_name_that_is_taken_is_not_used_again) {
  const auto result = factored(*model_of(spec_of(kNetworks[2])));
  EXPECT_EQ(result->graph.nodes[0].name, "c_aa");
}

// ---- The pass

class Factorize : public ::testing::Test {
 protected:
  Report run(const json& options) {
    finish(kFactorizePass.start(context_, options));
    return context_.report;
  }
  std::string error_of(const json& options) {
    try {
      run(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kArgument);
      return error.what();
    }
    return "no error";
  }

  Dataset digits_ = synthetic_digits(200, 40, 3);
  ThreadPool pool_{1};
  PassContext context_{.model = Model::create(json::parse(find_preset("lenet-300-100")->spec), 1, &digits_),
                       .dataset = digits_,
                       .kernels = select_kernels("plain"),
                       .pool = pool_};
};

TEST_F(Factorize, layers_take_the_rank_that_is_asked_for) {
  const std::int64_t before = context_.model->graph.parameter_count();
  const Report report = run({{"rank", 20}});
  const Graph& graph = context_.model->graph;
  // 784 x 300 and 300 x 100 at rank 20; 100 x 10 would not get smaller.
  EXPECT_EQ(graph.parameter_count(), before - 784 * 300 + 20 * (784 + 300) - 300 * 100 + 20 * (300 + 100));
  EXPECT_EQ(report.after.total.parameters, graph.parameter_count());
  ASSERT_EQ(report.notes.size(), 3u);
  EXPECT_NE(report.notes[0].second.find("rank 20 of 300"), std::string::npos) << report.notes[0].second;
  EXPECT_NE(report.notes[2].second.find("kept"), std::string::npos) << report.notes[2].second;
  EXPECT_TRUE(report.accuracy_before && report.accuracy_after);
  EXPECT_FALSE(report.accuracy_finetuned || report.accuracy_control);
}

TEST_F(Factorize, a_share_is_of_the_full_rank) {
  run({{"rank", 0.1}, {"layers", {"ip1"}}});
  const auto& nodes = context_.model->graph.nodes;
  ASSERT_EQ(nodes.size(), 7u);
  EXPECT_EQ(nodes[1].name, "ip1_a");
  EXPECT_EQ(nodes[1].out_shape.channels, 30);
}

TEST_F(Factorize, energy_decides_each_layer_for_itself) {
  context_.model = Model::create(json::parse(find_preset("resnet")->spec), 1, &digits_);
  const std::unique_ptr<Model> original = copy_of(*context_.model);
  run({{"energy", 0.7}, {"layers", {"stage*"}}});
  int found = 0;
  for (const Node& node : original->graph.nodes) {
    if (!can_factor(node) || !node.name.starts_with("stage")) continue;
    const int rank = rank_for_energy(decompose(*original, node).singular_values, 0.7);
    for (const Node& first : context_.model->graph.nodes) {
      if (first.name != node.name + "_a") continue;
      EXPECT_EQ(first.out_shape.channels, rank) << node.name;
      ++found;
    }
  }
  EXPECT_GE(found, 6);
}

TEST_F(Factorize, fine_tuning_comes_with_its_control) {
  const Report report = run({{"rank", 10}, {"finetune", 1}, {"control", true}});
  EXPECT_EQ(report.finetune_epochs, 1);
  EXPECT_TRUE(report.accuracy_finetuned && report.accuracy_control);
}

TEST_F(Factorize, says_what_is_wrong) {
  EXPECT_EQ(error_of({{"rank", 4}, {"energy", 0.9}}),
            "energy: is given together with rank, and each of them decides the ranks; give only one");
  EXPECT_EQ(error_of({{"rank", 2.5}}), "rank: must be a whole number, or a share below 1");
  EXPECT_EQ(error_of({{"rank", 300}}),
            "rank: leaves no layer with fewer weights than it has; choose a lower one, or other layers");
  EXPECT_EQ(error_of({{"energy", 1}}),
            "energy: leaves no layer with fewer weights than it has; choose a lower one, or other layers");
  EXPECT_NE(context_.model, nullptr) << "the model is still there after an error";
}

TEST_F(Factorize, wants_to_come_before_pruning_and_quantizing) {
  auto& mask = context_.model->parameters.mask;
  mask.assign(static_cast<std::size_t>(context_.model->graph.trainable_size), real{1});
  mask[3] = 0;
  EXPECT_EQ(error_of({{"rank", 4}}),
            "factorize: would fill the zeros of a pruned model again; factorize before pruning");
  json spec = json::parse(find_preset("lenet-300-100")->spec);
  spec["layers"].back()["quantize"] = {{"scheme", "symmetric"}};
  context_.model = Model::create(spec, 1, &digits_);
  EXPECT_EQ(error_of({{"rank", 4}}),
            "factorize: would lose the grids of a quantized model; factorize before quantizing");
}

TEST_F(Factorize, wants_a_layer_that_it_can_factor) {
  const json layers = json::parse(R"([{"type":"conv","out_channels":4,"kernel":3},
                                      {"type":"conv","name":"c","kernel":3,"groups":"depthwise"},
                                      {"type":"dense","name":"fc","units":"classes"}])");
  context_.model = Model::create(
      {{"input", {{"channels", 1}, {"height", 28}, {"width", 28}}}, {"classes", 10}, {"layers", layers}}, 1,
      &digits_);
  EXPECT_EQ(error_of({{"rank", 4}, {"layers", {"c"}}}),
            "layers: name nothing that can be factored; name a dense layer or a convolution without groups");
}

}  // namespace
}  // namespace espalier
