// The inner loops, compiled once for each kind of processor, behind one table of functions.
//
// Every function works on one block of `lanes` images, feature maps as [channels][height][width]
// [lanes], and reads like the loop for one image. Nothing allocates, nothing throws. All variants
// sum in the same order, so results do not depend on `lanes`; variants with `fused` round a
// multiply-add once and differ from the others in the last bits.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/real.h"

namespace espalier {

// One pixel and one tap unless said.
struct ConvShape {
  int in_channels = 1, in_height = 1, in_width = 1;
  int out_channels = 1, out_height = 1, out_width = 1;
  int kernel_height = 1, kernel_width = 1;
  int stride_height = 1, stride_width = 1;
  int dilation_height = 1, dilation_width = 1;
  int pad_top = 0, pad_left = 0;
  int groups = 1;

  int group_in() const { return in_channels / groups; }
  int group_out() const { return out_channels / groups; }
  int taps() const { return kernel_height * kernel_width; }
};

struct PoolShape {
  int channels, in_height, in_width, out_height, out_width;
  int kernel_height, kernel_width, stride_height, stride_width, pad_top, pad_left;
};

enum class Activation { kRelu, kRelu6, kLeakyRelu, kTanh, kSigmoid };

enum class Update { kSgd, kMomentum, kNesterov, kAdam, kAdamW };

// One optimizer step. `moment1` is the velocity (momentum, nesterov) or the mean gradient (adam).
struct UpdateContext {
  real* value;
  const real* gradient;
  real* moment1;
  real* moment2;
  std::int64_t count;  // a multiple of 16
  real learning_rate, momentum, beta2, weight_decay;
  real gradient_scale;    // from clipping the norm
  real bias_correction1;  // 1 / (1 - beta1^t)
  real bias_correction2;  // 1 / (1 - beta2^t)
  real epsilon;
};

// A weight that is not zero: its value, and how far behind the first pixel that a sum could see lies the one
// that it multiplies.
struct SparseWeight {
  std::int32_t offset;  // numbers
  real value;
};

// The weights of each sum: row r is weights [first[r], first[r + 1]). kernels/sparse_weights.h makes them.
// Forward a row is an output channel; backward an input channel, a phase of the strides and a row of taps.
struct SparseRows {
  const std::int32_t* first;
  const SparseWeight* weights;
};

// How feature maps lie where sparse loops read them: numbers from one to the next, and those of a copy in
// scratch memory; 0: they are read in place.
struct SparseLayout {
  std::int64_t channel, row, tap, scratch;
};

struct Kernels {
  std::string_view name;
  int lanes;
  bool fused;

  // Convolution. `packed` is what pack_* wrote; weights are [out][in / groups][kh][kw].
  void (*conv_pack_forward)(const ConvShape&, const real* weight, real* packed);
  void (*conv_pack_backward)(const ConvShape&, const real* weight, real* packed);
  void (*conv_forward)(const ConvShape&, const real* in, const real* packed, const real* bias, real* out);
  void (*conv_input_gradient)(const ConvShape&, const real* grad_out, const real* packed, real* grad_in);
  // Adds to grad_weight.
  void (*conv_weight_gradient)(const ConvShape&, const real* in, const real* grad_out, real* grad_weight);
  // grad_bias[c] += sum over pixels and lanes of [channels][pixels][lanes].
  void (*channel_sums)(const real* grad_out, int channels, int pixels, real* grad_bias);

  // A round's dense weight gradient. transposed: [images][inputs padded to 16], grads:
  // [images / lanes][units][lanes]; rows [unit_begin, unit_end) of [units][inputs].
  void (*transpose_block)(const real* in, int inputs, int stride, real* transposed);
  void (*dense_weight_gradient)(const real* transposed, int stride, const real* grads, int images, int inputs,
                                int units, int unit_begin, int unit_end, bool add, real* grad_weight);

  // Convolution over surviving weights, with the bits of the functions above (kernels/sparse.h).
  SparseLayout (*sparse_forward_layout)(const ConvShape&);
  SparseLayout (*sparse_backward_layout)(const ConvShape&);
  void (*sparse_forward)(const ConvShape&, const SparseRows& forward, const real* in, const real* bias,
                         real* scratch, real* out);
  void (*sparse_input_gradient)(const ConvShape&, const SparseRows& backward, const real* grad_out,
                                real* scratch, real* grad_in);
  // Adds to grad_weight[places[i]] for each weight i.
  void (*sparse_weight_gradient)(const ConvShape&, const SparseRows& forward, const std::int32_t* places,
                                 const real* in, const real* grad_out, real* scratch, real* grad_weight);
  // A round's dense weight gradient. inputs: blocks [inputs][lanes] of `block` numbers each.
  void (*sparse_dense_weight_gradient)(const SparseRows& forward, const std::int32_t* places,
                                       const real* inputs, std::int64_t block, const real* grads, int units,
                                       int images, int unit_begin, int unit_end, bool add, real* grad_weight);

  void (*max_pool_forward)(const PoolShape&, const real* in, real* out);
  void (*max_pool_backward)(const PoolShape&, const real* in, const real* out, const real* grad_out,
                            real* grad_in);
  void (*avg_pool_forward)(const PoolShape&, const real* in, real* out);
  void (*avg_pool_backward)(const PoolShape&, const real* grad_out, real* grad_in);

  void (*activation_forward)(Activation, real slope, int size, const real* in, real* out);
  void (*activation_backward)(Activation, real slope, int size, const real* out, const real* grad_out,
                              real* grad_in);

  // out = in · scale[c] + shift[c], no lower than `lowest` and no higher than `highest`.
  void (*scale_shift)(const real* in, int channels, int pixels, const real* scale, const real* shift,
                      real lowest, real highest, real* out);
  // For each group of 8 lanes: partial[group][0][c] = sum of (in - center[c]) over pixels and valid
  // lanes, partial[group][1][c] = sum of its square.
  void (*centered_moments)(const real* in, int channels, int pixels, const real* center, int valid,
                           real* partial);
  // partial[group][0][c] = sum of grad_out, [1][c] = sum of grad_out · (in - center[c]).
  void (*gradient_moments)(const real* in, const real* grad_out, int channels, int pixels, const real* center,
                           real* partial);
  // out = a[c] · grad_out + b[c] · in + d[c], zero in lanes behind `valid`
  void (*combine)(const real* grad_out, const real* in, int channels, int pixels, const real* a,
                  const real* b, const real* d, int valid, real* out);

  void (*add)(int size, const real* a, const real* b, real* out);
  // out = the sum of `rows` rows in order, `count` numbers of each; `first` begins the first one.
  void (*add_rows)(int rows, std::int64_t row_size, const real* first, std::int64_t count, real* out);

  // out = scale · (clamp(round(in / scale) + zero_point, 0, highest) - zero_point), halves to even.
  void (*quantize_forward)(int size, real scale, real zero_point, real highest, const real* in, real* out);
  // grad_in (may be null) is grad_out inside the range and 0 outside; adds the gradient of the scale to
  // *grad_scale (Esser et al. 2020, equation 3).
  void (*quantize_backward)(int size, real scale, real zero_point, real highest, const real* in,
                            const real* grad_out, real* grad_in, real* grad_scale);
  // Zeroes the share `rate` of the values and scales the rest by 1 / (1 - rate). Which ones depends
  // on (key, image, position) alone.
  void (*dropout)(int size, double rate, std::uint64_t key, std::uint64_t first_image, const real* in,
                  real* out);

  // probabilities[c] = e^(logits[c] - largest) ; sums and largest are [lanes].
  void (*softmax_terms)(int classes, const real* logits, real* terms, real* sums, real* largest);

  void (*update)(Update, const UpdateContext&);
  // Sum of squares in a fixed order; count is a multiple of 16.
  double (*sum_of_squares)(const real* values, std::int64_t count);

  // For benchmarks: multiply-adds on registers alone; returns how many.
  std::int64_t (*multiply_adds)(std::int64_t rounds);

  // The same sums for one image: a table whose `lanes` is 1 and which has what inference needs, nothing else.
  // Its functions read and write feature maps up to the next multiple of 16 numbers.
  const Kernels* single;
  // Of such a table only: the input as conv_forward wants it, `in` itself or a copy in the scratch memory.
  std::int64_t (*conv_scratch)(const ConvShape&);  // numbers
  const real* (*conv_arrange)(const ConvShape&, const real* in, real* scratch);
};

// The variants in this build that this processor can run, slowest first. The first one is "plain":
// 128-bit, no fused multiply-add, the same bits on every machine.
std::span<const Kernels* const> available_kernels();

// "auto": the fastest available one that gives known answers. Throws Error{kArgument} for a name
// that is not available, listing those that are.
const Kernels& select_kernels(std::string_view name);

// Runs small convolutions, exponentials and fused products with known results. Empty: all right;
// else a sentence that says what was wrong.
std::string_view check_known_answers(const Kernels& kernels);

}  // namespace espalier
