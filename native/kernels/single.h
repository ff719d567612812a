// Inference on one image, feature maps [channels][height][width]: the sums of the other files in the same
// order, so with the same bits, but with neighbours of the one image as the lanes. A convolution's are output
// pixels of a row, a dense layer's are outputs.

// Loops that take little of the time: not unrolled, which is a KB of every binary.
#define ESPALIER_SMALL [[gnu::cold]] inline

// ---- helpers for what is no multiple of a vector

ESPALIER_INLINE Vector load_some(const real* p, int count) {
  Vector v{};
  std::memcpy(&v, p, static_cast<std::size_t>(count) * sizeof(real));
  return v;
}
ESPALIER_INLINE void store_some(real* p, Vector v, int count) {
  std::memcpy(p, &v, static_cast<std::size_t>(count) * sizeof(real));
}
ESPALIER_INLINE int smaller(int a, int b) { return a < b ? a : b; }
ESPALIER_INLINE int larger(int a, int b) { return a > b ? a : b; }

// The vectors of a row of `width`. The last one begins earlier than its turn, so that it ends with the row
// and computes some pixels again; only a row shorter than a vector has less to store.
ESPALIER_INLINE int vectors_of(int width) { return (width + kWidth - 1) / kWidth; }
ESPALIER_INLINE int vector_begin(int vector, int width) {
  return larger(smaller(vector * kWidth, width - kWidth), 0);
}

// ---- convolution

ESPALIER_SMALL std::int64_t single_conv_scratch(const ConvShape& shape) {
  const Layout l = layout_of(shape, kWidth);
  return l.in_place ? 0 : l.plane * shape.in_channels;
}

ESPALIER_SMALL const real* single_conv_arrange(const ConvShape& shape, const real* in, real* scratch) {
  return arrange<1>(layout_of(shape, kWidth), in, scratch);
}

// Tiles of 5 and 4 channels, of 1 for the few that are left and for depthwise layers. Of `left` channels, as
// many fours as make the rest a multiple of five.
inline int channel_tile(int left) { return left < 4 ? 1 : left % 5 == 0 ? 5 : 4; }
// Vectors of pixels at once.
template <int T>
inline constexpr int kPixelVectors = T == 1             ? 8
                                     : kRegisters == 32 ? 4
                                     : T == 4           ? 3
                                                        : 2;

// Where V vectors of pixels are, whichever rows they are in.
struct PixelVectors {
  const real* from[8];
  real* to[8];  // in the tile's first channel
  int y = 0, vector = 0;
};
// The next `count`; the last one of the image again where there are no more.
ESPALIER_SMALL void advance(const Layout& l, const real* in, real* out, int count, PixelVectors& at) {
  const ConvShape& s = l.shape;
  for (int v = 0; v < count; ++v) {
    if (at.y == s.out_height) {
      at.from[v] = at.from[v - 1];
      at.to[v] = at.to[v - 1];
      continue;
    }
    const int x = vector_begin(at.vector, s.out_width);
    at.from[v] = in + std::int64_t{at.y} * s.stride_height * l.row + x;
    at.to[v] = out + std::int64_t{at.y} * s.out_width + x;
    if (++at.vector == vectors_of(s.out_width)) {
      at.vector = 0;
      ++at.y;
    }
  }
}

// Rows shorter than a vector: results [T][V].
ESPALIER_SMALL void store_narrow(const Vector* results, int channels, int vectors, const PixelVectors& at,
                                 const ConvShape& s) {
  for (int t = 0; t < channels; ++t) {
    for (int v = 0; v < vectors; ++v) {
      store_some(at.to[v] + t * s.out_height * s.out_width, *results++, s.out_width);
    }
  }
}

template <int T>
inline void single_conv_tile(const Layout& l, const real* in, const real* packed, const real* bias,
                             real* out) {
  const ConvShape& s = l.shape;
  constexpr int V = kPixelVectors<T>;
  PixelVectors at;
  while (at.y < s.out_height) {
    advance(l, in, out, V, at);
    const real* from[V];
    for (int v = 0; v < V; ++v) from[v] = at.from[v];
    Vector acc[T][V];
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < V; ++v) acc[t][v] = splat_vector(bias ? bias[t] : real(0));
    }
    const real* w = packed;
    for (int i = 0; i < s.group_in(); ++i) {
      for (int ky = 0; ky < s.kernel_height; ++ky) {
        std::int64_t tap = i * l.plane + std::int64_t{ky} * s.dilation_height * l.row;
        for (int kx = 0; kx < s.kernel_width; ++kx, tap += l.tap, w += T) {
          Vector value[V];
          for (int v = 0; v < V; ++v) value[v] = load_vector(from[v] + tap);
          for (int t = 0; t < T; ++t) {
            const Vector weight = splat_vector(w[t]);
            for (int v = 0; v < V; ++v) acc[t][v] = madd(weight, value[v], acc[t][v]);
          }
        }
      }
    }
    if (s.out_width < kWidth) {
      Vector results[T * V];  // not `acc` itself, which would no longer fit registers
      for (int t = 0; t < T; ++t) {
        for (int v = 0; v < V; ++v) results[t * V + v] = acc[t][v];
      }
      store_narrow(results, T, V, at, s);
      continue;
    }
    for (int v = 0; v < V; ++v) {
      for (int t = 0; t < T; ++t) store_vector(at.to[v] + t * s.out_height * s.out_width, acc[t][v]);
    }
  }
}

// ---- dense: out[u] = bias[u] + sum over k of weight[u][k] · in[k]

// Tiles of 12, 3 and 1 vectors of outputs.
inline int unit_tile(int units) {
  const int vectors = vectors_of(units);
  return smaller(units, kWidth * (vectors >= 12 ? 12 : vectors >= 3 ? 3 : 1));
}

// Outputs [0, units), units <= V vectors. The last vector may reach into the next input's weights: those
// lanes are not stored.
template <int V>
inline void dense_tile(const real* in, int inputs, const real* packed, const real* bias, int units,
                       real* out) {
  const int rest = units - (V - 1) * kWidth;
  const auto edge = [&](int v) { return v < V - 1 ? kWidth : rest; };
  Vector acc[V];
  for (int v = 0; v < V; ++v) acc[v] = bias ? load_some(bias + v * kWidth, edge(v)) : Vector{};
  for (int k = 0; k < inputs; ++k, packed += units) {
    const Vector x = splat_vector(in[k]);
    for (int v = 0; v < V; ++v) acc[v] = madd(x, load_vector(packed + v * kWidth), acc[v]);
  }
  for (int v = 0; v < V; ++v) store_some(out + v * kWidth, acc[v], edge(v));
}

inline void single_dense(int inputs, int units, const real* in, const real* packed, const real* bias,
                         real* out) {
  for (int size; units > 0; units -= size, out += size) {
    size = unit_tile(units);
    const auto tile = size > 3 * kWidth ? dense_tile<12> : size > kWidth ? dense_tile<3> : dense_tile<1>;
    tile(in, inputs, packed, bias, size, out);
    packed += std::int64_t{size} * inputs;
    if (bias) bias += size;
  }
}

// ---- both

// [tile][in / groups][kh][kw][T] for each group.
ESPALIER_SMALL void single_pack(const ConvShape& s, const real* weight, real* packed) {
  const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
  const auto tile = is_dense(s) ? unit_tile : channel_tile;
  for (int group = 0; group < s.groups; ++group) {
    for (int left = s.group_out(), size; left > 0; left -= size, weight += size * row) {
      size = tile(left);
      for (std::int64_t i = 0; i < row; ++i) {
        for (int t = 0; t < size; ++t) *packed++ = weight[t * row + i];
      }
    }
  }
}

inline void single_conv_forward(const ConvShape& shape, const real* in, const real* packed, const real* bias,
                                real* out) {
  const Layout l = layout_of(shape, kWidth);
  const ConvShape& s = l.shape;
  if (is_dense(s)) return single_dense(s.in_channels, s.out_channels, in, packed, bias, out);
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width;
  for (int group = 0; group < s.groups; ++group, in += s.group_in() * l.plane) {
    for (int left = s.group_out(), size; left > 0; left -= size, out += size * out_plane) {
      size = channel_tile(left);
      const auto tile = size == 5   ? single_conv_tile<5>
                        : size == 4 ? single_conv_tile<4>
                                    : single_conv_tile<1>;
      tile(l, in, packed, bias, out);
      packed += std::int64_t{size} * s.group_in() * s.taps();
      if (bias) bias += size;
    }
  }
}

// ---- surviving weights

ESPALIER_SMALL SparseLayout single_sparse_layout(const ConvShape& shape) {
  return sparse_layout<1>(layout_of(shape, kWidth));
}

// Four dense outputs at a time: each waits for its own sums.
ESPALIER_SMALL void single_sparse_dense(int units, const SparseRows& weights, const real* in,
                                        const real* bias, real* out) {
  constexpr int kUnits = 4;
  for (int u = 0; u < units; u += kUnits) {
    const SparseWeight* w[kUnits];
    const SparseWeight* end[kUnits];
    Vector acc[kUnits];
    std::ptrdiff_t common = std::ptrdiff_t{1} << 30;
    for (int t = 0; t < kUnits; ++t) {
      const int unit = smaller(u + t, units - 1);
      w[t] = weights.weights + weights.first[unit];
      end[t] = weights.weights + weights.first[unit + 1];
      common = end[t] - w[t] < common ? end[t] - w[t] : common;
      acc[t] = splat_vector(bias ? bias[unit] : real(0));
    }
    const auto add = [&](int t) __attribute__((always_inline)) {
      acc[t] = madd(splat_vector(w[t]->value), splat_vector(in[w[t]->offset]), acc[t]);
      ++w[t];
    };
    for (std::ptrdiff_t i = 0; i < common; ++i) {
      for (int t = 0; t < kUnits; ++t) add(t);
    }
    for (int t = 0; t < kUnits && u + t < units; ++t) {
      while (w[t] != end[t]) add(t);
      out[u + t] = acc[t][0];
    }
  }
}

inline void single_sparse_forward(const ConvShape& shape, const SparseRows& weights, const real* in,
                                  const real* bias, real* scratch, real* out) {
  const Layout l = layout_of(shape, kWidth);
  const ConvShape& s = l.shape;
  if (is_dense(s)) return single_sparse_dense(s.out_channels, weights, in, bias, out);
  in = arrange<1>(l, in, scratch);
  constexpr int V = kPixelVectors<1>;
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width;
  for (int o = 0; o < s.out_channels; ++o, out += out_plane) {
    const SparseWeight* const end = weights.weights + weights.first[o + 1];
    PixelVectors at;
    while (at.y < s.out_height) {
      advance(l, in, out, V, at);
      Vector acc[V];
      for (int v = 0; v < V; ++v) acc[v] = splat_vector(bias ? bias[o] : real(0));
      for (const SparseWeight* w = weights.weights + weights.first[o]; w != end; ++w) {
        const Vector value = splat_vector(w->value);
        for (int v = 0; v < V; ++v) acc[v] = madd(value, load_vector(at.from[v] + w->offset), acc[v]);
      }
      for (int v = 0; v < V; ++v) {
        if (s.out_width < kWidth) {
          store_some(at.to[v], acc[v], s.out_width);
        } else {
          store_vector(at.to[v], acc[v]);
        }
      }
    }
  }
}

// ---- pools

// The largest value of each window, or the mean.
ESPALIER_SMALL void single_pool(const PoolShape& s, const real* in, bool mean, real* out) {
  for (int c = 0; c < s.channels; ++c, in += s.in_height * s.in_width) {
    for (int y = 0; y < s.out_height; ++y) {
      const Range rows = window(y, s.stride_height, s.pad_top, s.kernel_height, s.in_height);
      for (int x = 0; x < s.out_width; ++x) {
        const Range columns = window(x, s.stride_width, s.pad_left, s.kernel_width, s.in_width);
        real best = in[rows.begin * s.in_width + columns.begin], sum = 0;
        for (int i = rows.begin; i < rows.end; ++i) {
          for (int j = columns.begin; j < columns.end; ++j) {
            const real value = in[i * s.in_width + j];
            best = best > value ? best : value;
            sum = sum + value;
          }
        }
        const int count = (rows.end - rows.begin) * (columns.end - columns.begin);
        *out++ = mean ? sum * (real(1) / static_cast<real>(count)) : best;
      }
    }
  }
}

// Every second number of two vectors, from the first or the second on.
template <int From, int... I>
ESPALIER_INLINE Vector every_second(Vector a, Vector b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + From)...);
}

// 2 x 2 windows side by side.
ESPALIER_SMALL void single_max_pool_2x2(const PoolShape& s, const real* in, real* out) {
  constexpr auto kAll = std::make_integer_sequence<int, kWidth>();
  const auto max = [](auto a, auto b) { return a > b ? a : b; };
  for (int c = 0; c < s.channels; ++c, in += s.in_height * s.in_width) {
    const real* p = in;
    for (int y = 0; y < s.out_height; ++y, p += 2 * s.in_width, out += s.out_width) {
      int x = 0;
      for (; x + kWidth <= s.out_width; x += kWidth) {
        const auto larger_of_row = [&](const real* row) {
          const Vector a = load_vector(row), b = load_vector(row + kWidth);
          return max(every_second<0>(a, b, kAll), every_second<1>(a, b, kAll));
        };
        store_vector(out + x, max(larger_of_row(p + 2 * x), larger_of_row(p + s.in_width + 2 * x)));
      }
      for (; x < s.out_width; ++x) {
        const real* above = p + 2 * x;
        const real* below = above + s.in_width;
        out[x] = max(max(above[0], above[1]), max(below[0], below[1]));
      }
    }
  }
}

inline void single_max_pool(const PoolShape& s, const real* in, real* out) {
  is_2x2(s) ? single_max_pool_2x2(s, in, out) : single_pool(s, in, false, out);
}
inline void single_avg_pool(const PoolShape& s, const real* in, real* out) { single_pool(s, in, true, out); }

// ---- batch norm

ESPALIER_SMALL void single_scale_shift(const real* in, int channels, int pixels, const real* scale,
                                       const real* shift, real lowest, real highest, real* out) {
  for (int c = 0; c < channels; ++c, in += pixels, out += pixels) {
    const Vector a = splat_vector(scale[c]), b = splat_vector(shift[c]);
    int i = 0;
    const auto map = [&](Vector x) { return clamp(madd(x, a, b), lowest, highest); };
    for (; i + kWidth <= pixels; i += kWidth) store_vector(out + i, map(load_vector(in + i)));
    if (i < pixels) store_some(out + i, map(load_some(in + i, pixels - i)), pixels - i);
  }
}
