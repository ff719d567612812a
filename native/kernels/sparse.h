// Convolutions over surviving weights only: a weight is a value and an offset from the pixel at hand, and a
// sum walks its own. The sums are those of conv.h and dense.h, in the same order without the products with
// zero, so they have the same bits; which of the two runs makes no difference but time.
//
// Neighbouring pixels share a weight. Borders are zeros (arrange.h), so all of them see all weights.

// Accumulators of a tile: enough to hide the latency of a multiply-add, and few enough for the registers.
inline constexpr int kSparseTile = 8 / kVectors;

// Sums [rows][columns] of each channel c, over the weights of lists [begin, end) from list_begin + c ·
// list_step on.
struct SparseMap {
  int channels, rows, columns;
  int list_begin, list_step;
  std::int64_t in_row;  // numbers from a row of sums to the next, where they read …
  std::int64_t out_row, out_plane;
  int out_step;  // … and where they are written; from one sum to the next
};

using SparseRow = void (*)(const SparseWeight* begin, const SparseWeight* end, const real* in, real start,
                           int columns, int out_step, real* out);

// P neighbours at a time; the last ones overlap those before.
template <int P>
void sparse_row(const SparseWeight* begin, const SparseWeight* end, const real* in, real start, int columns,
                int out_step, real* out) {
  for (int next = 0; next < columns; next += P) {
    const int x = next + P <= columns ? next : columns - P;
    Lanes acc[P];
    for (int p = 0; p < P; ++p) acc[p] = splat(start);
    const real* px = in + x * kLanes;
    for (const SparseWeight* w = begin; w != end; ++w) {
      const real* from = px + w->offset;
      const Lanes value = splat(w->value);
      for (int p = 0; p < P; ++p) acc[p] = madd(value, load(from + p * kLanes), acc[p]);
    }
    real* to = out + std::int64_t{x} * out_step;
    for (int p = 0; p < P; ++p) store(to + std::int64_t{p} * out_step, acc[p]);
  }
}

template <int P>
inline SparseRow find_sparse_row(int columns) {
  if constexpr (P > 2) {
    if (columns < P) return find_sparse_row<P / 2>(columns);
  }
  return sparse_row<P>;
}

// A map of one column: sums of several channels at a time instead of neighbours.
inline void sparse_column(const SparseMap& m, const SparseRows& rows, Range lists, const real* in,
                          const real* bias, real* out) {
  for (int c = 0; c < m.channels; c += kSparseTile) {
    const SparseWeight* w[kSparseTile];
    const SparseWeight* end[kSparseTile];
    Lanes acc[kSparseTile];
    std::ptrdiff_t common = m.channels - c < kSparseTile ? 0 : std::ptrdiff_t{1} << 30;
    for (int t = 0; t < kSparseTile; ++t) {
      const int channel = c + t < m.channels ? c + t : m.channels - 1;
      const std::int32_t* first = rows.first + m.list_begin + channel * m.list_step;
      w[t] = rows.weights + first[lists.begin];
      end[t] = rows.weights + first[lists.end];
      common = end[t] - w[t] < common ? end[t] - w[t] : common;
      acc[t] = splat(bias ? bias[channel] : real(0));
    }
    for (std::ptrdiff_t i = 0; i < common; ++i) {
      for (int t = 0; t < kSparseTile; ++t) {
        acc[t] = madd(splat(w[t][i].value), load(in + w[t][i].offset), acc[t]);
      }
    }
    for (int t = 0; t < kSparseTile; ++t) {
      if (c + t >= m.channels) break;
      for (w[t] += common; w[t] != end[t]; ++w[t]) {
        acc[t] = madd(splat(w[t]->value), load(in + w[t]->offset), acc[t]);
      }
      store(out + (c + t) * m.out_plane, acc[t]);
    }
  }
}

// Row by row through all channels: what a row of sums reads stays in the cache meanwhile. lists_of(y): the
// lists that row y sees.
template <class ListsOf>
inline void sparse_map(const SparseMap& m, const SparseRows& rows, const real* in, const real* bias,
                       real* out, ListsOf&& lists_of) {
  const SparseRow row = find_sparse_row<kSparseTile>(m.columns);
  for (int y = 0; y < m.rows; ++y, in += m.in_row, out += m.out_row) {
    const Range lists = lists_of(y);
    if (m.columns == 1) {
      sparse_column(m, rows, lists, in, bias, out);
      continue;
    }
    const std::int32_t* first = rows.first + m.list_begin;
    for (int c = 0; c < m.channels; ++c, first += m.list_step) {
      row(rows.weights + first[lists.begin], rows.weights + first[lists.end], in, bias ? bias[c] : real(0),
          m.columns, m.out_step, out + c * m.out_plane);
    }
  }
}

// ---- forward

template <int L>
inline SparseLayout sparse_layout(const Layout& l) {
  return {.channel = l.plane * L,
          .row = std::int64_t{l.row} * L,
          .tap = std::int64_t{l.tap} * L,
          .scratch = l.in_place ? 0 : l.plane * l.shape.in_channels * L};
}
inline SparseLayout sparse_forward_layout(const ConvShape& shape) {
  return sparse_layout<kLanes>(layout_of(shape, 1));
}

inline void sparse_forward(const ConvShape& shape, const SparseRows& weights, const real* in,
                           const real* bias, real* scratch, real* out) {
  const Layout l = layout_of(shape, 1);
  const ConvShape& s = l.shape;
  sparse_map({.channels = s.out_channels,
              .rows = s.out_height,
              .columns = s.out_width,
              .list_begin = 0,
              .list_step = 1,
              .in_row = std::int64_t{s.stride_height} * l.row * kLanes,
              .out_row = std::int64_t{s.out_width} * kLanes,
              .out_plane = std::int64_t{s.out_height} * s.out_width * kLanes,
              .out_step = kLanes},
             weights, arrange<kLanes>(l, in, scratch), bias, out, [](int) { return Range{0, 1}; });
}

// ---- input gradient

// Output gradients between zeros. Input rows and columns that lie `phase` behind a multiple of the stride
// (padding added) receive through the taps phase, phase + stride, … from outputs one beside the other.
inline Layout gradient_layout(const ConvShape& shape) {
  Layout l{.shape = flat(shape)};
  ConvShape& s = l.shape;
  // The outputs' map takes the place of the input, the rows and columns before the first one that of padding.
  const int top = (s.kernel_height - 1) * s.dilation_height / s.stride_height;
  const int left = (s.kernel_width - 1) * s.dilation_width / s.stride_width;
  l.rows = (s.in_height - 1 + s.pad_top) / s.stride_height + 1 + top;
  l.pitch = (s.in_width - 1 + s.pad_left) / s.stride_width + 1 + left;
  l.in_place = top == 0 && left == 0 && l.rows <= s.out_height && l.pitch <= s.out_width;
  if (l.in_place) {
    l.rows = s.out_height;
    l.pitch = s.out_width;
  }
  l.copies = l.tap = 1;
  l.row = l.pitch;
  l.plane = std::int64_t{l.rows} * l.row;
  s = {.in_channels = s.out_channels,
       .in_height = s.out_height,
       .in_width = s.out_width,
       .stride_width = 1,
       .pad_top = top,
       .pad_left = left};
  return l;
}
inline SparseLayout sparse_backward_layout(const ConvShape& shape) {
  return sparse_layout<kLanes>(gradient_layout(shape));
}

inline void sparse_input_gradient(const ConvShape& shape, const SparseRows& weights, const real* grad_out,
                                  real* scratch, real* grad_in) {
  const ConvShape s = flat(shape);
  const Layout l = gradient_layout(s);
  const real* from = arrange<kLanes>(l, grad_out, scratch);
  const int phases = s.stride_height * s.stride_width;
  for (int phase = 0; phase < phases; ++phase) {
    const int phase_y = phase / s.stride_width, phase_x = phase % s.stride_width;
    // The first row and column that are not padding, in gradients and in inputs.
    const int gy = (s.pad_top - phase_y + s.stride_height - 1) / s.stride_height;
    const int gx = (s.pad_left - phase_x + s.stride_width - 1) / s.stride_width;
    const int y = gy * s.stride_height + phase_y - s.pad_top, x = gx * s.stride_width + phase_x - s.pad_left;
    if (y >= s.in_height || x >= s.in_width) continue;
    sparse_map({.channels = s.in_channels,
                .rows = (s.in_height - 1 - y) / s.stride_height + 1,
                .columns = (s.in_width - 1 - x) / s.stride_width + 1,
                .list_begin = phase * s.kernel_height,
                .list_step = phases * s.kernel_height,
                .in_row = std::int64_t{l.row} * kLanes,
                .out_row = std::int64_t{s.stride_height} * s.in_width * kLanes,
                .out_plane = std::int64_t{s.in_height} * s.in_width * kLanes,
                .out_step = s.stride_width * kLanes},
               weights, from + (std::int64_t{gy} * l.row + gx) * kLanes, nullptr,
               grad_in + (std::int64_t{y} * s.in_width + x) * kLanes, [&](int row) {
                 // Rows of taps that reach from inside the output: the border above and below is long.
                 const int at = y + row * s.stride_height + s.pad_top;
                 const int beyond = at - (s.out_height - 1) * s.stride_height;
                 const int begin = beyond > 0 ? (beyond + s.dilation_height - 1) / s.dilation_height : 0;
                 const int end = std::min(at / s.dilation_height + 1, s.kernel_height);
                 return Range{std::min(begin, end), end};
               });
  }
}

// ---- weight gradient

// K weights of one output channel. `inside`: columns for which a whole row of taps lies inside the input;
// they come first, as in conv.h.
template <int K>
void sparse_gradient_tile(const ConvShape& s, std::int64_t in_row, Range inside, const real* const (&from)[K],
                          const real* grad_out, Lanes (&sums)[K]) {
  Lanes acc[K];
  for (int k = 0; k < K; ++k) acc[k] = splat(0);
  const auto add = [&](std::ptrdiff_t at, const real* g) __attribute__((always_inline)) {
    const Lanes gradient = load(g);
    for (int k = 0; k < K; ++k) acc[k] = madd(load(from[k] + at), gradient, acc[k]);
  };
  const std::int64_t out_row = std::int64_t{s.out_width} * kLanes;
  for (int y = 0; y < s.out_height; ++y) {
    std::ptrdiff_t at = y * in_row + inside.begin * kLanes;
    const real* g = grad_out + y * out_row + inside.begin * kLanes;
    for (int x = inside.begin; x < inside.end; ++x, at += kLanes, g += kLanes) add(at, g);
  }
  for (int x = 0; x < s.out_width; ++x) {
    if (x == inside.begin && inside.end > x) x = inside.end;
    if (x >= s.out_width) break;
    for (int y = 0; y < s.out_height; ++y) add(y * in_row + x * kLanes, grad_out + y * out_row + x * kLanes);
  }
  for (int k = 0; k < K; ++k) sums[k] = acc[k];
}

inline constexpr int kSparseGradientTile = kRegisters == 32 ? 8 : kVectors > 1 ? 4 : 6;

inline void sparse_weight_gradient(const ConvShape& shape, const SparseRows& weights,
                                   const std::int32_t* places, const real* in, const real* grad_out,
                                   real* scratch, real* grad_weight) {
  constexpr int K = kSparseGradientTile;
  const Layout l = layout_of(shape, 1);
  const ConvShape& s = l.shape;
  in = arrange<kLanes>(l, in, scratch);
  const auto outputs = [&](int offset) {
    return valid_outputs(offset, s.stride_width, s.in_width, s.out_width);
  };
  const Range inside =
      intersect(outputs(-s.pad_left), outputs((s.kernel_width - 1) * s.dilation_width - s.pad_left));
  const std::int64_t in_row = std::int64_t{s.stride_height} * l.row * kLanes;
  for (int o = 0; o < s.out_channels; ++o, grad_out += std::int64_t{s.out_height} * s.out_width * kLanes) {
    const std::int32_t end = weights.first[o + 1];
    for (std::int32_t i = weights.first[o]; i < end; i += K) {
      const real* from[K];  // where there are no more, the last one again
      for (int k = 0; k < K; ++k) from[k] = in + weights.weights[i + k < end ? i + k : end - 1].offset;
      Lanes sums[K];
      sparse_gradient_tile<K>(s, in_row, inside, from, grad_out, sums);
      for (int k = 0; k < K && i + k < end; ++k) add_groups(sums[k], grad_weight[places[i + k]]);
    }
  }
}

// ---- weight gradient of a dense layer over a round of images, n in order

// In each four of a register: a's and b's numbers From and From + 1 in turn.
template <int From, int... I>
ESPALIER_INLINE Vector interleave(Vector a, Vector b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (I / 4 * 4 + I % 4 / 2 + From + I % 2 * int{sizeof...(I)})...);
}

// Four images of kWidth weights' inputs become four registers, one for each image.
template <int Width = kWidth>
ESPALIER_INLINE void four_images(const real* const* from, std::int64_t at, Vector (&images)[4]) {
  if constexpr (Width < 4) {
    for (int n = 0; n < 4; ++n) {
      for (int j = 0; j < Width; ++j) images[n][j] = from[j][at + n];
    }
  } else {
    // Row r holds the images of the weights r, r + 4, … beside each other; then 4 x 4 transpositions.
    Vector rows[4];
    for (int r = 0; r < 4; ++r) {
      real* to = reinterpret_cast<real*>(&rows[r]);
      for (int j = 0; j < Width; j += 4) std::memcpy(to + j, from[j + r] + at, 4 * sizeof(real));
    }
    using All = std::make_integer_sequence<int, Width>;
    const auto low = [](Vector a, Vector b) { return interleave<0>(a, b, All()); };
    const auto high = [](Vector a, Vector b) { return interleave<2>(a, b, All()); };
    const Vector a = low(rows[0], rows[2]), b = low(rows[1], rows[3]);
    const Vector c = high(rows[0], rows[2]), d = high(rows[1], rows[3]);
    images[0] = low(a, b);
    images[1] = high(a, b);
    images[2] = low(c, d);
    images[3] = high(c, d);
  }
}

// Groups of weights at a time, so that one's additions fill the waits of the others.
inline constexpr int kSparseGroups = kRegisters == 32 ? 3 : 2;

inline void sparse_dense_weight_gradient(const SparseRows& weights, const std::int32_t* places,
                                         const real* inputs, std::int64_t block, const real* grads, int units,
                                         int images, int unit_begin, int unit_end, bool add,
                                         real* grad_weight) {
  constexpr int K = kSparseGroups * kWidth;
  for (int u = unit_begin; u < unit_end; ++u) {
    const std::int32_t end = weights.first[u + 1];
    for (std::int32_t i = weights.first[u]; i < end; i += K) {
      const real* from[K];
      Vector acc[kSparseGroups];
      alignas(64) real sums[K] = {};
      for (int k = 0; k < K; ++k) {
        const std::int32_t w = i + k < end ? i + k : end - 1;
        from[k] = inputs + weights.weights[w].offset;
        if (add) sums[k] = grad_weight[places[w]];
      }
      for (int j = 0; j < kSparseGroups; ++j) acc[j] = load_vector(sums + j * kWidth);
      const real* g = grads + std::int64_t{u} * kLanes;
      std::int64_t at = 0;
      for (int n = 0; n < images; n += kLanes, at += block, g += std::int64_t{units} * kLanes) {
        for (int lane = 0; lane < kLanes; lane += 4) {
          for (int j = 0; j < kSparseGroups; ++j) {
            Vector x[4];
            four_images(from + j * kWidth, at + lane, x);
            for (int q = 0; q < 4; ++q) acc[j] = madd(splat_vector(g[lane + q]), x[q], acc[j]);
          }
        }
      }
      for (int j = 0; j < kSparseGroups; ++j) store_vector(sums + j * kWidth, acc[j]);
      for (int k = 0; k < K && i + k < end; ++k) grad_weight[places[i + k]] = sums[k];
    }
  }
}
