// Low rank: a layer with weight W as two thinner ones, W ≈ L · R, from the singular value decomposition
// (Denil et al. 2013; Denton et al. 2014).
//
//   dense  [out][in]          ->  "<name>_a" [rank][in] without bias,     "<name>" [out][rank]
//   conv   [out][in][kh][kw]  ->  "<name>_a" [rank][in][kh][kw] likewise, "<name>" [out][rank][1][1]
//
// Among all matrices of that rank L · R is the nearest to W; what is missing is
// |W - L · R|² = the sum of the squares of the singular values that were dropped (Eckart and Young 1936).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "train/trainer.h"

namespace espalier {

// A matrix as left · right, where `size` is the smaller of rows and columns. The first r columns of left and
// rows of right are its best approximation of rank r. Both carry the root of the singular value, so that a
// training moves them at one pace.
struct Factors {
  int rows = 0;
  int columns = 0;
  int size = 0;
  std::vector<double> singular_values;  // [size], falling
  std::vector<real> left;               // [rows][size]
  std::vector<real> right;              // [size][columns]
};
Factors decompose(std::span<const real> matrix, int rows, int columns);

// The smallest rank, at least 1, whose squared singular values are at least `share` of the sum of all.
int rank_for_energy(std::span<const double> singular_values, double share);

// Whether the layer is a dense layer or a convolution without groups.
bool can_factor(const Node& node);
Factors decompose(const Model& model, const Node& node);

// Weights (biases are the same) of the two layers; fewer than the one has, or factoring is no use.
std::int64_t factored_size(const Node& node, int rank);

// The model with some layers in two. Nobody else notices: "<name>" still gives the layer's output.
struct FactoredLayer {
  std::uint32_t node = 0;
  int rank = 0;
  Factors factors;
};
std::unique_ptr<Model> factorize(const Model& model, std::span<const FactoredLayer> layers);

}  // namespace espalier
