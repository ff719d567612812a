// Loops over lanes with no neighbours: activations, batch norm, addition, dropout, softmax.

// `size` is a multiple of the lanes.
template <class F>
ESPALIER_INLINE void for_each_vector(int size, F&& f) {
  for (int i = 0; i < size; i += kLanes) {
    for (int v = 0; v < kLanes; v += kWidth) f(i + v);
  }
}

inline void activation_forward(Activation kind, real slope, int size, const real* in, real* out) {
  const Vector zero{};
  switch (kind) {
    case Activation::kRelu:
      for_each_vector(size, [&](int i) {
        const Vector x = load_vector(in + i);
        store_vector(out + i, x > zero ? x : zero);
      });
      return;
    case Activation::kRelu6:
      for_each_vector(size, [&](int i) {
        const Vector six = splat_vector(real(6));
        Vector x = load_vector(in + i);
        x = x > zero ? x : zero;
        store_vector(out + i, x < six ? x : six);
      });
      return;
    case Activation::kLeakyRelu:
      for_each_vector(size, [&](int i) {
        const Vector x = load_vector(in + i);
        store_vector(out + i, x > zero ? x : x * splat_vector(slope));
      });
      return;
    case Activation::kTanh:
      for_each_vector(size, [&](int i) { store_vector(out + i, tanh(load_vector(in + i))); });
      return;
    case Activation::kSigmoid:
      for_each_vector(size, [&](int i) { store_vector(out + i, sigmoid(load_vector(in + i))); });
      return;
  }
}

inline void activation_backward(Activation kind, real slope, int size, const real* out, const real* grad_out,
                                real* grad_in) {
  const Vector zero{};
  const auto each = [&](auto&& derivative_times) {
    for_each_vector(size, [&](int i) {
      store_vector(grad_in + i, derivative_times(load_vector(out + i), load_vector(grad_out + i)));
    });
  };
  switch (kind) {
    case Activation::kRelu:
      each([&](Vector y, Vector g) { return y > zero ? g : zero; });
      return;
    case Activation::kRelu6:
      each([&](Vector y, Vector g) {
        const Vector inside = y > zero ? g : zero;
        return y < splat_vector(real(6)) ? inside : zero;
      });
      return;
    case Activation::kLeakyRelu:
      each([&](Vector y, Vector g) { return y > zero ? g : g * splat_vector(slope); });
      return;
    case Activation::kTanh:
      each([&](Vector y, Vector g) { return g * (splat_vector(real(1)) - y * y); });
      return;
    case Activation::kSigmoid:
      each([&](Vector y, Vector g) { return g * (y * (splat_vector(real(1)) - y)); });
      return;
  }
}

// x > lowest, not max: a number that is none becomes `lowest`, as in activation_forward.
ESPALIER_INLINE Vector clamp(Vector x, real lowest, real highest) {
  const Vector low = splat_vector(lowest), high = splat_vector(highest);
  x = x > low ? x : low;
  return x < high ? x : high;
}

inline void scale_shift(const real* in, int channels, int pixels, const real* scale, const real* shift,
                        real lowest, real highest, real* out) {
  for (int c = 0; c < channels; ++c) {
    const Lanes a = splat(scale[c]), b = splat(shift[c]);
    for (int i = 0; i < pixels; ++i, in += kLanes, out += kLanes) {
      const Lanes x = madd(load(in), a, b);
      store(out, map([&](int v) { return clamp(x.v[v], lowest, highest); }));
    }
  }
}

// 1 in the first `valid` lanes, 0 behind them.
ESPALIER_INLINE Lanes valid_mask(int valid) {
  alignas(64) real mask[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) mask[lane] = lane < valid ? real(1) : real(0);
  return load(mask);
}

ESPALIER_INLINE void store_groups(const Lanes& a, int row, int channels, int c, real* partial) {
  real sums[kLanes / 8];
  sum_groups(a, sums);
  for (int group = 0; group < kLanes / 8; ++group) partial[(group * 2 + row) * channels + c] = sums[group];
}

// Two sums at a time, of even and of odd pixels, because one alone would wait for its own additions.
// add(pixel, sums) for every pixel; then the two are one.
template <class Add>
ESPALIER_INLINE void sum_pixels(int pixels, Lanes (&sums)[2], Add&& add) {
  Lanes odd[2] = {splat(0), splat(0)};
  sums[0] = sums[1] = splat(0);
  int i = 0;
  for (; i + 2 <= pixels; i += 2) {
    add(i, sums);
    add(i + 1, odd);
  }
  if (i < pixels) add(i, sums);
  for (int k = 0; k < 2; ++k) sums[k] = sums[k] + odd[k];
}

inline void centered_moments(const real* in, int channels, int pixels, const real* center, int valid,
                             real* partial) {
  const Lanes mask = valid_mask(valid);
  for (int c = 0; c < channels; ++c, in += pixels * kLanes) {
    const Lanes middle = splat(center[c]);
    Lanes sums[2];
    sum_pixels(pixels, sums, [&](int i, Lanes(&to)[2]) {
      const Lanes x = load(in + i * kLanes) - middle;
      to[0] = to[0] + x;
      to[1] = madd(x, x, to[1]);
    });
    store_groups(sums[0] * mask, 0, channels, c, partial);
    store_groups(sums[1] * mask, 1, channels, c, partial);
  }
}

inline void gradient_moments(const real* in, const real* grad_out, int channels, int pixels,
                             const real* center, real* partial) {
  for (int c = 0; c < channels; ++c, in += pixels * kLanes, grad_out += pixels * kLanes) {
    const Lanes middle = splat(center[c]);
    Lanes sums[2];
    sum_pixels(pixels, sums, [&](int i, Lanes(&to)[2]) {
      const Lanes g = load(grad_out + i * kLanes);
      to[0] = to[0] + g;
      to[1] = madd(g, load(in + i * kLanes) - middle, to[1]);
    });
    store_groups(sums[0], 0, channels, c, partial);
    store_groups(sums[1], 1, channels, c, partial);
  }
}

// grad_bias[c] += sum over pixels and lanes.
inline void channel_sums(const real* grad_out, int channels, int pixels, real* grad_bias) {
  for (int c = 0; c < channels; ++c, grad_out += std::int64_t{pixels} * kLanes) {
    Lanes even = splat(0), odd = splat(0);
    int i = 0;
    for (; i + 2 <= pixels; i += 2) {
      even = even + load(grad_out + i * kLanes);
      odd = odd + load(grad_out + (i + 1) * kLanes);
    }
    if (i < pixels) even = even + load(grad_out + i * kLanes);
    add_groups(even + odd, grad_bias[c]);
  }
}

inline void combine(const real* grad_out, const real* in, int channels, int pixels, const real* a,
                    const real* b, const real* d, int valid, real* out) {
  const Lanes mask = valid_mask(valid);
  for (int c = 0; c < channels; ++c) {
    const Lanes ka = splat(a[c]) * mask, kb = splat(b[c]) * mask, kd = splat(d[c]) * mask;
    for (int i = 0; i < pixels; ++i, in += kLanes, grad_out += kLanes, out += kLanes) {
      store(out, madd(load(grad_out), ka, madd(load(in), kb, kd)));
    }
  }
}

// out = first row + second + …, each `count` numbers after the one before; count is any.
inline void add_rows(int rows, std::int64_t row_size, const real* first, std::int64_t count, real* out) {
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    Vector sum = load_vector(first + i);
    for (int row = 1; row < rows; ++row) sum = sum + load_vector(first + row * row_size + i);
    store_vector(out + i, sum);
  }
  for (; i < count; ++i) {
    real sum = first[i];
    for (int row = 1; row < rows; ++row) sum += first[row * row_size + i];
    out[i] = sum;
  }
}

inline void add(int size, const real* a, const real* b, real* out) {
  for_each_vector(size, [&](int i) { store_vector(out + i, load_vector(a + i) + load_vector(b + i)); });
}

// round half to even for |x| below 2^22: adding 1.5 · 2^mantissa leaves a whole number.
ESPALIER_INLINE Lanes round_half_even(const Lanes& x) {
  const Lanes magic = splat(sizeof(real) == 4 ? real(12582912.0) : real(6755399441055744.0));
  return (x + magic) - magic;
}

inline void quantize_forward(int size, real scale, real zero_point, real highest, const real* in, real* out) {
  const Lanes step = splat(scale), lowest = splat(-zero_point), top = splat(highest - zero_point);
  for (int i = 0; i < size; i += kLanes) {
    const Lanes x = min(max(load(in + i) / step, lowest), top);
    store(out + i, round_half_even(x) * step);
  }
}

inline void quantize_backward(int size, real scale, real zero_point, real highest, const real* in,
                              const real* grad_out, real* grad_in, real* grad_scale) {
  const Lanes step = splat(scale), lowest = splat(-zero_point), top = splat(highest - zero_point);
  Lanes sum = splat(0);
  for (int i = 0; i < size; i += kLanes) {
    const Lanes x = load(in + i) / step;
    const Lanes g = load(grad_out + i);
    const Lanes code = round_half_even(min(max(x, splat(real(-1e6))), splat(real(1e6))));
    const Lanes inside = min(max(code, lowest), top);
    Lanes slope, passed;
    for (int v = 0; v < kVectors; ++v) {
      const Mask clipped = code.v[v] != inside.v[v];
      const Vector zero{};
      slope.v[v] = clipped ? zero : x.v[v];
      passed.v[v] = clipped ? zero : g.v[v];
    }
    sum = sum + g * (inside - slope);
    if (grad_in) store(grad_in + i, passed);
  }
  add_groups(sum, *grad_scale);
}

// A 32-bit mix of (key, image, position): the finalizer of MurmurHash3 over a Weyl sequence.
ESPALIER_INLINE std::uint32_t mix(std::uint64_t key, std::uint32_t image, std::uint32_t position) {
  std::uint32_t h = static_cast<std::uint32_t>(key) ^ (image * 0x9E3779B9u);
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h += position * 0xC2B2AE35u + static_cast<std::uint32_t>(key >> 32);
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  h ^= h >> 16;
  return h;
}

inline void dropout(int size, double rate, std::uint64_t key, std::uint64_t first_image, const real* in,
                    real* out) {
  const auto threshold = static_cast<std::uint32_t>(rate * 4294967295.0);
  const auto scale = static_cast<real>(1.0 / (1.0 - rate));
  for (int i = 0; i < size; ++i, in += kLanes, out += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t bits =
          mix(key, static_cast<std::uint32_t>(first_image) + static_cast<std::uint32_t>(lane),
              static_cast<std::uint32_t>(i));
      out[lane] = bits >= threshold ? in[lane] * scale : real(0);
    }
  }
}

inline void softmax_terms(int classes, const real* logits, real* terms, real* sums, real* largest) {
  Lanes top = load(logits);
  for (int c = 1; c < classes; ++c) top = max(top, load(logits + c * kLanes));
  Lanes sum = splat(0);
  for (int c = 0; c < classes; ++c) {
    const Lanes term = exp(load(logits + c * kLanes) - top);
    store(terms + c * kLanes, term);
    sum = sum + term;
  }
  store(sums, sum);
  store(largest, top);
}
