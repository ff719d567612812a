// Pooling over one block. A window that leaves the image sees the pixels inside it only.

template <class Visit>
ESPALIER_INLINE void for_each_window(const PoolShape& s, Visit&& visit) {
  for (int c = 0; c < s.channels; ++c) {
    for (int y = 0; y < s.out_height; ++y) {
      const Range rows = window(y, s.stride_height, s.pad_top, s.kernel_height, s.in_height);
      for (int x = 0; x < s.out_width; ++x) {
        const Range columns = window(x, s.stride_width, s.pad_left, s.kernel_width, s.in_width);
        visit(std::int64_t{c} * s.in_height * s.in_width, rows, columns,
              (std::int64_t{c} * s.out_height * s.out_width + std::int64_t{y} * s.out_width + x) * kLanes);
      }
    }
  }
}

ESPALIER_INLINE std::int64_t pixel(const PoolShape& s, std::int64_t plane, int y, int x) {
  return (plane + std::int64_t{y} * s.in_width + x) * kLanes;
}

// 2 x 2 windows side by side, the common case: four loads and no loop around them.
ESPALIER_INLINE bool is_2x2(const PoolShape& s) {
  return s.kernel_height == 2 && s.kernel_width == 2 && s.stride_height == 2 && s.stride_width == 2 &&
         s.pad_top == 0 && s.pad_left == 0 && s.out_height * 2 <= s.in_height &&
         s.out_width * 2 <= s.in_width;
}

// visit(pixel, at): where the window begins in the input, and the output.
template <class Visit>
ESPALIER_INLINE void for_each_2x2(const PoolShape& s, Visit&& visit) {
  std::int64_t at = 0;
  for (int c = 0; c < s.channels; ++c) {
    for (int y = 0; y < s.out_height; ++y) {
      std::int64_t pixel = (std::int64_t{c} * s.in_height + 2 * y) * s.in_width * kLanes;
      for (int x = 0; x < s.out_width; ++x, pixel += 2 * kLanes, at += kLanes) visit(pixel, at);
    }
  }
}

inline void max_pool_forward(const PoolShape& s, const real* in, real* out) {
  if (is_2x2(s)) {
    const int row = s.in_width * kLanes;
    for_each_2x2(s, [&](std::int64_t pixel, std::int64_t at) {
      const real* p = in + pixel;
      store(out + at, max(max(load(p), load(p + kLanes)), max(load(p + row), load(p + row + kLanes))));
    });
    return;
  }
  for_each_window(s, [&](std::int64_t plane, Range rows, Range columns, std::int64_t at) {
    Lanes best = load(in + pixel(s, plane, rows.begin, columns.begin));
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) best = max(best, load(in + pixel(s, plane, y, x)));
    }
    store(out + at, best);
  });
}

inline void clear(const PoolShape& s, real* grad_in) {
  std::memset(grad_in, 0,
              static_cast<std::size_t>(s.channels) *
                  static_cast<std::size_t>(s.in_height * s.in_width * kLanes) * sizeof(real));
}

inline void max_pool_backward(const PoolShape& s, const real* in, const real* out, const real* grad_out,
                              real* grad_in) {
  const bool disjoint = is_2x2(s);
  if (!disjoint || s.out_height * 2 != s.in_height || s.out_width * 2 != s.in_width) clear(s, grad_in);
  // Gradient goes to the first pixel that holds the maximum; what is left after it is zero.
  const auto give = [&](std::int64_t here, const Lanes& largest, Lanes& left) {
    const Lanes value = load(in + here);
    Lanes given;
    for (int i = 0; i < kVectors; ++i) {
      const Mask here_is_largest = value.v[i] == largest.v[i];
      const Mask gradient = reinterpret_cast<Mask>(left.v[i]);
      given.v[i] = reinterpret_cast<Vector>(gradient & here_is_largest);
      left.v[i] = reinterpret_cast<Vector>(gradient & ~here_is_largest);
    }
    return given;
  };
  if (disjoint) {
    const int row = s.in_width * kLanes;
    for_each_2x2(s, [&](std::int64_t pixel, std::int64_t at) {
      const Lanes largest = load(out + at);
      Lanes left = load(grad_out + at);
      for (const int offset : {0, kLanes, row, row + kLanes}) {
        store(grad_in + pixel + offset, give(pixel + offset, largest, left));
      }
    });
    return;
  }
  for_each_window(s, [&](std::int64_t plane, Range rows, Range columns, std::int64_t at) {
    const Lanes largest = load(out + at);
    Lanes left = load(grad_out + at);
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) {
        real* to = grad_in + pixel(s, plane, y, x);
        store(to, load(to) + give(pixel(s, plane, y, x), largest, left));
      }
    }
  });
}

inline void avg_pool_forward(const PoolShape& s, const real* in, real* out) {
  for_each_window(s, [&](std::int64_t plane, Range rows, Range columns, std::int64_t at) {
    Lanes sum = splat(0);
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) sum = sum + load(in + pixel(s, plane, y, x));
    }
    const int count = (rows.end - rows.begin) * (columns.end - columns.begin);
    store(out + at, sum * splat(real(1) / static_cast<real>(count)));
  });
}

inline void avg_pool_backward(const PoolShape& s, const real* grad_out, real* grad_in) {
  clear(s, grad_in);
  for_each_window(s, [&](std::int64_t plane, Range rows, Range columns, std::int64_t at) {
    const int count = (rows.end - rows.begin) * (columns.end - columns.begin);
    const Lanes share = load(grad_out + at) * splat(real(1) / static_cast<real>(count));
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) {
        real* p = grad_in + pixel(s, plane, y, x);
        store(p, load(p) + share);
      }
    }
  });
}
