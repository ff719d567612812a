// The input of a convolution as a loop over neighbouring outputs reads it: with its padding, and so that such
// neighbours see neighbouring pixels. With a stride along the row, each tap of a row therefore has the
// columns that it sees to itself. An input that looks like that already is read in place.

inline bool is_dense(const ConvShape& s) {
  return s.groups == 1 && s.taps() == 1 && s.in_height * s.in_width == 1;
}

struct Layout {
  ConvShape shape;     // the pixels of a 1 x 1 kernel, which have no rows, are one long one
  int rows, pitch;     // rows of a channel, pixels of a row …
  int copies;          // … and how often the row is there
  int tap, row;        // pixels from tap to tap, from row to row
  std::int64_t plane;  // … from channel to channel
  bool in_place;
};

// Rows hold at least `narrowest` pixels.
[[gnu::noinline, gnu::cold]] inline Layout layout_of(const ConvShape& shape, int narrowest) {
  Layout l{.shape = flat(shape)};
  const ConvShape& s = l.shape;
  const int across = (s.kernel_width - 1) * s.dilation_width;
  const int height = (s.out_height - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
  l.in_place =
      is_dense(s) || (s.stride_width == 1 && s.pad_top == 0 && s.pad_left == 0 && height <= s.in_height &&
                      s.out_width + across <= s.in_width && s.out_width >= narrowest);
  l.rows = l.in_place ? s.in_height : height;
  l.copies = s.stride_width == 1 ? 1 : s.kernel_width;
  l.pitch = l.in_place                ? s.in_width
            : s.out_width < narrowest ? narrowest + (l.copies == 1 ? across : 0)
                                      : s.out_width + (l.copies == 1 ? across : 0);
  l.tap = l.copies == 1 ? s.dilation_width : l.pitch;
  l.row = l.pitch * l.copies;
  l.plane = std::int64_t{l.rows} * l.row;
  return l;
}

// `in` itself, or a copy of l.plane · in_channels pixels in `scratch`. A pixel is L numbers.
template <int L>
[[gnu::noinline, gnu::cold]] inline const real* arrange(const Layout& l, const real* in, real* scratch) {
  if (l.in_place) return in;
  const ConvShape& s = l.shape;
  std::memset(scratch, 0, static_cast<std::size_t>(l.plane * s.in_channels * L) * sizeof(real));
  const Range inside = valid_outputs(-s.pad_top, 1, s.in_height, l.rows);
  for (int copy = 0; copy < l.copies; ++copy) {
    const int first = copy * s.dilation_width - s.pad_left;
    const Range columns = valid_outputs(first, s.stride_width, s.in_width, l.pitch);
    for (int c = 0; c < s.in_channels; ++c) {
      for (int y = inside.begin; y < inside.end; ++y) {
        const real* pixel = in + ((std::int64_t{c} * s.in_height + y - s.pad_top) * s.in_width + first +
                                  columns.begin * s.stride_width) *
                                     L;
        real* to = scratch + (c * l.plane + std::int64_t{y} * l.row + copy * l.pitch + columns.begin) * L;
        for (int x = columns.begin; x < columns.end; ++x, pixel += s.stride_width * L, to += L) {
          std::memcpy(to, pixel, L * sizeof(real));
        }
      }
    }
  }
  return scratch;
}
