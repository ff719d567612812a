// Inference on one image, feature maps [channels][height][width]: the sums of the other files in the same
// order, so with the same bits, but with neighbours of the one image as the lanes. A convolution's are output
// pixels of a row, a dense layer's are outputs.

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

inline bool is_dense(const ConvShape& s) {
  return s.groups == 1 && s.taps() == 1 && s.in_height * s.in_width == 1;
}

// A 1 x 1 kernel has no rows: its pixels are one long one.
inline ConvShape flattened(const ConvShape& s) {
  ConvShape flat = s;
  if (s.taps() == 1 && s.stride_height == 1 && s.stride_width == 1) {
    flat.in_width = flat.out_width = s.in_height * s.in_width;
    flat.in_height = flat.out_height = 1;
  }
  return flat;
}

// The input as the inner loop reads it: with its padding, and so that neighbouring outputs see neighbouring
// numbers. With a stride along the row, each tap of a row therefore has the columns it sees to itself. An
// input that looks like that already is read in place.
struct Rows {
  int count, pitch, copies;  // rows of a channel; numbers of a row, and how often it is there
  int step, row;             // from tap to tap, from row to row
  std::int64_t plane;
  bool in_place;

  explicit Rows(const ConvShape& s) {
    const int across = (s.kernel_width - 1) * s.dilation_width;
    const int height = (s.out_height - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
    in_place = s.stride_width == 1 && s.pad_top == 0 && s.pad_left == 0 && height <= s.in_height &&
               s.out_width + across <= s.in_width && s.out_width >= kWidth;
    count = in_place ? s.in_height : height;
    copies = s.stride_width == 1 ? 1 : s.kernel_width;
    pitch = in_place ? s.in_width : larger(s.out_width, kWidth) + (copies == 1 ? across : 0);
    step = copies == 1 ? s.dilation_width : pitch;
    row = pitch * copies;
    plane = std::int64_t{count} * row;
  }
};

inline std::int64_t single_conv_scratch(const ConvShape& shape) {
  const ConvShape s = flattened(shape);
  const Rows rows(s);
  return rows.in_place || is_dense(s) ? 0 : rows.plane * s.in_channels;
}

inline const real* single_conv_arrange(const ConvShape& shape, const real* in, real* scratch) {
  const ConvShape s = flattened(shape);
  const Rows rows(s);
  if (rows.in_place || is_dense(s)) return in;
  std::memset(scratch, 0, static_cast<std::size_t>(rows.plane * s.in_channels) * sizeof(real));
  const Range inside = valid_outputs(-s.pad_top, 1, s.in_height, rows.count);
  for (int copy = 0; copy < rows.copies; ++copy) {
    const int first = copy * s.dilation_width - s.pad_left;
    const Range columns = valid_outputs(first, s.stride_width, s.in_width, rows.pitch);
    for (int c = 0; c < s.in_channels; ++c) {
      const real* from = in + std::int64_t{c} * s.in_height * s.in_width + first;
      real* to = scratch + c * rows.plane + copy * rows.pitch;
      for (int y = inside.begin; y < inside.end; ++y) {
        const real* pixel = from + (y - s.pad_top) * s.in_width + columns.begin * s.stride_width;
        real* row = to + y * rows.row;
        for (int x = columns.begin; x < columns.end; ++x, pixel += s.stride_width) row[x] = *pixel;
      }
    }
  }
  return scratch;
}

// Vectors of pixels at once, for a tile of T channels.
template <int T>
inline constexpr int kPixelVectors = kRegisters == 32 ? (T <= 2   ? 8
                                                         : T <= 4 ? 5
                                                         : T <= 6 ? 4
                                                                  : 2)
                                                      : (T == 1   ? 8
                                                         : T == 2 ? 6
                                                         : T == 3 ? 4
                                                         : T == 4 ? 3
                                                                  : 2);

template <int T>
inline void single_conv_tile(const ConvShape& s, const Rows& rows, const real* in, const real* packed,
                             const real* bias, real* out) {
  constexpr int V = kPixelVectors<T>;
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width;
  const int per_row = vectors_of(s.out_width);
  const int row_step = s.dilation_height * rows.row;
  int y = 0, vector = 0;
  while (y < s.out_height) {
    // The next V vectors, whichever rows they are in; the last one again where there are no more.
    const real* from[V];
    std::int64_t to[V];
    for (int v = 0; v < V; ++v) {
      if (y < s.out_height) {
        const int x = vector_begin(vector, s.out_width);
        from[v] = in + std::int64_t{y} * s.stride_height * rows.row + x;
        to[v] = std::int64_t{y} * s.out_width + x;
        if (++vector == per_row) {
          vector = 0;
          ++y;
        }
      } else {
        from[v] = from[v > 0 ? v - 1 : 0];
        to[v] = to[v > 0 ? v - 1 : 0];
      }
    }
    Vector acc[T][V];
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < V; ++v) acc[t][v] = splat_vector(bias ? bias[t] : real(0));
    }
    const real* w = packed;
    for (int i = 0; i < s.group_in(); ++i) {
      for (int ky = 0; ky < s.kernel_height; ++ky) {
        std::int64_t at = i * rows.plane + std::int64_t{ky} * row_step;
        for (int kx = 0; kx < s.kernel_width; ++kx, at += rows.step, w += T) {
          Vector value[V];
          for (int v = 0; v < V; ++v) value[v] = load_vector(from[v] + at);
          for (int t = 0; t < T; ++t) {
            const Vector weight = splat_vector(w[t]);
            for (int v = 0; v < V; ++v) acc[t][v] = madd(weight, value[v], acc[t][v]);
          }
        }
      }
    }
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < V; ++v) {
        real* p = out + t * out_plane + to[v];
        if (s.out_width >= kWidth) {
          store_vector(p, acc[t][v]);
        } else {
          store_some(p, acc[t][v], s.out_width);
        }
      }
    }
  }
}

// ---- dense: out[u] = bias[u] + sum over k of weight[u][k] · in[k]

// Tiles of outputs, in vectors; a layer is cut into the largest that fit.
inline constexpr int kUnitVectors[] = {12, 6, 3, 2, 1};
inline int unit_vectors(int units) {
  const int vectors = vectors_of(units);
  for (const int tile : kUnitVectors) {
    if (tile <= vectors) return tile;
  }
  return 1;
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
  while (units > 0) {
    const int vectors = unit_vectors(units);
    const int size = smaller(vectors * kWidth, units);
    const auto tile = vectors == 12  ? dense_tile<12>
                      : vectors == 6 ? dense_tile<6>
                      : vectors == 3 ? dense_tile<3>
                      : vectors == 2 ? dense_tile<2>
                                     : dense_tile<1>;
    tile(in, inputs, packed, bias, size, out);
    packed += std::int64_t{size} * inputs;
    if (bias) bias += size;
    out += size;
    units -= size;
  }
}

// ---- both

// [tile][in / groups][kh][kw][T] for each group.
inline void single_pack(const ConvShape& s, const real* weight, real* packed) {
  const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
  const auto pack = [&](int size) {
    for (std::int64_t i = 0; i < row; ++i) {
      for (int t = 0; t < size; ++t) *packed++ = weight[t * row + i];
    }
    weight += size * row;
  };
  if (is_dense(s)) {
    for (int units = s.out_channels; units > 0;) {
      const int size = smaller(unit_vectors(units) * kWidth, units);
      pack(size);
      units -= size;
    }
    return;
  }
  const Tiling tiling(s.group_out(), kTile);
  for (int group = 0; group < s.groups; ++group) {
    for (int tile = 0; tile < tiling.tiles; ++tile) pack(tiling.size(tile));
  }
}

inline void single_conv_forward(const ConvShape& shape, const real* in, const real* packed, const real* bias,
                                real* out) {
  const ConvShape s = flattened(shape);
  if (is_dense(s)) return single_dense(s.in_channels, s.out_channels, in, packed, bias, out);
  const Rows rows(s);
  const Tiling tiling(s.group_out(), kTile);
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width;
  for (int group = 0; group < s.groups; ++group, in += s.group_in() * rows.plane) {
    for (int tile = 0; tile < tiling.tiles; ++tile) {
      const int size = tiling.size(tile);
      dispatch<kTile>(size, [&]<int T>() { single_conv_tile<T>(s, rows, in, packed, bias, out); });
      packed += std::int64_t{size} * s.group_in() * s.taps();
      if (bias) bias += size;
      out += size * out_plane;
    }
  }
}

// ---- pools

template <class Pool>
ESPALIER_INLINE void single_pool(const PoolShape& s, const real* in, real* out, Pool pool) {
  for (int c = 0; c < s.channels; ++c, in += s.in_height * s.in_width) {
    for (int y = 0; y < s.out_height; ++y) {
      const Range rows = window(y, s.stride_height, s.pad_top, s.kernel_height, s.in_height);
      for (int x = 0; x < s.out_width; ++x) {
        const Range columns = window(x, s.stride_width, s.pad_left, s.kernel_width, s.in_width);
        *out++ = pool(in, rows, columns);
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
inline void single_max_pool_2x2(const PoolShape& s, const real* in, real* out) {
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
  if (is_2x2(s)) return single_max_pool_2x2(s, in, out);
  single_pool(s, in, out, [&](const real* plane, Range rows, Range columns) {
    real best = plane[rows.begin * s.in_width + columns.begin];
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) {
        const real value = plane[y * s.in_width + x];
        best = best > value ? best : value;
      }
    }
    return best;
  });
}

inline void single_avg_pool(const PoolShape& s, const real* in, real* out) {
  single_pool(s, in, out, [&](const real* plane, Range rows, Range columns) {
    real sum = 0;
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) sum = sum + plane[y * s.in_width + x];
    }
    const int count = (rows.end - rows.begin) * (columns.end - columns.begin);
    return sum * (real(1) / static_cast<real>(count));
  });
}

// ---- batch norm

inline void single_scale_shift(const real* in, int channels, int pixels, const real* scale, const real* shift,
                               real* out) {
  for (int c = 0; c < channels; ++c, in += pixels, out += pixels) {
    const Vector a = splat_vector(scale[c]), b = splat_vector(shift[c]);
    int i = 0;
    for (; i + kWidth <= pixels; i += kWidth) store_vector(out + i, madd(load_vector(in + i), a, b));
    if (i < pixels) store_some(out + i, madd(load_some(in + i, pixels - i), a, b), pixels - i);
  }
}
