// Convolution over one block. The inner loop is acc[t] += splat(weight[t]) · x for a tile of T
// channels (and P neighbouring pixels where registers allow), so the input is read once for T
// results and nothing is rearranged but the weights.
//
// Every result sums its products in one order: forward by (in channel, ky, kx), input gradient by
// (ky, kx, out channel), weight gradient by (row, column) of the output, then lanes, then blocks.

// The outputs [begin, end) whose tap `offset` (tap · dilation - padding) lies inside the input.
ESPALIER_INLINE Range valid_outputs(int offset, int stride, int in, int out) {
  const int begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int last = in - 1 - offset;
  const int end = last < 0 ? 0 : last / stride + 1;
  return {begin < out ? begin : out, end < out ? end : out};
}
ESPALIER_INLINE Range intersect(Range a, Range b) {
  return {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
}
// The taps that lie inside the input for one output position `origin` (= out · stride - padding).
ESPALIER_INLINE Range valid_taps(int origin, int dilation, int kernel, int in) {
  const int begin = origin >= 0 ? 0 : (-origin + dilation - 1) / dilation;
  const int last = in - 1 - origin;
  const int end = last < 0 ? 0 : last / dilation + 1;
  return {begin < kernel ? begin : kernel, end < kernel ? end : kernel};
}

// A 1 x 1 convolution without stride or padding sees no rows.
inline ConvShape flat(ConvShape s) {
  if (s.taps() == 1 && s.in_height == s.out_height && s.in_width == s.out_width && s.pad_top == 0 &&
      s.pad_left == 0) {
    s.in_width = s.out_width = s.in_height * s.in_width;
    s.in_height = s.out_height = 1;
  }
  return s;
}

// ---- packing

// [tile][in / groups][kh][kw][T] for each group.
inline void conv_pack_forward(const ConvShape& s, const real* weight, real* packed) {
  const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
  const Tiling tiling(s.group_out(), kTile);
  for (int group = 0; group < s.groups; ++group) {
    for (int tile = 0; tile < tiling.tiles; ++tile) {
      const real* source = weight + (std::int64_t{group} * s.group_out() + tiling.begin(tile)) * row;
      dispatch<kTile>(tiling.size(tile), [&]<int T>() {
#pragma clang loop vectorize(disable)
        for (std::int64_t i = 0; i < row; ++i, packed += T) {
          for (int t = 0; t < T; ++t) packed[t] = source[t * row + i];
        }
      });
    }
  }
}

// [tile of in channels][kh][kw][out / groups][T] for each group.
inline void conv_pack_backward(const ConvShape& s, const real* weight, real* packed) {
  const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
  const int taps = s.taps();
  const Tiling tiling(s.group_in(), kTile);
  for (int group = 0; group < s.groups; ++group) {
    for (int tile = 0; tile < tiling.tiles; ++tile) {
      const real* source =
          weight + std::int64_t{group} * s.group_out() * row + std::int64_t{tiling.begin(tile)} * taps;
      dispatch<kTile>(tiling.size(tile), [&]<int T>() {
        for (int tap = 0; tap < taps; ++tap) {
#pragma clang loop vectorize(disable)
          for (int o = 0; o < s.group_out(); ++o, packed += T) {
            for (int t = 0; t < T; ++t) packed[t] = source[o * row + t * taps + tap];
          }
        }
      });
    }
  }
}

// ---- forward

// P neighbouring outputs of T channels; all taps of `ky`, `kx` lie inside the input. W > 0: kx is a whole row
// of W taps without dilation, written out (a loop of three or five steps costs a quarter of the speed).
template <int T, int P, int W>
ESPALIER_INLINE void conv_forward_pixels(const ConvShape& s, const real* in, const real* packed,
                                         const real* bias, real* out, int y, int x, Range ky, Range kx) {
  Lanes acc[T][P];
  for (int t = 0; t < T; ++t) {
    const Lanes b = splat(bias ? bias[t] : real(0));
    for (int p = 0; p < P; ++p) acc[t][p] = b;
  }
  const int step = s.stride_width * kLanes;
  const std::int64_t plane = std::int64_t{s.in_height} * s.in_width * kLanes;
  const int row = y * s.stride_height - s.pad_top;
  const int column = x * s.stride_width - s.pad_left;
  const real* origin = in + (std::int64_t{row} * s.in_width + column) * kLanes;
  const int channels = s.group_in();
  const auto multiply = [&](const real* px, const real* pw) __attribute__((always_inline)) {
    Lanes value[P];
    for (int p = 0; p < P; ++p) value[p] = load(px + p * step);
    for (int t = 0; t < T; ++t) {
      const Lanes w = splat(pw[t]);
      for (int p = 0; p < P; ++p) acc[t][p] = madd(w, value[p], acc[t][p]);
    }
  };
  if (W == 1) {
    if (ky.begin < ky.end) {
      for (int i = 0; i < channels; ++i, origin += plane, packed += T) multiply(origin, packed);
    }
  } else {
    const std::int64_t row_step = std::int64_t{s.dilation_height} * s.in_width * kLanes;
    const int dilation = s.dilation_width * kLanes;
    const int skipped = (s.kernel_height - (ky.end - ky.begin)) * s.kernel_width * T;
    origin += ky.begin * row_step + (W ? 0 : kx.begin * dilation);
    packed += (ky.begin * s.kernel_width + (W ? 0 : kx.begin)) * T;
    if constexpr (W > 0) {
      // One loop over all rows of all channels: the ends of short loops are hard to foresee.
      const int rows = ky.end - ky.begin;
      const std::int64_t to_next_channel = plane - (rows - 1) * row_step;
      int left = rows;
      for (int n = channels * rows; n > 0; --n) {
        for (int b = 0; b < W; ++b) multiply(origin + b * kLanes, packed + b * T);
        const bool last = --left == 0;
        origin += last ? to_next_channel : row_step;
        packed += last ? W * T + skipped : W * T;
        left = last ? rows : left;
      }
    } else {
      for (int i = 0; i < channels; ++i, origin += plane, packed += skipped) {
        const real* px = origin;
        for (int a = ky.begin; a < ky.end; ++a, px += row_step, packed += s.kernel_width * T) {
          const real* pb = px;
          const real* pw = packed;
          for (int b = kx.begin; b < kx.end; ++b, pb += dilation, pw += T) multiply(pb, pw);
        }
      }
    }
  }
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width * kLanes;
  real* to = out + (std::int64_t{y} * s.out_width + x) * kLanes;
  for (int t = 0; t < T; ++t) {
    for (int p = 0; p < P; ++p) store(to + t * out_plane + p * kLanes, acc[t][p]);
  }
}

// Outputs [begin, end) of a row, for which all taps `ky`, `kx` lie inside the input.
using ForwardRow = void (*)(const ConvShape& s, const real* in, const real* packed, const real* bias,
                            real* out, int y, int begin, int end, Range ky, Range kx);
template <int T, int P, int W>
void conv_forward_row(const ConvShape& s, const real* in, const real* packed, const real* bias, real* out,
                      int y, int begin, int end, Range ky, Range kx) {
  for (; begin < end; begin += P) {
    conv_forward_pixels<T, P, W>(s, in, packed, bias, out, y, begin, ky, kx);
  }
}

// `pixels` outputs at a time where a whole row of taps lies inside, and one at a time elsewhere.
struct ForwardRows {
  ForwardRow inside;
  ForwardRow border;
  int pixels;
};
inline ForwardRows find_forward_rows(const ConvShape& s, int channels) {
  ForwardRows rows{};
  const int width = s.dilation_width > 1 ? 0 : s.taps() == 1 ? 1 : s.kernel_width;
  dispatch<kTile>(channels, [&]<int T>() {
    constexpr int P = kPixels<T>;
    constexpr int kGeneric = kRegisters == 32 ? P : 1;  // a browser downloads what is written out
    rows = {conv_forward_row<T, kGeneric, 0>, conv_forward_row<T, 1, 0>, kGeneric};
    if (width == 1 && s.taps() == 1) rows = {conv_forward_row<T, P, 1>, rows.border, P};
    if (T >= 3 && width == 3) rows = {conv_forward_row<T, P, 3>, rows.border, P};
    if (T >= 4 && width == 5) rows = {conv_forward_row<T, P, 5>, rows.border, P};
  });
  return rows;
}

inline void conv_forward_tile(const ConvShape& s, const ForwardRows& rows, const real* in, const real* packed,
                              const real* bias, real* out) {
  const Range inside = intersect(valid_outputs(-s.pad_left, s.stride_width, s.in_width, s.out_width),
                                 valid_outputs((s.kernel_width - 1) * s.dilation_width - s.pad_left,
                                               s.stride_width, s.in_width, s.out_width));
  for (int y = 0; y < s.out_height; ++y) {
    const Range ky =
        valid_taps(y * s.stride_height - s.pad_top, s.dilation_height, s.kernel_height, s.in_height);
    int x = 0;
    while (x < s.out_width) {
      const int whole = x < inside.begin ? 0 : (inside.end - x) / rows.pixels * rows.pixels;
      if (whole > 0) {
        rows.inside(s, in, packed, bias, out, y, x, x + whole, ky, {0, s.kernel_width});
        x += whole;
      } else {
        const Range kx =
            valid_taps(x * s.stride_width - s.pad_left, s.dilation_width, s.kernel_width, s.in_width);
        rows.border(s, in, packed, bias, out, y, x, x + 1, ky, kx);
        ++x;
      }
    }
  }
}

inline void conv_forward(const ConvShape& shape, const real* in, const real* packed, const real* bias,
                         real* out) {
  const ConvShape s = flat(shape);
  if (is_depthwise(s)) return depthwise_forward(s, in, packed, bias, out);
  const Tiling tiling(s.group_out(), kTile);
  const std::int64_t in_plane = std::int64_t{s.in_height} * s.in_width * kLanes;
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width * kLanes;
  for (int group = 0; group < s.groups; ++group) {
    for (int tile = 0; tile < tiling.tiles; ++tile) {
      const int size = tiling.size(tile);
      const int channel = group * s.group_out() + tiling.begin(tile);
      conv_forward_tile(s, find_forward_rows(s, size), in + group * s.group_in() * in_plane, packed,
                        bias ? bias + channel : nullptr, out + channel * out_plane);
      packed += std::int64_t{size} * s.group_in() * s.taps();
    }
  }
}

// ---- input gradient

// The taps that send an output's gradient to input position `at` (with padding added): those with
// at - tap·dilation a multiple of stride, inside the output.
struct TapWalk {
  int begin, end, step;  // taps
  int out;               // the output position of tap `begin`
  int out_step;          // how it moves from one of these taps to the next (never positive)
};
inline TapWalk taps_reaching(int at, int stride, int dilation, int kernel, int out) {
  if (stride == 1 && dilation == 1) {
    const int begin = at - (out - 1) > 0 ? at - (out - 1) : 0;
    const int end = at + 1 < kernel ? at + 1 : kernel;
    return {begin, end, 1, at - begin, -1};
  }
  TapWalk walk{0, 0, 1, 0, 0};
  int previous = -1;
  for (int tap = 0; tap < kernel; ++tap) {
    const int distance = at - tap * dilation;
    if (distance < 0 || distance % stride != 0 || distance / stride >= out) continue;
    if (previous < 0) {
      walk.begin = tap;
      walk.out = distance / stride;
    } else if (walk.out_step == 0) {
      walk.step = tap - previous;
      walk.out_step = -(walk.step * dilation / stride);
    }
    previous = tap;
    walk.end = tap + 1;
  }
  return walk;
}

template <int T, int P>
ESPALIER_INLINE void conv_input_gradient_pixels(const ConvShape& s, const real* grad_out, const real* packed,
                                                real* grad_in, int y, int x, const TapWalk& rows,
                                                const TapWalk& columns) {
  Lanes acc[T][P];
  for (int t = 0; t < T; ++t) {
    for (int p = 0; p < P; ++p) acc[t][p] = splat(0);
  }
  const int channels = s.group_out();
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width * kLanes;
  int out_y = rows.out;
  for (int a = rows.begin; a < rows.end; a += rows.step, out_y += rows.out_step) {
    int out_x = columns.out;
    for (int b = columns.begin; b < columns.end; b += columns.step, out_x += columns.out_step) {
      const real* pw = packed + std::int64_t{a * s.kernel_width + b} * channels * T;
      const real* pg = grad_out + (std::int64_t{out_y} * s.out_width + out_x) * kLanes;
      for (int o = 0; o < channels; ++o, pw += T, pg += out_plane) {
        Lanes g[P];
        for (int p = 0; p < P; ++p) g[p] = load(pg + p * kLanes);
        for (int t = 0; t < T; ++t) {
          const Lanes w = splat(pw[t]);
          for (int p = 0; p < P; ++p) acc[t][p] = madd(w, g[p], acc[t][p]);
        }
      }
    }
  }
  const std::int64_t in_plane = std::int64_t{s.in_height} * s.in_width * kLanes;
  real* to = grad_in + (std::int64_t{y} * s.in_width + x) * kLanes;
  for (int t = 0; t < T; ++t) {
    for (int p = 0; p < P; ++p) store(to + t * in_plane + p * kLanes, acc[t][p]);
  }
}

template <int T>
inline void conv_input_gradient_tile(const ConvShape& s, const real* grad_out, const real* packed,
                                     real* grad_in) {
  constexpr int P = kVectors > 1 ? 1 : kPixels<T>;
  // Columns that every tap reaches from inside the output, so that P neighbours walk together.
  const bool unit = s.stride_width == 1 && s.dilation_width == 1;
  const Range inside = unit ? Range{s.kernel_width - 1 - s.pad_left, s.out_width - s.pad_left} : Range{0, 0};
  for (int y = 0; y < s.in_height; ++y) {
    const TapWalk rows =
        taps_reaching(y + s.pad_top, s.stride_height, s.dilation_height, s.kernel_height, s.out_height);
    int x = 0;
    while (x < s.in_width) {
      const TapWalk columns =
          taps_reaching(x + s.pad_left, s.stride_width, s.dilation_width, s.kernel_width, s.out_width);
      if (P > 1 && x >= inside.begin && x + P <= inside.end && x + P <= s.in_width) {
        conv_input_gradient_pixels<T, P>(s, grad_out, packed, grad_in, y, x, rows, columns);
        x += P;
      } else {
        conv_input_gradient_pixels<T, 1>(s, grad_out, packed, grad_in, y, x, rows, columns);
        ++x;
      }
    }
  }
}

inline void conv_input_gradient(const ConvShape& shape, const real* grad_out, const real* packed,
                                real* grad_in) {
  const ConvShape s = flat(shape);
  if (is_depthwise(s)) return depthwise_input_gradient(s, grad_out, packed, grad_in);
  const Tiling tiling(s.group_in(), kTile);
  const std::int64_t in_plane = std::int64_t{s.in_height} * s.in_width * kLanes;
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width * kLanes;
  for (int group = 0; group < s.groups; ++group) {
    for (int tile = 0; tile < tiling.tiles; ++tile) {
      const int size = tiling.size(tile);
      const int channel = group * s.group_in() + tiling.begin(tile);
      dispatch<kTile>(size, [&]<int T>() {
        conv_input_gradient_tile<T>(s, grad_out + group * s.group_out() * out_plane, packed,
                                    grad_in + channel * in_plane);
      });
      packed += std::int64_t{size} * s.group_out() * s.taps();
    }
  }
}

// ---- weight gradient

// One register of lanes at a time: where a block is two registers wide, each is summed by itself
// and both meet in the tree over lanes. That leaves room for twice the tile.
//
// The tiles are many, so they hold their inner loops and nothing else: one row of taps over all outputs.
struct GradientRow {
  int offset;             // of the input's row from the output's
  int first;              // of the input's column from the output's, at the first tap
  int column_step;        // to the column of the next input
  std::int64_t distance;  // numbers from one input to the next one
  Range rows;             // outputs whose tap lies inside the input
  Range inside;           // outputs for which a whole row of taps does
};

// sums[t][k].v[0]: T output channels x K inputs, summed over all output pixels.
// (One more for taps that are neighbours, at constant offsets, is 2 % faster and 4 KB of every binary.)
template <int T, int K, bool kNeighbours>
void weight_gradient_tile(const ConvShape& s, const GradientRow& row, const real* in, const real* grad_out,
                          Vector* sums) {
  const int step = s.stride_width * kLanes;
  const auto distance = kNeighbours ? kLanes : static_cast<std::ptrdiff_t>(row.distance);
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width * kLanes;
  const Range inside = row.inside;
  const std::int64_t in_row = std::int64_t{s.stride_height} * s.in_width * kLanes;
  const std::int64_t out_row = std::int64_t{s.out_width} * kLanes;
  const real* const px =
      in + (std::int64_t{row.rows.begin * s.stride_height + row.offset} * s.in_width + row.first) * kLanes;
  const real* const pg = grad_out + row.rows.begin * out_row;
  Vector acc[T][K];
  for (int t = 0; t < T; ++t) {
    for (int k = 0; k < K; ++k) acc[t][k] = Vector{};
  }
  // The fewer operands wait in registers, the others come one by one.
  const auto add = [&](auto&& input, const real* g) __attribute__((always_inline)) {
    if constexpr (T < K) {
      Vector gradient[T];
      for (int t = 0; t < T; ++t) gradient[t] = load_vector(g + t * out_plane);
      for (int k = 0; k < K; ++k) {
        const Vector value = input(k);
        for (int t = 0; t < T; ++t) acc[t][k] = madd(value, gradient[t], acc[t][k]);
      }
    } else {
      Vector value[K];
      for (int k = 0; k < K; ++k) value[k] = input(k);
      for (int t = 0; t < T; ++t) {
        const Vector gradient = load_vector(g + t * out_plane);
        for (int k = 0; k < K; ++k) acc[t][k] = madd(value[k], gradient, acc[t][k]);
      }
    }
  };
  const real* xs = px + inside.begin * step;
  const real* gs = pg + inside.begin * kLanes;
  const int width = inside.end - inside.begin;
  for (int y = row.rows.begin; y < row.rows.end; ++y) {
    for (int x = 0; x < width; ++x, xs += step, gs += kLanes) {
      add([&](int k) __attribute__((always_inline)) { return load_vector(xs + k * distance); }, gs);
    }
    xs += in_row - width * step;
    gs += out_row - width * kLanes;
  }
  // The border: taps outside see zeros.
  for (int x = 0; x < s.out_width; ++x) {
    if (x == inside.begin && inside.end > x) x = inside.end;
    if (x >= s.out_width) break;
    const int column = x * s.stride_width + row.first;
    xs = px + x * step;
    gs = pg + x * kLanes;
    for (int y = row.rows.begin; y < row.rows.end; ++y, xs += in_row, gs += out_row) {
      const auto input = [&](int k) __attribute__((always_inline)) {
        const int at = column + k * row.column_step;
        return at >= 0 && at < s.in_width ? load_vector(xs + k * distance) : Vector{};
      };
      add(input, gs);
    }
  }
  for (int t = 0; t < T; ++t) {
    for (int k = 0; k < K; ++k) sums[(t * K + k) * kVectors] = acc[t][k];
  }
}

// Tile sizes by the number of inputs: T x K accumulators, K + 1 registers for operands. A browser has 15
// registers: a row of five taps goes as three and two, and 3 x 3 accumulators beat 4 x 3 by 10 % there.
inline constexpr int kMaxInputs = 5;
inline constexpr int kMaxDistant = 2;  // of inputs that are no neighbours: channels, taps with dilation
inline constexpr int kGradientTiles[] = {kRegisters == 32 ? 12 : 2, kRegisters == 32 ? 8 : 6,
                                         kRegisters == 32 ? 7 : 3, kRegisters == 32 ? 6 : 2,
                                         kRegisters == 32 ? 5 : 2};

inline constexpr int kMaxGradientTile = kRegisters == 32 ? 25 : 12;

using GradientTile = void (*)(const ConvShape& s, const GradientRow& row, const real* in,
                              const real* grad_out, Vector* sums);
inline GradientTile find_gradient_tile(int channels, int inputs, bool neighbours) {
  GradientTile tile = nullptr;
  dispatch<kMaxInputs>(inputs, [&]<int K>() {
    dispatch<kGradientTiles[K - 1]>(channels, [&]<int T>() {
      if (K <= kMaxDistant && !neighbours) tile = weight_gradient_tile<T, K, false>;
      if (K > kMaxDistant && neighbours) tile = weight_gradient_tile<T, K, true>;
    });
  });
  return tile;
}

// A tile's inputs are the taps of a row or, where rows have one tap, neighbouring input channels.
inline void conv_weight_gradient(const ConvShape& shape, const real* in, const real* grad_out,
                                 real* grad_weight) {
  const ConvShape s = flat(shape);
  if (is_depthwise(s)) return depthwise_weight_gradient(s, in, grad_out, grad_weight);
  const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
  const std::int64_t in_plane = std::int64_t{s.in_height} * s.in_width * kLanes;
  const std::int64_t out_plane = std::int64_t{s.out_height} * s.out_width * kLanes;
  const bool by_tap = s.kernel_width > 1;
  const bool neighbours = by_tap && s.dilation_width == 1 && s.kernel_width > kMaxDistant;
  const Tiling inputs(by_tap ? s.kernel_width : s.group_in(), neighbours ? kMaxInputs : kMaxDistant);
  const int others = by_tap ? s.group_in() : 1;
  const int weight_step = by_tap ? 1 : s.taps();
  GradientRow at;
  at.distance = by_tap ? std::int64_t{s.dilation_width} * kLanes : in_plane;
  at.column_step = by_tap ? s.dilation_width : 0;
  const auto outputs = [&](int offset) {
    return valid_outputs(offset, s.stride_width, s.in_width, s.out_width);
  };
  // The same for all parts of a row: the order of a sum must not depend on how a row is cut.
  at.inside = intersect(outputs(-s.pad_left),
                        outputs((by_tap ? s.kernel_width - 1 : 0) * s.dilation_width - s.pad_left));
  for (int part = 0; part < inputs.tiles; ++part) {
    const int width = inputs.size(part);
    at.first = (by_tap ? inputs.begin(part) * s.dilation_width : 0) - s.pad_left;
    const Tiling channels(s.group_out(), kGradientTiles[width - 1]);
    for (int group = 0; group < s.groups; ++group) {
      for (int tile = 0; tile < channels.tiles; ++tile) {
        const int size = channels.size(tile);
        const int o = group * s.group_out() + channels.begin(tile);
        const GradientTile add = find_gradient_tile(size, width, neighbours);
        for (int other = 0; other < others; ++other) {
          const int i = by_tap ? other : inputs.begin(part);
          for (int ky = 0; ky < s.kernel_height; ++ky) {
            at.offset = ky * s.dilation_height - s.pad_top;
            at.rows = valid_outputs(at.offset, s.stride_height, s.in_height, s.out_height);
            Lanes sums[kMaxGradientTile];
            for (int v = 0; v < kVectors; ++v) {
              add(s, at, in + (std::int64_t{group} * s.group_in() + i) * in_plane + v * kWidth,
                  grad_out + o * out_plane + v * kWidth, sums[0].v + v);
            }
            real* to = grad_weight + o * row + std::int64_t{i} * s.taps() + ky * s.kernel_width +
                       (by_tap ? inputs.begin(part) : 0);
            for (int t = 0; t < size; ++t, to += row) {
              for (int k = 0; k < width; ++k) add_groups(sums[t * width + k], to[k * weight_step]);
            }
          }
        }
      }
    }
  }
}
