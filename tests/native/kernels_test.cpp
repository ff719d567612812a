// Every variant of the convolution loops against the definition, on shapes around tile edges. The
// values are small integers, so every order of summation gives the same float and equality is exact.
// Canaries behind each output catch a store too far.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/aligned.h"
#include "core/random.h"
#include "kernels/kernels.h"
#include "kernels/sparse_weights.h"

namespace espalier {
namespace {

constexpr real kCanary = -12345;
constexpr std::size_t kCanaries = 64;

struct Buffer {
  aligned_vector<real> data;
  std::size_t size;

  explicit Buffer(std::size_t count) : data(count + kCanaries, kCanary), size(count) {}
  Buffer(std::size_t count, Random& random) : Buffer(count) {
    for (std::size_t i = 0; i < count; ++i)
      data[i] = static_cast<real>(static_cast<int>(random.below(9)) - 4);
  }
  Buffer(std::size_t count, real value) : Buffer(count) { std::fill_n(data.begin(), count, value); }
  real* get() { return data.data(); }
  real operator[](std::size_t i) const { return data[i]; }
  bool intact() const {
    return std::all_of(data.begin() + static_cast<std::ptrdiff_t>(size), data.end(),
                       [](real x) { return x == kCanary; });
  }
};

std::size_t in_index(const ConvShape& s, int lanes, int c, int y, int x, int lane) {
  return static_cast<std::size_t>(((c * s.in_height + y) * s.in_width + x) * lanes + lane);
}
std::size_t out_index(const ConvShape& s, int lanes, int c, int y, int x, int lane) {
  return static_cast<std::size_t>(((c * s.out_height + y) * s.out_width + x) * lanes + lane);
}

// Visits every product of the definition: (weight index, input index, output index).
template <class Visit>
void for_each_product(const ConvShape& s, int lanes, Visit visit) {
  for (int o = 0; o < s.out_channels; ++o) {
    const int group = o / s.group_out();
    for (int i = 0; i < s.group_in(); ++i) {
      for (int ky = 0; ky < s.kernel_height; ++ky) {
        for (int kx = 0; kx < s.kernel_width; ++kx) {
          const auto w =
              static_cast<std::size_t>(((o * s.group_in() + i) * s.kernel_height + ky) * s.kernel_width + kx);
          for (int y = 0; y < s.out_height; ++y) {
            const int iy = y * s.stride_height + ky * s.dilation_height - s.pad_top;
            if (iy < 0 || iy >= s.in_height) continue;
            for (int x = 0; x < s.out_width; ++x) {
              const int ix = x * s.stride_width + kx * s.dilation_width - s.pad_left;
              if (ix < 0 || ix >= s.in_width) continue;
              for (int lane = 0; lane < lanes; ++lane) {
                visit(w, in_index(s, lanes, group * s.group_in() + i, iy, ix, lane),
                      out_index(s, lanes, o, y, x, lane));
              }
            }
          }
        }
      }
    }
  }
}

ConvShape random_shape(Random& random) {
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1)));
  };
  // One in three is depthwise, one in three has the taps of a loop of its own; planes now and then outgrow
  // them.
  const std::uint32_t kind = random.below(3);
  const int larger = random.below(8) == 0 ? 30 : 0;
  ConvShape s{};
  s.groups = kind == 0 ? between(2, 9) : random.below(3) == 0 ? between(2, 4) : 1;
  s.in_channels = s.groups * (kind == 0 ? 1 : between(1, s.groups > 1 ? 3 : 14));
  s.out_channels = s.groups * (kind == 0 ? 1 : between(1, s.groups > 1 ? 3 : 23));
  s.kernel_height = kind == 2 ? between(1, 5) : 2 * between(0, 3) + 1;
  s.kernel_width = kind == 2 ? between(1, 7) : kind == 1 ? 2 * between(0, 2) + 1 : 3;
  s.stride_height = between(1, kind == 2 ? 3 : 2);
  s.stride_width = between(1, kind == 2 ? 3 : 2);
  s.dilation_height = kind == 2 ? between(1, 2) : 1;
  s.dilation_width = kind == 2 ? between(1, 2) : 1;
  const int reach_y = (s.kernel_height - 1) * s.dilation_height + 1,
            reach_x = (s.kernel_width - 1) * s.dilation_width + 1;
  s.pad_top = between(0, reach_y - 1);
  s.pad_left = between(0, reach_x - 1);
  const int pad_bottom = between(0, reach_y - 1), pad_right = between(0, reach_x - 1);
  s.in_height = between(reach_y, reach_y + 6 + larger);
  s.in_width = between(reach_x, reach_x + 13 + larger);
  s.out_height = (s.in_height + s.pad_top + pad_bottom - reach_y) / s.stride_height + 1;
  s.out_width = (s.in_width + s.pad_left + pad_right - reach_x) / s.stride_width + 1;
  return s;
}

std::string text(const ConvShape& s) {
  return std::to_string(s.in_channels) + "x" + std::to_string(s.in_height) + "x" +
         std::to_string(s.in_width) + " -> " + std::to_string(s.out_channels) + "x" +
         std::to_string(s.out_height) + "x" + std::to_string(s.out_width) + ", kernel " +
         std::to_string(s.kernel_height) + "x" + std::to_string(s.kernel_width) + ", stride " +
         std::to_string(s.stride_height) + "x" + std::to_string(s.stride_width) + ", dilation " +
         std::to_string(s.dilation_height) + "x" + std::to_string(s.dilation_width) + ", groups " +
         std::to_string(s.groups);
}

class KernelVariant : public ::testing::TestWithParam<const Kernels*> {};

TEST_P(KernelVariant, gives_its_known_answers) { EXPECT_EQ(check_known_answers(*GetParam()), ""); }

TEST_P(KernelVariant, convolves_like_the_definition_on_400_random_shapes) {
  const Kernels& k = *GetParam();
  const int lanes = k.lanes;
  Random random(11, RandomStream::kInitialization);
  for (int round = 0; round < 400; ++round) {
    const ConvShape s = random_shape(random);
    SCOPED_TRACE(text(s));
    const auto in_size = static_cast<std::size_t>(s.in_channels * s.in_height * s.in_width * lanes);
    const auto out_size = static_cast<std::size_t>(s.out_channels * s.out_height * s.out_width * lanes);
    const auto weights = static_cast<std::size_t>(s.out_channels * s.group_in() * s.taps());
    Buffer in(in_size, random), grad_out(out_size, random), weight(weights, random);
    Buffer bias(static_cast<std::size_t>(s.out_channels), random);
    Buffer packed(weights), packed_backward(weights), out(out_size), grad_in(in_size),
        grad_weight(weights, real{3});

    std::vector<real> expected_out(out_size), expected_grad_in(in_size), expected_grad_weight(weights, 3);
    for (std::size_t i = 0; i < out_size; ++i) {
      expected_out[i] = bias[i / static_cast<std::size_t>(s.out_height * s.out_width * lanes)];
    }
    for_each_product(s, lanes, [&](std::size_t w, std::size_t i, std::size_t o) {
      expected_out[o] += weight[w] * in[i];
      expected_grad_in[i] += weight[w] * grad_out[o];
      expected_grad_weight[w] += in[i] * grad_out[o];
    });

    k.conv_pack_forward(s, weight.get(), packed.get());
    k.conv_pack_backward(s, weight.get(), packed_backward.get());
    k.conv_forward(s, in.get(), packed.get(), bias.get(), out.get());
    k.conv_input_gradient(s, grad_out.get(), packed_backward.get(), grad_in.get());
    k.conv_weight_gradient(s, in.get(), grad_out.get(), grad_weight.get());
    ASSERT_TRUE(std::equal(expected_out.begin(), expected_out.end(), out.data.begin()));
    ASSERT_TRUE(std::equal(expected_grad_in.begin(), expected_grad_in.end(), grad_in.data.begin()));
    ASSERT_TRUE(
        std::equal(expected_grad_weight.begin(), expected_grad_weight.end(), grad_weight.data.begin()));
    ASSERT_TRUE(packed.intact() && packed_backward.intact() && out.intact() && grad_in.intact() &&
                grad_weight.intact());
  }
}

TEST_P(KernelVariant, convolves_a_single_image_like_the_definition_on_500_random_shapes) {
  const Kernels& k = *GetParam()->single;
  ASSERT_EQ(k.lanes, 1);
  Random random(12, RandomStream::kInitialization);
  for (int round = 0; round < 500; ++round) {
    ConvShape s = random_shape(random);
    // Every fifth is a dense layer, of sizes around the tiles of 12, 6, 3, 2 and 1 vectors.
    if (round % 5 == 0) {
      s = {1 + static_cast<int>(random.below(20)),
           1,
           1,
           1 + static_cast<int>(random.below(450)),
           1,
           1,
           1,
           1,
           1,
           1,
           1,
           1,
           0,
           0,
           1};
    }
    SCOPED_TRACE(text(s));
    const auto out_size = static_cast<std::size_t>(s.out_channels * s.out_height * s.out_width);
    const auto weights = static_cast<std::size_t>(s.out_channels * s.group_in() * s.taps());
    Buffer in(static_cast<std::size_t>(s.in_channels * s.in_height * s.in_width), random);
    Buffer weight(weights, random), bias(static_cast<std::size_t>(s.out_channels), random);
    Buffer packed(weights), out(out_size), scratch(static_cast<std::size_t>(k.conv_scratch(s)));
    std::vector<real> expected(out_size), expected_without_bias(out_size);
    for_each_product(s, 1, [&](std::size_t w, std::size_t i, std::size_t o) {
      expected_without_bias[o] += weight[w] * in[i];
    });
    for (std::size_t i = 0; i < out_size; ++i) {
      expected[i] = expected_without_bias[i] + bias[i / static_cast<std::size_t>(s.out_height * s.out_width)];
    }
    k.conv_pack_forward(s, weight.get(), packed.get());
    const real* arranged = k.conv_arrange(s, in.get(), scratch.get());
    k.conv_forward(s, arranged, packed.get(), nullptr, out.get());
    ASSERT_TRUE(std::equal(expected_without_bias.begin(), expected_without_bias.end(), out.data.begin()));
    k.conv_forward(s, arranged, packed.get(), bias.get(), out.get());
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), out.data.begin()));
    ASSERT_TRUE(packed.intact() && out.intact() && scratch.intact() && in.intact());
  }
}

// Weights of which the share `density` survives; a few rows are empty.
Buffer pruned(const ConvShape& s, double density, Random& random) {
  const auto row = static_cast<std::size_t>(s.group_in() * s.taps());
  Buffer weight(row * static_cast<std::size_t>(s.out_channels), random);
  for (std::size_t i = 0; i < weight.size; ++i) {
    if (weight[i] == 0) weight.get()[i] = 5;
    if (i / row % 5 == 1 || random.uniform() >= density) weight.get()[i] = 0;
  }
  return weight;
}

ConvShape random_dense_shape(Random& random) {
  const auto up_to = [&](std::uint32_t most) { return 1 + static_cast<int>(random.below(most)); };
  return {up_to(70), 1, 1, up_to(40), 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1};
}

// Not only small integers: the sums have the order of the dense loops, so the bits are theirs.
TEST_P(KernelVariant, visits_surviving_weights_with_the_bits_of_the_dense_loops_on_400_random_shapes) {
  const Kernels& k = *GetParam();
  const int lanes = k.lanes;
  Random random(14, RandomStream::kInitialization);
  for (int round = 0; round < 400; ++round) {
    const ConvShape s = round % 5 == 0 ? random_dense_shape(random) : random_shape(random);
    if (s.groups > 1 && s.group_in() == 1 && s.group_out() == 1) continue;  // other orders (depthwise.h)
    SCOPED_TRACE(text(s));
    const bool exact = round % 2 == 0;
    const auto in_size = static_cast<std::size_t>(s.in_channels * s.in_height * s.in_width * lanes);
    const auto out_size = static_cast<std::size_t>(s.out_channels * s.out_height * s.out_width * lanes);
    Buffer in(in_size, random), grad_out(out_size, random),
        bias(static_cast<std::size_t>(s.out_channels), random);
    Buffer weight = pruned(s, round % 3 == 0 ? 0.8 : 0.2, random);
    if (!exact) {
      for (Buffer* buffer : {&in, &grad_out, &bias, &weight}) {
        for (std::size_t i = 0; i < buffer->size; ++i) {
          if ((*buffer)[i] != 0) buffer->get()[i] = static_cast<real>(random.uniform(-1, 1));
        }
      }
    }
    Buffer packed(weight.size), packed_backward(weight.size), expected_out(out_size),
        expected_grad_in(in_size), expected_grad_weight(weight.size, real{3});
    k.conv_pack_forward(s, weight.get(), packed.get());
    k.conv_pack_backward(s, weight.get(), packed_backward.get());
    k.conv_forward(s, in.get(), packed.get(), bias.get(), expected_out.get());
    k.conv_input_gradient(s, grad_out.get(), packed_backward.get(), expected_grad_in.get());
    k.conv_weight_gradient(s, in.get(), grad_out.get(), expected_grad_weight.get());
    for (std::size_t i = 0; i < weight.size; ++i) {
      if (weight[i] == 0) expected_grad_weight.get()[i] = 3;
    }

    const SparseLayout forward_layout = k.sparse_forward_layout(s),
                       backward_layout = k.sparse_backward_layout(s);
    SparseWeights forward = forward_weights(s, forward_layout, weight.get());
    SparseWeights backward = backward_weights(s, backward_layout, weight.get());
    EXPECT_EQ(forward.places.size(), backward.places.size());
    forward.take_values(weight.get());
    backward.take_values(weight.get());
    Buffer scratch(static_cast<std::size_t>(std::max(forward_layout.scratch, backward_layout.scratch)));
    Buffer out(out_size), grad_in(in_size), grad_weight(weight.size, real{3});
    k.sparse_forward(s, forward.rows(), in.get(), bias.get(), scratch.get(), out.get());
    k.sparse_input_gradient(s, backward.rows(), grad_out.get(), scratch.get(), grad_in.get());
    k.sparse_weight_gradient(s, forward.rows(), forward.places.data(), in.get(), grad_out.get(),
                             scratch.get(), grad_weight.get());
    ASSERT_TRUE(std::equal(expected_out.data.begin(), expected_out.data.end(), out.data.begin()));
    ASSERT_TRUE(std::equal(expected_grad_in.data.begin(), expected_grad_in.data.end(), grad_in.data.begin()));
    ASSERT_TRUE(std::equal(expected_grad_weight.data.begin(), expected_grad_weight.data.end(),
                           grad_weight.data.begin()));
    ASSERT_TRUE(scratch.intact());
  }
}

TEST_P(KernelVariant, visits_surviving_weights_for_a_single_image_as_the_dense_loops_do) {
  const Kernels& k = *GetParam()->single;
  Random random(15, RandomStream::kInitialization);
  for (int round = 0; round < 300; ++round) {
    const ConvShape s = round % 4 == 0 ? random_dense_shape(random) : random_shape(random);
    SCOPED_TRACE(text(s));
    const auto out_size = static_cast<std::size_t>(s.out_channels * s.out_height * s.out_width);
    Buffer in(static_cast<std::size_t>(s.in_channels * s.in_height * s.in_width), random);
    Buffer weight = pruned(s, 0.3, random), bias(static_cast<std::size_t>(s.out_channels), random);
    for (Buffer* buffer : {&in, &bias, &weight}) {
      for (std::size_t i = 0; i < buffer->size; ++i) {
        if ((*buffer)[i] != 0) buffer->get()[i] = static_cast<real>(random.uniform(-1, 1));
      }
    }
    Buffer packed(weight.size), dense_scratch(static_cast<std::size_t>(k.conv_scratch(s)));
    Buffer expected(out_size), out(out_size);
    k.conv_pack_forward(s, weight.get(), packed.get());
    k.conv_forward(s, k.conv_arrange(s, in.get(), dense_scratch.get()), packed.get(), bias.get(),
                   expected.get());
    const SparseLayout layout = k.sparse_forward_layout(s);
    const SparseWeights sparse = forward_weights(s, layout, weight.get());
    Buffer scratch(static_cast<std::size_t>(layout.scratch));
    k.sparse_forward(s, sparse.rows(), in.get(), bias.get(), scratch.get(), out.get());
    ASSERT_TRUE(std::equal(expected.data.begin(), expected.data.end(), out.data.begin()));
    ASSERT_TRUE(scratch.intact());
  }
}

struct Part {
  int begin, end;
};

TEST_P(KernelVariant, sparse_dense_weight_gradient_has_the_bits_of_the_matrix_product) {
  const Kernels& k = *GetParam();
  const int lanes = k.lanes;
  Random random(16, RandomStream::kInitialization);
  for (int round = 0; round < 60; ++round) {
    const ConvShape s = random_dense_shape(random);
    SCOPED_TRACE(text(s));
    const int inputs = s.in_channels, units = s.out_channels;
    const int images = 1 + static_cast<int>(random.below(64));
    const int stride = (inputs + 15) / 16 * 16, blocks = (images + lanes - 1) / lanes;
    Buffer in(static_cast<std::size_t>(blocks * inputs * lanes), random);
    Buffer grads(static_cast<std::size_t>(blocks * units * lanes), random);
    for (std::size_t i = 0; i < in.size; ++i) in.get()[i] = static_cast<real>(random.uniform(-1, 1));
    for (int b = 0; b < blocks; ++b) {
      for (int u = 0; u < units; ++u) {
        for (int lane = 0; lane < lanes; ++lane) {  // padding has no gradient
          grads.get()[(b * units + u) * lanes + lane] =
              b * lanes + lane < images ? static_cast<real>(random.uniform(-1, 1)) : real{0};
        }
      }
    }
    Buffer transposed(static_cast<std::size_t>(blocks * lanes * stride), real{0});
    for (int b = 0; b < blocks; ++b) {
      k.transpose_block(in.get() + b * inputs * lanes, inputs, stride, transposed.get() + b * lanes * stride);
    }
    const Buffer weight = pruned(s, 0.3, random);
    const SparseWeights sparse = forward_weights(s, k.sparse_forward_layout(s), weight.data.data());
    Buffer expected(weight.size, real{7}), gradient(weight.size, real{7});
    for (const bool add : {false, true}) {
      k.dense_weight_gradient(transposed.get(), stride, grads.get(), images, inputs, units, 0, units, add,
                              expected.get());
      for (const Part& part : {Part{0, units / 2}, Part{units / 2, units}}) {  // as two threads take them
        k.sparse_dense_weight_gradient(sparse.rows(), sparse.places.data(), in.get(),
                                       std::int64_t{inputs} * lanes, grads.get(), units, images, part.begin,
                                       part.end, add, gradient.get());
      }
      for (std::size_t i = 0; i < weight.size; ++i) {
        ASSERT_EQ(gradient[i], weight[i] == 0 ? real{7} : expected[i]);
      }
    }
    ASSERT_TRUE(gradient.intact());
  }
}

// Pools and batch norm write what they must and nothing behind it.
TEST_P(KernelVariant, pools_a_single_image_as_it_does_a_block) {
  const Kernels& block = *GetParam();
  const Kernels& single = *block.single;
  const int lanes = block.lanes;
  Random random(13, RandomStream::kInitialization);
  const auto up_to = [&](int most) {
    return 1 + static_cast<int>(random.below(static_cast<unsigned>(most)));
  };
  for (int round = 0; round < 300; ++round) {
    const bool twos = round % 2 == 0;  // the case with a loop of its own
    PoolShape s{.channels = up_to(4), .in_height = up_to(9) + 1, .in_width = up_to(70) + 1};
    s.kernel_height = s.stride_height = s.kernel_width = s.stride_width = 2;
    if (!twos) {
      s.kernel_height = std::min(up_to(4), s.in_height);
      s.kernel_width = std::min(up_to(4), s.in_width);
      s.stride_height = up_to(3);
      s.stride_width = up_to(3);
      s.pad_top = static_cast<int>(random.below(static_cast<unsigned>(s.kernel_height)));
      s.pad_left = static_cast<int>(random.below(static_cast<unsigned>(s.kernel_width)));
    }
    s.out_height = (s.in_height + s.pad_top - s.kernel_height) / s.stride_height + 1;
    s.out_width = (s.in_width + s.pad_left - s.kernel_width) / s.stride_width + 1;
    const auto pixels = static_cast<std::size_t>(s.in_height * s.in_width);
    const auto in_size = static_cast<std::size_t>(s.channels) * pixels;
    const auto out_size = static_cast<std::size_t>(s.channels * s.out_height * s.out_width);
    const auto width = static_cast<std::size_t>(lanes);
    Buffer in(in_size, random), in_lanes(in_size * width, random);
    for (std::size_t i = 0; i < in_size; ++i) in_lanes.get()[i * width] = in[i];
    Buffer scale(4, random), shift(4, random);
    Buffer out(out_size), mean(out_size), scaled(in_size);
    Buffer out_lanes(out_size * width), mean_lanes(out_size * width), scaled_lanes(in_size * width);
    single.max_pool_forward(s, in.get(), out.get());
    block.max_pool_forward(s, in_lanes.get(), out_lanes.get());
    single.avg_pool_forward(s, in.get(), mean.get());
    block.avg_pool_forward(s, in_lanes.get(), mean_lanes.get());
    single.scale_shift(in.get(), s.channels, static_cast<int>(pixels), scale.get(), shift.get(), -0.5f, 0.5f,
                       scaled.get());
    block.scale_shift(in_lanes.get(), s.channels, static_cast<int>(pixels), scale.get(), shift.get(), -0.5f,
                      0.5f, scaled_lanes.get());
    for (std::size_t i = 0; i < out_size; ++i) {
      ASSERT_EQ(out[i], out_lanes[i * width]);
      ASSERT_EQ(mean[i], mean_lanes[i * width]);
    }
    for (std::size_t i = 0; i < in_size; ++i) ASSERT_EQ(scaled[i], scaled_lanes[i * width]);
    ASSERT_TRUE(out.intact() && mean.intact() && scaled.intact());
  }
}

TEST_P(KernelVariant, dense_weight_gradient_is_the_matrix_product_for_any_size) {
  const Kernels& k = *GetParam();
  const int lanes = k.lanes;
  Random random(5, RandomStream::kInitialization);
  for (const int inputs : {1, 3, 15, 16, 17, 40, 63, 64, 65, 130}) {
    for (const int units : {1, 2, 5, 6, 7, 13}) {
      const int images = 1 + static_cast<int>(random.below(64));
      const int stride = (inputs + 15) / 16 * 16, blocks = (images + lanes - 1) / lanes;
      Buffer in(static_cast<std::size_t>(blocks * inputs * lanes), random);
      Buffer grads(static_cast<std::size_t>(blocks * units * lanes), random);
      Buffer transposed(static_cast<std::size_t>(blocks * lanes * stride), real{0});
      Buffer gradient(static_cast<std::size_t>(units * inputs), real{7});
      for (int b = 0; b < blocks; ++b) {
        k.transpose_block(in.get() + b * inputs * lanes, inputs, stride,
                          transposed.get() + b * lanes * stride);
      }
      for (const bool add : {false, true}) {
        // Two parts, as two threads take them.
        k.dense_weight_gradient(transposed.get(), stride, grads.get(), images, inputs, units, 0, units / 2,
                                add, gradient.get());
        k.dense_weight_gradient(transposed.get(), stride, grads.get(), images, inputs, units, units / 2,
                                units, add, gradient.get());
      }
      for (int u = 0; u < units; ++u) {
        for (int i = 0; i < inputs; ++i) {
          real sum = 0;
          for (int n = 0; n < images; ++n) {
            sum += in[static_cast<std::size_t>((n / lanes * inputs + i) * lanes + n % lanes)] *
                   grads[static_cast<std::size_t>((n / lanes * units + u) * lanes + n % lanes)];
          }
          ASSERT_EQ(gradient[static_cast<std::size_t>(u * inputs + i)], 2 * sum) << units << "x" << inputs;
        }
      }
      ASSERT_TRUE(gradient.intact());
    }
  }
}

TEST_P(KernelVariant, exponential_and_tanh_are_accurate_to_a_few_ulp) {
  const Kernels& k = *GetParam();
  for (int step = -300; step <= 300; ++step) {
    const real x = static_cast<real>(step) * real(0.05);
    alignas(64) real in[16], out[16];
    std::fill_n(in, 16, x);
    k.activation_forward(Activation::kTanh, 0, k.lanes, in, out);
    ASSERT_NEAR(out[0], std::tanh(static_cast<double>(x)),
                3e-7 * std::abs(std::tanh(static_cast<double>(x))) + 1e-30)
        << x;
    k.activation_forward(Activation::kSigmoid, 0, k.lanes, in, out);
    const double expected = 1 / (1 + std::exp(-static_cast<double>(x)));
    ASSERT_NEAR(out[0], expected, 4e-7 * expected) << x;
  }
}

TEST_P(KernelVariant, sums_lanes_and_pixels_in_one_order_for_every_width) {
  const Kernels& k = *GetParam();
  constexpr int kChannels = 3, kPixels = 17;
  // 16 images as two blocks of 8 or one of 16: the same bits.
  const auto sums = [](const Kernels& kernels) {
    std::vector<real> total(kChannels);
    for (int first = 0; first < 16; first += kernels.lanes) {
      aligned_vector<real> grads(static_cast<std::size_t>(kChannels * kPixels * kernels.lanes));
      for (int i = 0; i < kChannels * kPixels; ++i) {
        for (int lane = 0; lane < kernels.lanes; ++lane) {
          Random random(9, RandomStream::kInitialization, static_cast<std::uint64_t>(i * 16 + first + lane));
          grads[static_cast<std::size_t>(i * kernels.lanes + lane)] =
              static_cast<real>(random.uniform(-1, 1));
        }
      }
      kernels.channel_sums(grads.data(), kChannels, kPixels, total.data());
    }
    return total;
  };
  EXPECT_EQ(sums(k), sums(*available_kernels()[0]));
}

INSTANTIATE_TEST_SUITE_P(Variants, KernelVariant,
                         ::testing::ValuesIn(available_kernels().begin(), available_kernels().end()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST(Kernels, an_unknown_name_lists_those_that_are_there) {
  try {
    select_kernels("quantum");
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what())
                  .find("kernels: \"quantum\" is not available here; choose one of auto, plain"),
              std::string::npos)
        << error.what();
  }
}

TEST(Kernels, every_available_one_can_be_forced) {
  for (const Kernels* kernels : available_kernels()) EXPECT_EQ(&select_kernels(kernels->name), kernels);
}

}  // namespace
}  // namespace espalier
