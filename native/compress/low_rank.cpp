#include "compress/low_rank.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/math.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

std::size_t at(int row, int column, int columns) {
  return static_cast<std::size_t>(std::int64_t{row} * columns + column);
}

// "fc_a", or with more of its kind behind it where a layer has that name already.
std::string first_name(const Graph& graph, const std::string& name) {
  std::string first = name + "_a";
  const auto taken = [&](const Node& node) { return node.name == first; };
  while (std::any_of(graph.nodes.begin(), graph.nodes.end(), taken)) first += "a";
  return first;
}

const ParameterInfo* find_tensor(const Graph& graph, const std::string& name) {
  for (const ParameterInfo* info : graph.parameters()) {
    if (info->name == name) return info;
  }
  return nullptr;
}

// The first layer keeps everything but filters and bias; the second takes its output as it is.
void split_layer(const Node& node, const std::string& first_name, int rank, json& first, json& second) {
  first = second;
  first["name"] = first_name;
  first["bias"] = false;
  second.erase("inputs");
  if (node.op == &kDense) {
    first["units"] = rank;
    return;
  }
  first["out_channels"] = rank;
  second["kernel"] = second["stride"] = second["dilation"] = 1;
  second["padding"] = 0;
}

struct Eigenvectors {
  Eigen::VectorXd values;   // rising
  Eigen::MatrixXd vectors;  // columns
};

// SelfAdjointEigenSolver::compute would do the same, but multiply by blocks of reflections: 85 KB of code.
Eigenvectors eigenvectors(const Eigen::MatrixXd& symmetric) {
  const Eigen::Tridiagonalization<Eigen::MatrixXd> tridiagonal(symmetric);
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver;
  solver.computeFromTridiagonal(tridiagonal.diagonal(), tridiagonal.subDiagonal());
  Eigenvectors result{solver.eigenvalues(), solver.eigenvectors()};
  // Back from the tridiagonal matrix: reflections I - h·v·vᵀ, the last one first, with
  // v = (0, …, 0, 1, packed(i + 2, i), …, packed(n - 1, i)).
  const Eigen::MatrixXd& packed = tridiagonal.packedMatrix();
  const auto size = static_cast<int>(symmetric.rows());
  for (int i = size - 2; i >= 0; --i) {
    const double h = tridiagonal.householderCoefficients()[i];
    for (int column = 0; column < size; ++column) {
      double* z = &result.vectors(0, column);
      double dot = z[i + 1];
      for (int k = i + 2; k < size; ++k) dot += packed(k, i) * z[k];
      z[i + 1] -= h * dot;
      for (int k = i + 2; k < size; ++k) z[k] -= h * dot * packed(k, i);
    }
  }
  return result;
}

}  // namespace

// Of the matrix A whose rows are the shorter side, A = U · (Uᵀ · A) with the eigenvectors U of A · Aᵀ, in
// double: no division by small singular values, and the product is A again to rounding.
Factors decompose(std::span<const real> matrix, int rows, int columns) {
  const bool wide = rows <= columns;
  const int size = std::min(rows, columns), length = std::max(rows, columns);
  std::vector<double> a;  // [size][length]
  a.reserve(matrix.size());
  for (int i = 0; i < size; ++i) {
    for (int k = 0; k < length; ++k) a.push_back(matrix[wide ? at(i, k, columns) : at(k, i, columns)]);
  }
  Eigen::MatrixXd gram(size, size);
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j <= i; ++j) {
      double sum = 0;
      for (int k = 0; k < length; ++k) sum += a[at(i, k, length)] * a[at(j, k, length)];
      gram(i, j) = gram(j, i) = sum;
    }
  }
  const Eigenvectors eigen = eigenvectors(gram);

  Factors factors{.rows = rows, .columns = columns, .size = size};
  factors.left.resize(at(rows, 0, size));
  factors.right.resize(at(size, 0, columns));
  std::vector<double> projected(static_cast<std::size_t>(length));
  for (int r = 0; r < size; ++r) {
    const int column = size - 1 - r;  // eigenvalues rise
    const double sigma = math::sqrt(std::max(eigen.values[column], 0.0));
    const double root = sigma > 0 ? math::sqrt(sigma) : 1;
    factors.singular_values.push_back(sigma);
    std::fill(projected.begin(), projected.end(), 0.0);
    for (int i = 0; i < size; ++i) {
      const double u = eigen.vectors(i, column);
      for (int k = 0; k < length; ++k) projected[static_cast<std::size_t>(k)] += u * a[at(i, k, length)];
      (wide ? factors.left[at(i, r, size)] : factors.right[at(r, i, columns)]) = static_cast<real>(u * root);
    }
    for (int k = 0; k < length; ++k) {
      (wide ? factors.right[at(r, k, columns)] : factors.left[at(k, r, size)]) =
          static_cast<real>(projected[static_cast<std::size_t>(k)] / root);
    }
  }
  return factors;
}

int rank_for_energy(std::span<const double> singular_values, double share) {
  double total = 0;
  for (const double sigma : singular_values) total += sigma * sigma;
  double kept = 0;
  int rank = 0;
  for (const double sigma : singular_values) {
    if (rank > 0 && kept >= share * total) break;
    kept += sigma * sigma;
    ++rank;
  }
  return rank;
}

bool can_factor(const Node& node) {
  return node.op == &kDense || (node.op == &kConv && node.attributes.groups == 1);
}

Factors decompose(const Model& model, const Node& node) {
  const ParameterInfo& weight = weight_of(node);
  const int rows = weight.shape[0];
  return decompose({model.parameters.value.data() + weight.offset, static_cast<std::size_t>(weight.size)},
                   rows, static_cast<int>(weight.size / rows));
}

std::int64_t factored_size(const Node& node, int rank) {
  const std::int64_t rows = weight_of(node).shape[0];
  return rank * (rows + weight_of(node).size / rows);
}

std::unique_ptr<Model> factorize(const Model& model, std::span<const FactoredLayer> layers) {
  const Graph& graph = model.graph;
  json spec = to_spec(graph);
  json list = json::array();
  std::vector<std::string> first_names;
  for (const Node& node : graph.nodes) {
    json& layer = spec["layers"][node.index];
    for (const FactoredLayer& factored : layers) {
      if (factored.node != node.index) continue;
      first_names.push_back(first_name(graph, node.name));
      json first;
      split_layer(node, first_names.back(), factored.rank, first, layer);
      list.push_back(std::move(first));
    }
    list.push_back(std::move(layer));
  }
  spec["layers"] = std::move(list);
  auto result = std::make_unique<Model>(compile(spec));

  auto& value = result->parameters.value;
  for (const ParameterInfo* info : graph.parameters()) {
    const ParameterInfo& to = *find_tensor(result->graph, info->name);
    if (to.shape == info->shape) {
      std::copy_n(model.parameters.value.begin() + info->offset, info->size, value.begin() + to.offset);
    }
  }
  for (std::size_t n = 0; n < layers.size(); ++n) {
    const Factors& factors = layers[n].factors;
    const int rank = layers[n].rank;
    const ParameterInfo& first = *find_tensor(result->graph, first_names[n] + ".weight");
    const ParameterInfo& second = *find_tensor(result->graph, weight_of(graph.nodes[layers[n].node]).name);
    std::copy_n(factors.right.begin(), first.size, value.begin() + first.offset);
    for (int row = 0; row < factors.rows; ++row) {
      std::copy_n(factors.left.begin() + std::int64_t{row} * factors.size, rank,
                  value.begin() + second.offset + std::int64_t{row} * rank);
    }
  }
  return result;
}

}  // namespace espalier
