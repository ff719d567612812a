// Loops over code maps (kernels/integer_kernels.h has the layout): integers in, bytes or numbers out.

inline constexpr int kCodeBytes = kLanes * kCodeChannels;               // of a pixel
inline constexpr int kIntVectors = kCodeBytes / ESPALIER_VECTOR_BYTES;  // … in vectors; also of int32 lanes
inline constexpr int kHalfBytes = ESPALIER_VECTOR_BYTES / 2;

using Bytes __attribute__((vector_size(ESPALIER_VECTOR_BYTES))) = std::uint8_t;
using HalfBytes __attribute__((vector_size(kHalfBytes))) = std::uint8_t;
using QuarterBytes __attribute__((vector_size(kHalfBytes / 2))) = std::uint8_t;
using Shorts __attribute__((vector_size(ESPALIER_VECTOR_BYTES))) = std::int16_t;
using HalfShorts __attribute__((vector_size(kHalfBytes))) = std::int16_t;
using Ints __attribute__((vector_size(ESPALIER_VECTOR_BYTES))) = std::int32_t;
using Longs __attribute__((vector_size(ESPALIER_VECTOR_BYTES))) = std::int64_t;
using Floats __attribute__((vector_size(ESPALIER_VECTOR_BYTES))) = float;
inline constexpr int kIntWidth = ESPALIER_VECTOR_BYTES / 4;

template <class V>
ESPALIER_INLINE V load_as(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
template <class V>
ESPALIER_INLINE void store_as(void* p, const V& v) {
  std::memcpy(p, &v, sizeof(v));
}
ESPALIER_INLINE Shorts widen(const std::uint8_t* p) {
  return __builtin_convertvector(load_as<HalfBytes>(p), Shorts);
}

// a[2i] · b[2i] + a[2i + 1] · b[2i + 1]
ESPALIER_INLINE Ints multiply_pairs(Shorts a, Shorts b) {
#if defined(__wasm_simd128__)
  return reinterpret_cast<Ints>(
      wasm_i32x4_dot_i16x8(reinterpret_cast<v128_t>(a), reinterpret_cast<v128_t>(b)));
#elif ESPALIER_VECTOR_BYTES == 64 && defined(__AVX512BW__)
  return reinterpret_cast<Ints>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif ESPALIER_VECTOR_BYTES == 32 && defined(__AVX2__)
  return reinterpret_cast<Ints>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif ESPALIER_VECTOR_BYTES == 16 && defined(__SSE2__)
  return reinterpret_cast<Ints>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  Ints sum;
  for (int i = 0; i < kIntWidth; ++i) sum[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return sum;
#endif
}

template <int From, int... I>
ESPALIER_INLINE Ints every_second_int(Ints a, Ints b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + From)...);
}
// [a0 + a1, a2 + a3, …, b0 + b1, …]
ESPALIER_INLINE Ints add_pairs(Ints a, Ints b) {
  constexpr auto kAll = std::make_integer_sequence<int, kIntWidth>();
  return every_second_int<0>(a, b, kAll) + every_second_int<1>(a, b, kAll);
}

// ---- dot products of four channels

// Products of 16 bits, exact on every processor.
struct WideDot {
  static constexpr int kTile =
      kIntVectors == 2 ? 2 : 4;  // output channels at a time: what the registers hold
  using Weight = std::int16_t;
  struct Codes {
    Shorts low[kIntVectors], high[kIntVectors];
  };
  struct Sum {
    Ints low[kIntVectors], high[kIntVectors];
  };

  ESPALIER_INLINE static Codes load_codes(const std::uint8_t* p) {
    Codes codes;
    for (int v = 0; v < kIntVectors; ++v) {
      codes.low[v] = widen(p + v * ESPALIER_VECTOR_BYTES);
      codes.high[v] = widen(p + v * ESPALIER_VECTOR_BYTES + kHalfBytes);
    }
    return codes;
  }
  ESPALIER_INLINE static void add(const Weight* weight, const Codes& codes, Sum& sum) {
    const Shorts w = reinterpret_cast<Shorts>(load_as<std::int64_t>(weight) - Longs{});
    for (int v = 0; v < kIntVectors; ++v) {
      sum.low[v] += multiply_pairs(codes.low[v], w);
      sum.high[v] += multiply_pairs(codes.high[v], w);
    }
  }
  ESPALIER_INLINE static Ints total(const Sum& sum, int v) { return add_pairs(sum.low[v], sum.high[v]); }
};

#if defined(__wasm_relaxed_simd__)
// One instruction for four products. The standard leaves open what it gives for codes above 127, so it is
// taken only where known answers come out right (integer_kernels()).
struct RelaxedDot {
  static constexpr int kTile = 4;
  using Weight = std::int8_t;
  struct Codes {
    v128_t v[kIntVectors];
  };
  struct Sum {
    v128_t v[kIntVectors];
  };

  ESPALIER_INLINE static Codes load_codes(const std::uint8_t* p) {
    Codes codes;
    for (int v = 0; v < kIntVectors; ++v) codes.v[v] = wasm_v128_load(p + v * ESPALIER_VECTOR_BYTES);
    return codes;
  }
  ESPALIER_INLINE static void add(const Weight* weight, const Codes& codes, Sum& sum) {
    const v128_t w = wasm_v128_load32_splat(weight);
    for (int v = 0; v < kIntVectors; ++v) {
      sum.v[v] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(w, codes.v[v], sum.v[v]);
    }
  }
  ESPALIER_INLINE static Ints total(const Sum& sum, int v) { return reinterpret_cast<Ints>(sum.v[v]); }
};
#endif

// ---- from sums to codes

// round_half_even of a number below 2^22, and the zero point.
ESPALIER_INLINE Ints round_to_code(Floats x, float lowest, float highest, int zero_point) {
  const Floats low = lowest - Floats{}, high = highest - Floats{};
  x = x > low ? x : low;
  x = x < high ? x : high;
  // 1.5 · 2^23: its last bit is worth 1.
  return reinterpret_cast<Ints>(x + 12582912.0f) - (0x4b400000 - zero_point);
}
ESPALIER_INLINE Ints requantize(Ints sum, Floats multiplier, const Requantization& r) {
  return round_to_code(__builtin_convertvector(sum, Floats) * multiplier,
                       static_cast<float>(r.lowest - r.zero_point),
                       static_cast<float>(r.highest - r.zero_point), r.zero_point);
}

ESPALIER_INLINE void store_numbers(real* out, Floats x) {
  if constexpr (sizeof(real) == sizeof(float)) {
    store_as(out, x);
  } else {
    for (int i = 0; i < kIntWidth; ++i) out[i] = static_cast<real>(x[i]);
  }
}
ESPALIER_INLINE Floats load_numbers(const real* in) {
  if constexpr (sizeof(real) == sizeof(float)) {
    return load_as<Floats>(in);
  } else {
    Floats x;
    for (int i = 0; i < kIntWidth; ++i) x[i] = static_cast<float>(in[i]);
    return x;
  }
}

// Four channels' sums of a pixel.
using FourSums = Ints[kCodeChannels][kIntVectors];

ESPALIER_INLINE void store_codes(const FourSums& sums, int channel, const Requantization& r,
                                 std::uint8_t* out) {
  for (int v = 0; v < kIntVectors; ++v) {
    Ints word{};
    for (int t = 0; t < kCodeChannels; ++t) {
      word |= requantize(sums[t][v], r.multiplier[channel + t] - Floats{}, r) << (8 * t);
    }
    store_as(out + v * ESPALIER_VECTOR_BYTES, word);
  }
}

// ---- convolution

inline bool runs_by_channel(const ConvShape& s) { return s.groups > 1; }

// weight: [out / 4][in / 4][kh][kw][4 out][4 in], zeros where there is no channel; depthwise [out /
// 4][kh][kw][4].
template <class Weight>
inline void pack_codes(const ConvShape& s, const std::int8_t* weight, Weight* packed) {
  const int taps = s.taps();
  for (int o = 0; o < s.out_channels; o += kCodeChannels) {
    if (runs_by_channel(s)) {
      for (int tap = 0; tap < taps; ++tap) {
        for (int t = o; t < o + kCodeChannels; ++t) {
          *packed++ = t < s.out_channels ? static_cast<Weight>(weight[t * taps + tap]) : Weight{0};
        }
      }
      continue;
    }
    for (int i = 0; i < s.in_channels; i += kCodeChannels) {
      for (int tap = 0; tap < taps; ++tap) {
        for (int t = o; t < o + kCodeChannels; ++t) {
          for (int c = i; c < i + kCodeChannels; ++c) {
            const bool there = t < s.out_channels && c < s.in_channels;
            *packed++ = there
                            ? static_cast<Weight>(weight[(std::int64_t{t} * s.in_channels + c) * taps + tap])
                            : Weight{0};
          }
        }
      }
    }
  }
}

// The sums of `T` output channels at a pixel.
template <class Dot, int T>
ESPALIER_INLINE void sum_pixel(const ConvShape& s, const std::uint8_t* in, const typename Dot::Weight* weight,
                               const std::int32_t* start, Ints (*sums)[kIntVectors]) {
  typename Dot::Sum sum[T] = {};
  const std::int64_t row = std::int64_t{s.in_width} * s.dilation_height * kCodeBytes;
  const std::int64_t plane = std::int64_t{s.in_height} * s.in_width * kCodeBytes;
  for (int i = 0; i < s.in_channels; i += kCodeChannels, in += plane) {
    const std::uint8_t* line = in;
    for (int ky = 0; ky < s.kernel_height; ++ky, line += row) {
      const std::uint8_t* p = line;
      for (int kx = 0; kx < s.kernel_width; ++kx, p += s.dilation_width * kCodeBytes) {
        const typename Dot::Codes codes = Dot::load_codes(p);
        for (int t = 0; t < T; ++t) Dot::add(weight + t * kCodeChannels, codes, sum[t]);
        weight += kCodeChannels * kCodeChannels;
      }
    }
  }
  for (int t = 0; t < T; ++t) {
    for (int v = 0; v < kIntVectors; ++v) sums[t][v] = Dot::total(sum[t], v) + start[t];
  }
}

// take(sums, first channel, output pixel) for every four channels of every pixel.
template <class Dot, class Take>
ESPALIER_INLINE void for_each_sum(const ConvShape& s, const std::uint8_t* in, const void* packed,
                                  const std::int32_t* start, Take&& take) {
  const auto* weight = static_cast<const typename Dot::Weight*>(packed);
  const std::int64_t tile_weights =
      std::int64_t{code_groups(s.in_channels)} * s.taps() * kCodeChannels * kCodeChannels;
  for (int o = 0; o < s.out_channels; o += kCodeChannels, weight += tile_weights) {
    std::int64_t pixel = 0;
    for (int y = 0; y < s.out_height; ++y) {
      for (int x = 0; x < s.out_width; ++x, ++pixel) {
        const std::uint8_t* from =
            in +
            (std::int64_t{y} * s.stride_height * s.in_width + std::int64_t{x} * s.stride_width) * kCodeBytes;
        FourSums sums;
        for (int t = 0; t < kCodeChannels; t += Dot::kTile) {
          sum_pixel<Dot, Dot::kTile>(s, from, weight + t * kCodeChannels, start + o + t, sums + t);
        }
        take(sums, o, pixel);
      }
    }
  }
}

// Products of a depthwise layer fit 16 bits: 255 · 127. Sums are in the order of the bytes, [lane][channel].
inline constexpr int kByteSums = 4 * kIntVectors;
using ByteSums = Ints[kByteSums];

template <class Values>
ESPALIER_INLINE Ints repeat_four(const Values* values) {
  return reinterpret_cast<Ints>([&] {
    alignas(64) Values repeated[kIntWidth];
    for (int i = 0; i < kIntWidth; ++i) repeated[i] = values[i % 4];
    return load_as<Ints>(repeated);
  }());
}

ESPALIER_INLINE void add_bytes(const std::uint8_t* p, Shorts factor, ByteSums& sums) {
  for (int h = 0; h < 2 * kIntVectors; ++h) {
    const Shorts product = widen(p + h * kHalfBytes) * factor;
    HalfShorts halves[2];
    std::memcpy(halves, &product, sizeof(product));
    sums[2 * h] += __builtin_convertvector(halves[0], Ints);
    sums[2 * h + 1] += __builtin_convertvector(halves[1], Ints);
  }
}

ESPALIER_INLINE void store_bytes(const ByteSums& sums, Floats multiplier, const Requantization& r,
                                 std::uint8_t* out) {
  for (int k = 0; k < kByteSums; ++k) {
    const Ints codes = requantize(sums[k], multiplier, r);
    store_as(out + k * kIntWidth, __builtin_convertvector(codes, QuarterBytes));
  }
}

template <class Take>
ESPALIER_INLINE void for_each_depthwise(const ConvShape& s, const std::uint8_t* in, const void* packed,
                                        const std::int32_t* start, Take&& take) {
  const auto* weight = static_cast<const std::int16_t*>(packed);
  for (int o = 0; o < s.out_channels; o += kCodeChannels, weight += s.taps() * kCodeChannels) {
    const Ints first = repeat_four(start + o);
    std::int64_t pixel = 0;
    for (int y = 0; y < s.out_height; ++y) {
      for (int x = 0; x < s.out_width; ++x, ++pixel) {
        ByteSums sums;
        for (Ints& sum : sums) sum = first;
        const std::int16_t* w = weight;
        for (int ky = 0; ky < s.kernel_height; ++ky) {
          const std::int64_t row = std::int64_t{y} * s.stride_height + ky * s.dilation_height;
          const std::uint8_t* p = in + (row * s.in_width + std::int64_t{x} * s.stride_width) * kCodeBytes;
          for (int kx = 0; kx < s.kernel_width; ++kx, w += kCodeChannels) {
            const Shorts factor = reinterpret_cast<Shorts>(load_as<std::int64_t>(w) - Longs{});
            add_bytes(p + std::int64_t{kx} * s.dilation_width * kCodeBytes, factor, sums);
          }
        }
        take(sums, o, pixel);
      }
    }
    in += std::int64_t{s.in_height} * s.in_width * kCodeBytes;
  }
}

template <class Dot>
struct IntegerConv {
  using Weight = typename Dot::Weight;

  static std::int64_t packed_size(const ConvShape& s) {
    const std::int64_t four = std::int64_t{code_groups(s.out_channels)} * s.taps() * kCodeChannels;
    return runs_by_channel(s) ? four * static_cast<std::int64_t>(sizeof(std::int16_t))
                              : four * code_groups(s.in_channels) * kCodeChannels *
                                    static_cast<std::int64_t>(sizeof(Weight));
  }

  static void pack(const ConvShape& s, const std::int8_t* weight, void* packed) {
    if (runs_by_channel(s)) return pack_codes(s, weight, static_cast<std::int16_t*>(packed));
    pack_codes(s, weight, static_cast<Weight*>(packed));
  }

  static void to_codes(const ConvShape& s, const std::uint8_t* in, const void* packed,
                       const Requantization& r, std::uint8_t* out) {
    const std::int64_t plane = std::int64_t{s.out_height} * s.out_width;
    const auto at = [&](int channel, std::int64_t pixel) {
      return out + (channel / kCodeChannels * plane + pixel) * kCodeBytes;
    };
    if (runs_by_channel(s)) {
      for_each_depthwise(s, in, packed, r.start, [&](const ByteSums& sums, int channel, std::int64_t pixel) {
        store_bytes(sums, reinterpret_cast<Floats>(repeat_four(r.multiplier + channel)), r,
                    at(channel, pixel));
      });
      return;
    }
    for_each_sum<Dot>(s, in, packed, r.start, [&](const FourSums& sums, int channel, std::int64_t pixel) {
      store_codes(sums, channel, r, at(channel, pixel));
    });
  }

  static void to_numbers(const ConvShape& s, const std::uint8_t* in, const void* packed,
                         const Requantization& r, real* out) {
    const std::int64_t plane = std::int64_t{s.out_height} * s.out_width;
    if (runs_by_channel(s)) {
      for_each_depthwise(s, in, packed, r.start, [&](const ByteSums& sums, int channel, std::int64_t pixel) {
        alignas(64) std::int32_t values[kCodeBytes];
        std::memcpy(values, sums, sizeof(values));
        for (int t = 0; t < std::min(kCodeChannels, s.out_channels - channel); ++t) {
          real* to = out + ((channel + t) * plane + pixel) * kLanes;
          for (int lane = 0; lane < kLanes; ++lane) {
            to[lane] = static_cast<float>(values[lane * kCodeChannels + t]) * r.multiplier[channel + t];
          }
        }
      });
      return;
    }
    for_each_sum<Dot>(s, in, packed, r.start, [&](const FourSums& sums, int channel, std::int64_t pixel) {
      for (int t = 0; t < std::min(kCodeChannels, s.out_channels - channel); ++t) {
        real* to = out + ((channel + t) * plane + pixel) * kLanes;
        for (int v = 0; v < kIntVectors; ++v) {
          store_numbers(to + v * kIntWidth,
                        __builtin_convertvector(sums[t][v], Floats) * r.multiplier[channel + t]);
        }
      }
    });
  }
};

// ---- pools, sums, and the way between numbers and codes

inline void max_pool_codes(const PoolShape& s, const std::uint8_t* in, std::uint8_t* out) {
  for (int c = 0; c < s.channels; c += kCodeChannels, in += s.in_height * s.in_width * kCodeBytes) {
    for (int y = 0; y < s.out_height; ++y) {
      const Range rows = window(y, s.stride_height, s.pad_top, s.kernel_height, s.in_height);
      for (int x = 0; x < s.out_width; ++x, out += kCodeBytes) {
        const Range columns = window(x, s.stride_width, s.pad_left, s.kernel_width, s.in_width);
        Bytes best[kIntVectors] = {};
        for (int i = rows.begin; i < rows.end; ++i) {
          for (int j = columns.begin; j < columns.end; ++j) {
            for (int v = 0; v < kIntVectors; ++v) {
              const Bytes value =
                  load_as<Bytes>(in + (i * s.in_width + j) * kCodeBytes + v * ESPALIER_VECTOR_BYTES);
              best[v] = value > best[v] ? value : best[v];
            }
          }
        }
        std::memcpy(out, best, sizeof(best));
      }
    }
  }
}

inline void average_pool_codes(const PoolShape& s, int zero_point_in, const std::uint8_t* in,
                               const Requantization& r, std::uint8_t* out) {
  for (int c = 0; c < s.channels; c += kCodeChannels, in += s.in_height * s.in_width * kCodeBytes) {
    for (int y = 0; y < s.out_height; ++y) {
      const Range rows = window(y, s.stride_height, s.pad_top, s.kernel_height, s.in_height);
      for (int x = 0; x < s.out_width; ++x, out += kCodeBytes) {
        const Range columns = window(x, s.stride_width, s.pad_left, s.kernel_width, s.in_width);
        const int count = (rows.end - rows.begin) * (columns.end - columns.begin);
        ByteSums sums;
        for (Ints& sum : sums) sum = -count * zero_point_in - Ints{};
        for (int i = rows.begin; i < rows.end; ++i) {
          for (int j = columns.begin; j < columns.end; ++j) {
            add_bytes(in + (i * s.in_width + j) * kCodeBytes, std::int16_t{1} - Shorts{}, sums);
          }
        }
        // r.multiplier has one for each number of pixels that a window may have.
        store_bytes(sums, r.multiplier[count - 1] - Floats{}, r, out);
      }
    }
  }
}

inline void add_codes(std::int64_t size, const std::uint8_t* a, const std::uint8_t* b, const CodeSum& s,
                      std::uint8_t* out) {
  const auto number = [](const std::uint8_t* p, int zero, float scale) {
    const Ints code = __builtin_convertvector(load_as<QuarterBytes>(p), Ints);
    return __builtin_convertvector(code - zero, Floats) * scale;
  };
  const Floats low = static_cast<float>(s.lowest - s.zero_point) - Floats{};
  const Floats high = static_cast<float>(s.highest - s.zero_point) - Floats{};
  for (std::int64_t i = 0; i < size; i += kIntWidth) {
    Floats x = (number(a + i, s.zero_a, s.scale_a) + number(b + i, s.zero_b, s.scale_b)) / s.scale;
    x = x > low ? x : low;
    x = x < high ? x : high;
    const Floats sum = x + static_cast<float>(s.zero_point);
    const Ints code = reinterpret_cast<Ints>(sum + 12582912.0f) - 0x4b400000;
    store_as(out + i, __builtin_convertvector(code, QuarterBytes));
  }
}

inline void numbers_to_codes(const real* in, int channels, int pixels, float scale, int zero_point,
                             int highest, std::uint8_t* out) {
  for (int c = 0; c < channels; c += kCodeChannels) {
    for (int pixel = 0; pixel < pixels; ++pixel, out += kCodeBytes) {
      for (int v = 0; v < kIntVectors; ++v) {
        Ints word{};
        for (int t = 0; t < std::min(kCodeChannels, channels - c); ++t) {
          const Floats x =
              load_numbers(in + (std::int64_t{c + t} * pixels + pixel) * kLanes + v * kIntWidth) / scale;
          word |= round_to_code(x, static_cast<float>(-zero_point), static_cast<float>(highest - zero_point),
                                zero_point)
                  << (8 * t);
        }
        store_as(out + v * ESPALIER_VECTOR_BYTES, word);
      }
    }
  }
}

inline void codes_to_numbers(const std::uint8_t* in, int channels, int pixels, float scale, int zero_point,
                             real* out) {
  for (int c = 0; c < channels; c += kCodeChannels) {
    for (int pixel = 0; pixel < pixels; ++pixel, in += kCodeBytes) {
      for (int v = 0; v < kIntVectors; ++v) {
        const Ints word = load_as<Ints>(in + v * ESPALIER_VECTOR_BYTES);
        for (int t = 0; t < std::min(kCodeChannels, channels - c); ++t) {
          const Ints code = ((word >> (8 * t)) & 255) - zero_point;
          store_numbers(out + (std::int64_t{c + t} * pixels + pixel) * kLanes + v * kIntWidth,
                        __builtin_convertvector(code, Floats) * scale);
        }
      }
    }
  }
}

template <class Dot>
constexpr IntegerKernels integer_table(std::string_view name) {
  using Conv = IntegerConv<Dot>;
  return {.name = name,
          .lanes = kLanes,
          .conv_packed_size = Conv::packed_size,
          .conv_pack = Conv::pack,
          .conv_to_codes = Conv::to_codes,
          .conv_to_numbers = Conv::to_numbers,
          .max_pool = max_pool_codes,
          .average_pool = average_pool_codes,
          .add = add_codes,
          .to_codes = numbers_to_codes,
          .to_numbers = codes_to_numbers};
}

// Fastest first; null ends the list.
constinit const IntegerKernels kWide = integer_table<WideDot>("16-bit products");
#if defined(__wasm_relaxed_simd__)
constinit const IntegerKernels kRelaxed = integer_table<RelaxedDot>("relaxed dot product");
constinit const IntegerKernels* const kIntegerKernels[] = {&kRelaxed, &kWide, nullptr};
#else
constinit const IntegerKernels* const kIntegerKernels[] = {&kWide, nullptr};
#endif
