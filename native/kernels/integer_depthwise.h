// Depthwise convolution of a code map: four rows of taps take the place of the four channels of a dot
// product. The codes of four rows are laid side by side once for each column, and all taps of a row read them
// there.

inline constexpr int kQuadBytes = kCodeBytes * kCodeChannels;  // four rows of a column
inline constexpr int kQuadColumns = 32;                        // of them on the stack

// [lanes][4 channels][4 rows] of one column, in four parts of kCodeBytes: in each 16 bytes of part k (lanes
// are four bytes) the k-th of four lanes.
inline void interleave_rows(const std::uint8_t* const* rows, std::int64_t offset, std::uint8_t* quads) {
  for (int v = 0; v < kIntVectors; ++v) {
    const std::int64_t from = offset + v * ESPALIER_VECTOR_BYTES;
    Bytes result[4];
    interleave_four(load_as<Bytes>(rows[0] + from), load_as<Bytes>(rows[1] + from),
                    load_as<Bytes>(rows[2] + from), load_as<Bytes>(rows[3] + from), result);
    for (int k = 0; k < 4; ++k) store_as(quads + k * kCodeBytes + v * ESPALIER_VECTOR_BYTES, result[k]);
  }
}
// Where four sums have that of a lane and a channel.
inline int depthwise_order(int lane, int channel) {
  return lane % 4 * kCodeBytes / 4 + lane / 4 * kCodeChannels + channel;
}

template <int L>
struct StoreDepthwise {
  const ConvShape& s;
  const Requantization& r;
  Output out;

  ESPALIER_INLINE void operator()(const FourSums& sums, int channel, int y, int x) const {
    if (out.numbers) return store_sums<L>(s, r, sums, channel, y, x, out.numbers, depthwise_order);
    const std::int64_t row = std::int64_t{channel / kCodeChannels} * s.out_height + y;
    std::uint8_t* to = out.codes + (row * s.out_width + x) * kPixelBytes<L>;
    const auto multiplier = reinterpret_cast<Floats>(repeat_four(r.multiplier + channel));
    for (int v = 0; v < kIntVectors; ++v) {
      Ints codes[4];
      for (int k = 0; k < 4; ++k) codes[k] = requantize(sums[k][v], multiplier, r);
      store_as(to + v * ESPALIER_VECTOR_BYTES, narrow_four(codes[0], codes[1], codes[2], codes[3]));
    }
  }
};

// take(sums, first channel, output pixel) for every four channels of every pixel.
template <class Dot, int L, class Take>
ESPALIER_INLINE void for_each_depthwise(const ConvShape& s, const std::uint8_t* in, const void* packed,
                                        const std::int32_t* start, Take&& take) {
  constexpr int kParts = std::min(kSums<Dot>, 4);
  const int groups = code_groups(s.kernel_height), taps = groups * s.kernel_width;
  const int columns = kQuadColumns / groups;  // that are kept
  const int reach = (s.kernel_width - 1) * s.dilation_width + 1;
  // Neighbours that share columns. Those of a single image are lanes already.
  const int outputs = L == kLanes && reach <= columns ? (columns - reach) / s.stride_width + 1 : 1;
  const int step = outputs > 1 ? outputs : pixels_at_once<L>(s.stride_width);
  alignas(64) std::uint8_t quads[kQuadColumns * kQuadBytes];
  const auto* weight = static_cast<const typename Dot::Weight*>(packed);

  for (int o = 0; o < s.out_channels; o += kCodeChannels, weight += taps * kCodeChannels * kCodeChannels) {
    const Ints first = repeat_four(start + o);
    for (int y = 0; y < s.out_height; ++y) {
      // Behind the last row of taps the weights are 0.
      const auto interleave_column = [&](int group, int column, std::uint8_t* to) {
        const std::uint8_t* rows[kCodeChannels];
        for (int k = 0; k < kCodeChannels; ++k) {
          const int ky = std::min(group * kCodeChannels + k, s.kernel_height - 1);
          const std::int64_t row = std::int64_t{y} * s.stride_height + ky * s.dilation_height;
          rows[k] = in + row * s.in_width * kPixelBytes<L>;
        }
        interleave_rows(rows, std::int64_t{column} * kPixelBytes<L>, to);
      };
      // `count` taps' products, `next` bytes apart.
      const auto add = [&](const std::uint8_t* from, int next, int count, const typename Dot::Weight* w,
                           typename Dot::Sum* sum) __attribute__((always_inline)) {
        for (; count > 0; --count, from += next, w += kCodeChannels * kCodeChannels) {
          for (int k = 0; k < kParts; ++k) {
            Dot::add_channels(w, Dot::load_codes(from + k * kCodeBytes), sum[k]);
          }
        }
      };
      for (int x = 0; x < s.out_width; x += step) {
        const int count = outputs > 1 ? std::min(outputs, s.out_width - x) : 1;
        if (outputs > 1) {
          const int needed = (count - 1) * s.stride_width + reach;
          for (int i = 0; i < groups * needed; ++i) {
            const int group = i / needed, column = i % needed;
            interleave_column(group, x * s.stride_width + column,
                              quads + (group * columns + column) * kQuadBytes);
          }
        }
        for (int k = 0; k < count; ++k) {
          FourSums sums;
          for (int part = 0; part < 4; part += kParts) {
            typename Dot::Sum sum[kParts] = {};
            if (outputs > 1) {
              for (int group = 0; group < groups; ++group) {
                add(quads + (group * columns + k * s.stride_width) * kQuadBytes + part * kCodeBytes,
                    s.dilation_width * kQuadBytes, s.kernel_width,
                    weight + group * s.kernel_width * kCodeChannels * kCodeChannels, sum);
              }
            } else {
              for (int tap = 0; tap < taps; tap += kQuadColumns) {
                const int some = std::min(kQuadColumns, taps - tap);
                for (int i = 0; i < some; ++i) {
                  interleave_column((tap + i) / s.kernel_width,
                                    x * s.stride_width + (tap + i) % s.kernel_width * s.dilation_width,
                                    quads + i * kQuadBytes);
                }
                add(quads + part * kCodeBytes, kQuadBytes, some, weight + tap * kCodeChannels * kCodeChannels,
                    sum);
              }
            }
            for (int i = 0; i < kParts; ++i) {
              for (int v = 0; v < kIntVectors; ++v) sums[part + i][v] = Dot::total(sum[i], v) + first;
            }
          }
          take(sums, o, y, x + k);
        }
      }
    }
    in += std::int64_t{s.in_height} * s.in_width * kPixelBytes<L>;
  }
}
