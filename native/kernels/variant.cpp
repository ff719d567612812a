// One variant of all inner loops. CMake compiles this file once for each kind of processor, with
// ESPALIER_VARIANT (its name), ESPALIER_LANES, ESPALIER_VECTOR_BYTES and ESPALIER_FUSED.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__SSE2__)
#include <immintrin.h>
#endif

#include "core/training_only.h"
#include "kernels/kernels.h"

#define ESPALIER_STRING(x) #x
#define ESPALIER_NAME(x) ESPALIER_STRING(x)

namespace espalier::ESPALIER_VARIANT {

#include "kernels/lanes.h"

#include "kernels/tiles.h"

#include "kernels/depthwise.h"

#include "kernels/conv.h"

#include "kernels/arrange.h"
#include "kernels/dense.h"
#include "kernels/elementwise.h"
#include "kernels/peak.h"
#include "kernels/pool.h"
#include "kernels/sparse.h"

#include "kernels/single.h"
#include "kernels/update.h"

// Whole vectors reach no further than a feature map's memory does, so element-wise loops are shared.
constexpr Kernels kSingle{.name = ESPALIER_NAME(ESPALIER_VARIANT),
                          .lanes = 1,
                          .fused = ESPALIER_FUSED,
                          .conv_pack_forward = single_pack,
                          .conv_forward = single_conv_forward,
                          .sparse_forward_layout = single_sparse_layout,
                          .sparse_forward = single_sparse_forward,
                          .max_pool_forward = single_max_pool,
                          .avg_pool_forward = single_avg_pool,
                          .activation_forward = activation_forward,
                          .scale_shift = single_scale_shift,
                          .add = add,
                          .quantize_forward = quantize_forward,
                          .conv_scratch = single_conv_scratch,
                          .conv_arrange = single_conv_arrange};

constexpr Kernels kBlocks{.name = ESPALIER_NAME(ESPALIER_VARIANT),
                          .lanes = kLanes,
                          .fused = ESPALIER_FUSED,
                          .conv_pack_forward = conv_pack_forward,
                          .conv_pack_backward = conv_pack_backward,
                          .conv_forward = conv_forward,
                          .conv_input_gradient = conv_input_gradient,
                          .conv_weight_gradient = conv_weight_gradient,
                          .channel_sums = channel_sums,
                          .transpose_block = transpose_block,
                          .dense_weight_gradient = dense_weight_gradient,
                          .sparse_forward_layout = sparse_forward_layout,
                          .sparse_backward_layout = sparse_backward_layout,
                          .sparse_forward = sparse_forward,
                          .sparse_input_gradient = sparse_input_gradient,
                          .sparse_weight_gradient = sparse_weight_gradient,
                          .sparse_dense_weight_gradient = sparse_dense_weight_gradient,
                          .max_pool_forward = max_pool_forward,
                          .max_pool_backward = max_pool_backward,
                          .avg_pool_forward = avg_pool_forward,
                          .avg_pool_backward = avg_pool_backward,
                          .activation_forward = activation_forward,
                          .activation_backward = activation_backward,
                          .scale_shift = scale_shift,
                          .centered_moments = centered_moments,
                          .gradient_moments = gradient_moments,
                          .combine = combine,
                          .add = add,
                          .add_rows = add_rows,
                          .quantize_forward = quantize_forward,
                          .quantize_backward = quantize_backward,
                          .dropout = dropout,
                          .softmax_terms = softmax_terms,
                          .update = update,
                          .sum_of_squares = sum_of_squares,
                          .multiply_adds = multiply_adds,
                          .single = &kSingle};

// A binary for inference alone takes image by image: the loops over blocks are a third of its code.
extern const Kernels kKernels;
constinit const Kernels kKernels = kInferenceOnly ? kSingle : kBlocks;

}  // namespace espalier::ESPALIER_VARIANT
