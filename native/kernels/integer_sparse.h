// Convolution of a code map with few weights that are not 0. Of each output channel there is a list of the
// *quads*, four input channels at a tap, of which a weight is left: where its codes are, and four weights. A
// quad is one dot product for each lane, whatever the size and stride of the kernel.
//
// packed: where the list of each output channel ends, [out, to a multiple of four]; then the lists.

struct Quad {
  std::uint32_t offset;  // in bytes, from the first tap of a pixel
  std::int8_t weight[kCodeChannels];
};

// The list's sums at P neighbouring pixels. What registers are left take parts of the list.
template <class Dot, int P>
ESPALIER_INLINE void sum_quads(const Quad* quad, const Quad* end, const std::uint8_t* in, int step,
                               typename Dot::Sum (&total)[P]) {
  constexpr int kParts = std::max(kSums<Dot> / P, 1);
  typename Dot::Sum sum[kParts][P] = {};
  const auto add = [&](const Quad& q, typename Dot::Sum* sums) __attribute__((always_inline)) {
    const typename Dot::Splat w = Dot::splat_bytes(q.weight);
    for (int p = 0; p < P; ++p) Dot::add(w, Dot::load_codes(in + q.offset + p * step), sums[p]);
  };
  for (; end - quad >= kParts; quad += kParts) {
    for (int k = 0; k < kParts; ++k) add(quad[k], sum[k]);
  }
  if (kParts > 1) {
    for (; quad < end; ++quad) add(*quad, sum[0]);
  }
  for (int p = 0; p < P; ++p) {
    total[p] = sum[0][p];
    for (int k = 1; k < kParts; ++k) Dot::add_sum(sum[k][p], total[p]);
  }
}

template <class Dot, int L>
struct SparseConv {
  static std::int64_t padded_outputs(const ConvShape& s) {
    return std::int64_t{code_groups(s.out_channels)} * kCodeChannels;
  }
  static const std::uint32_t* ends_of(const void* packed) {
    return static_cast<const std::uint32_t*>(packed);
  }
  static const Quad* quads_of(const ConvShape& s, const void* packed) {
    return reinterpret_cast<const Quad*>(ends_of(packed) + padded_outputs(s));
  }

  // visit(output channel, offset, first weight's index, weights of it): every quad there may be, list by
  // list.
  template <class Visit>
  static void for_each_quad(const ConvShape& s, Visit&& visit) {
    for (int o = 0; o < s.out_channels; ++o) {
      for (int i = 0; i < s.in_channels; i += kCodeChannels) {
        for (int tap = 0; tap < s.taps(); ++tap) {
          const int row = tap / s.kernel_width * s.dilation_height;
          const int column = tap % s.kernel_width * s.dilation_width;
          const std::int64_t pixel =
              (std::int64_t{i / kCodeChannels} * s.in_height + row) * s.in_width + column;
          visit(o, static_cast<std::uint32_t>(pixel * kPixelBytes<L>),
                (std::int64_t{o} * s.in_channels + i) * s.taps() + tap,
                std::min(kCodeChannels, s.in_channels - i));
        }
      }
    }
  }
  static Quad quad_at(const ConvShape& s, const std::int8_t* weight, std::uint32_t offset, std::int64_t index,
                      int channels) {
    Quad quad{.offset = offset, .weight = {}};
    for (int c = 0; c < channels; ++c) quad.weight[c] = weight[index + std::int64_t{c} * s.taps()];
    return quad;
  }
  static bool is_left(const Quad& quad) { return load_as<std::int32_t>(quad.weight) != 0; }

  static std::int64_t packed_size(const ConvShape& s, const std::int8_t* weight) {
    std::int64_t count = 0;
    for_each_quad(s, [&](int, std::uint32_t offset, std::int64_t index, int channels) {
      count += is_left(quad_at(s, weight, offset, index, channels)) ? 1 : 0;
    });
    return padded_outputs(s) * static_cast<std::int64_t>(sizeof(std::uint32_t)) +
           count * static_cast<std::int64_t>(sizeof(Quad));
  }
  static void pack(const ConvShape& s, const std::int8_t* weight, void* packed) {
    auto* ends = static_cast<std::uint32_t*>(packed);
    auto* quads = reinterpret_cast<Quad*>(ends + padded_outputs(s));
    std::uint32_t count = 0;
    for_each_quad(s, [&](int o, std::uint32_t offset, std::int64_t index, int channels) {
      const Quad quad = quad_at(s, weight, offset, index, channels);
      if (is_left(quad)) quads[count++] = quad;
      ends[o] = count;
    });
    for (std::int64_t o = s.out_channels; o < padded_outputs(s); ++o) ends[o] = count;
  }
  static void unpack(const ConvShape& s, const void* packed, std::int8_t* weight) {
    const std::uint32_t* ends = ends_of(packed);
    const Quad* quads = quads_of(s, packed);
    std::uint32_t next = 0;
    for_each_quad(s, [&](int o, std::uint32_t offset, std::int64_t index, int channels) {
      const bool left = next < ends[o] && quads[next].offset == offset;
      for (int c = 0; c < channels; ++c) {
        weight[index + std::int64_t{c} * s.taps()] = left ? quads[next].weight[c] : std::int8_t{0};
      }
      next += left ? 1 : 0;
    });
  }

  // take(sums, first channel, output pixel) for every four channels of every pixel.
  template <class Take>
  ESPALIER_INLINE static void for_each_sum(const ConvShape& s, const std::uint8_t* in, const void* packed,
                                           const std::int32_t* start, Take&& take) {
    constexpr int kPixels = L == kLanes ? std::min(kSums<Dot>, 4) : 1;
    const std::uint32_t* ends = ends_of(packed);
    const Quad* quads = quads_of(s, packed);
    for (int o = 0; o < s.out_channels; o += kCodeChannels) {
      for (int y = 0; y < s.out_height; ++y) {
        for_each_strip<kPixels>(s.out_width, pixels_at_once<L>(s.stride_width), [&]<int P>(int x) {
          const std::uint8_t* from =
              in + (std::int64_t{y} * s.stride_height * s.in_width + std::int64_t{x} * s.stride_width) *
                       kPixelBytes<L>;
          FourSums sums[P];
          for (int t = 0; t < kCodeChannels; ++t) {
            typename Dot::Sum sum[P];
            sum_quads<Dot, P>(quads + (o + t ? ends[o + t - 1] : 0), quads + ends[o + t], from,
                              s.stride_width * kPixelBytes<L>, sum);
            for (int p = 0; p < P; ++p) {
              for (int v = 0; v < kIntVectors; ++v) sums[p][t][v] = Dot::total(sum[p], v) + start[o + t];
            }
          }
          for (int p = 0; p < P; ++p) take(sums[p], o, y, x + p);
        });
      }
    }
  }

  // A dense layer of a single image has nothing to put side by side. take(sums, first channel).
  template <class Take>
  ESPALIER_INLINE static void for_each_output(const ConvShape& s, const std::uint8_t* in, const void* packed,
                                              const std::int32_t* start, Take&& take) {
    const std::uint32_t* ends = ends_of(packed);
    const Quad* quad = quads_of(s, packed);
    const Quad* const first = quad;
    for (int o = 0; o < s.out_channels; o += kIntWidth) {
      Ints sums{};
      for (int t = 0; t < std::min(kIntWidth, s.out_channels - o); ++t) {
        std::int32_t sum = start[o + t];
        for (; quad < first + ends[o + t]; ++quad) {
          for (int c = 0; c < kCodeChannels; ++c)
            sum += quad->weight[c] * in[quad->offset + static_cast<unsigned>(c)];
        }
        sums[t] = sum;
      }
      take(sums, o);
    }
  }

  static void run(const ConvShape& shape, const std::uint8_t* in, const void* packed, const Requantization& r,
                  Output out) {
    if (runs_by_output<L>(shape)) {
      for_each_output(shape, in, packed, r.start, StoreOutputs{r, out});
    } else {
      const ConvShape s = one_row(shape);
      for_each_sum(s, in, packed, r.start, Store<L>{s, r, out});
    }
  }
};
