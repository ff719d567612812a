// What conv and dense share: a dense layer is a convolution over one pixel. Parameter 0 is the
// weight, parameter 1 the bias where there is one.
#pragma once

#include "ops/op.h"

namespace espalier {

// Weights in the order of the forward loop, then, to train, in that of the input gradient.
std::int64_t packed_weight_size(const Node& node, bool training);
void pack_weights(const Node& node, const ConvShape& shape, const Kernels& kernels, const real* value,
                  real* packed, Way way);

void convolve(const BlockContext& context, const ConvShape& shape);

// Does nothing where nobody needs the input's gradient.
void convolve_back(const BlockContext& context, const ConvShape& shape);

// The layer, if only its surviving weights want gradients; else null.
const SparseLayer* survivors_with_gradients(const SparseLayer* sparse);

}  // namespace espalier
