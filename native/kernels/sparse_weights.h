// The surviving weights of a layer as the sparse loops walk them (kernels/sparse.h).
#pragma once

#include <cstdint>
#include <vector>

#include "core/aligned.h"
#include "kernels/kernels.h"

namespace espalier {

struct SparseWeights {
  std::vector<std::int32_t> first;       // [rows + 1]
  aligned_vector<SparseWeight> weights;  // row by row, in the order of the sums
  std::vector<std::int32_t> places;      // of each, in the layer's tensor [out][in / groups][kh][kw]

  SparseRows rows() const { return {first.data(), weights.data()}; }
  void take_values(const real* weight);  // of the tensor
};

// Those whose `kept`, parallel to the tensor, is not 0. Values are taken from it too.
SparseWeights forward_weights(const ConvShape& shape, const SparseLayout& layout, const real* kept);
SparseWeights backward_weights(const ConvShape& shape, const SparseLayout& layout, const real* kept);

// A layer of a pruned network, in training.
struct SparseLayer {
  bool used = false;
  bool masked_gradients = false;  // gradients of masked weights are wanted too
  SparseWeights forward;
  SparseWeights backward;
};

// Below which share of weights left sparse loops take less time than dense ones; and whether those of a dense
// layer's weight gradient do. As measured (native/README.md): the results are the same.
double sparse_break_even(const Kernels& kernels, const ConvShape& shape);
bool sparse_dense_gradient_pays(const Kernels& kernels, double density);

}  // namespace espalier
