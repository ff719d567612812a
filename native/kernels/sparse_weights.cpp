#include "kernels/sparse_weights.h"

#include <string_view>

namespace espalier {
namespace {

// `visit` goes through a row's weights in the order of its sums: (place in the tensor, offset).
template <class ForEachRow>
SparseWeights collect(const real* kept, ForEachRow&& for_each_row) {
  SparseWeights sparse;
  sparse.first.push_back(0);
  for_each_row(
      [&](std::int64_t place, std::int64_t offset) {
        if (kept[place] == 0) return;
        sparse.weights.push_back({static_cast<std::int32_t>(offset), kept[place]});
        sparse.places.push_back(static_cast<std::int32_t>(place));
      },
      [&] { sparse.first.push_back(static_cast<std::int32_t>(sparse.weights.size())); });
  return sparse;
}

}  // namespace

void SparseWeights::take_values(const real* weight) {
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i].value = weight[places[i]];
}

// (in channel, ky, kx) for each output channel.
SparseWeights forward_weights(const ConvShape& s, const SparseLayout& layout, const real* kept) {
  return collect(kept, [&](auto&& visit, auto&& end_row) {
    std::int64_t place = 0;
    for (int o = 0; o < s.out_channels; ++o) {
      for (int i = 0; i < s.group_in(); ++i) {
        const std::int64_t channel = (o / s.group_out() * s.group_in() + i) * layout.channel;
        for (int ky = 0; ky < s.kernel_height; ++ky) {
          const std::int64_t row = channel + std::int64_t{ky} * s.dilation_height * layout.row;
          for (int kx = 0; kx < s.kernel_width; ++kx) visit(place++, row + kx * layout.tap);
        }
      }
      end_row();
    }
  });
}

// (kx, out channel) for each input channel, phase and ky. A later tap reaches from an earlier output.
SparseWeights backward_weights(const ConvShape& s, const SparseLayout& layout, const real* kept) {
  const int top = (s.kernel_height - 1) * s.dilation_height / s.stride_height;
  const int left = (s.kernel_width - 1) * s.dilation_width / s.stride_width;
  return collect(kept, [&](auto&& visit, auto&& end_row) {
    const auto visit_row = [&](int c, int phase, int ky) {
      const int y = ky * s.dilation_height, group = c / s.group_in(), i = c % s.group_in();
      if (y % s.stride_height != phase / s.stride_width) return;
      for (int kx = 0; kx < s.kernel_width; ++kx) {
        const int x = kx * s.dilation_width;
        if (x % s.stride_width != phase % s.stride_width) continue;
        const std::int64_t at =
            (top - y / s.stride_height) * layout.row + (left - x / s.stride_width) * layout.tap;
        for (int o = group * s.group_out(); o < (group + 1) * s.group_out(); ++o) {
          visit(((std::int64_t{o} * s.group_in() + i) * s.kernel_height + ky) * s.kernel_width + kx,
                o * layout.channel + at);
        }
      }
    };
    for (int c = 0; c < s.in_channels; ++c) {
      for (int phase = 0; phase < s.stride_height * s.stride_width; ++phase) {
        for (int ky = 0; ky < s.kernel_height; ++ky) {
          visit_row(c, phase, ky);
          end_row();
        }
      }
    }
  });
}

namespace {

// The highest density at which sparse loops won on all of LeNet-5's layers and on 3 x 3 convolutions. The
// wider the registers, the better a dense loop uses them.
struct BreakEven {
  std::string_view variant;
  double layer, dense_gradient;
};
constexpr BreakEven kBreakEven[] = {{"avx512", 0.35, 0.08}, {"avx2", 0.35, 0.08}};
constexpr BreakEven kNarrow{"", 0.5, 0.12};
// Of one image the dense loops of a dense layer have outputs for lanes, the sparse ones have none.
constexpr BreakEven kSingle{"", 0.12, 0};

const BreakEven& break_even(const Kernels& kernels) {
  if (kernels.lanes == 1) return kSingle;
  for (const BreakEven& row : kBreakEven) {
    if (row.variant == kernels.name) return row;
  }
  return kNarrow;
}

}  // namespace

double sparse_break_even(const Kernels& kernels, const ConvShape& shape) {
  const bool depthwise = shape.groups > 1 && shape.group_in() == 1 && shape.group_out() == 1;
  return depthwise ? 0 : break_even(kernels).layer;
}

bool sparse_dense_gradient_pays(const Kernels& kernels, double density) {
  return density <= break_even(kernels).dense_gradient;
}

}  // namespace espalier
