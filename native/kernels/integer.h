// Loops over code maps (kernels/integer_kernels.h has the layout): integers in, bytes or numbers out.

inline constexpr int kCodeBytes = kLanes * kCodeChannels;               // of a pixel
inline constexpr int kIntVectors = kCodeBytes / ESPALIER_VECTOR_BYTES;  // … in vectors; also of int32 lanes
// A map of single images has L = 1 and neighbouring pixels in the place of lanes: a vector of results runs
// over the end of a row, and the next row or four channels, written later, take its place.
template <int L>
inline constexpr int kPixelBytes = L * kCodeChannels;
// From pixel to pixel of a row; several at once where single images are taken in steps of one.
template <int L>
ESPALIER_INLINE int pixels_at_once(int stride) {
  return L == kLanes || stride != 1 ? 1 : kLanes / L;
}
inline constexpr int kHalfBytes = ESPALIER_VECTOR_BYTES / 2;

using Bytes __attribute__((vector_size(ESPALIER_VECTOR_BYTES))) = std::uint8_t;
using HalfBytes __attribute__((vector_size(kHalfBytes))) = std::uint8_t;
using QuarterBytes __attribute__((vector_size(kHalfBytes / 2))) = std::uint8_t;
using Shorts __attribute__((vector_size(ESPALIER_VECTOR_BYTES))) = std::int16_t;
using HalfShorts __attribute__((vector_size(kHalfBytes))) = std::int16_t;
using Ints __attribute__((vector_size(ESPALIER_VECTOR_BYTES))) = std::int32_t;
using HalfInts __attribute__((vector_size(kHalfBytes))) = std::int32_t;
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

// Four bytes as shorts, again and again.
template <class Byte>
ESPALIER_INLINE Shorts spread_shorts(const Byte* p) {
  using Half __attribute__((vector_size(kHalfBytes))) = Byte;
  return __builtin_convertvector(reinterpret_cast<Half>(load_as<std::int32_t>(p) - HalfInts{}), Shorts);
}

// `Count` numbers again and again.
template <class V, int Count, class Number>
ESPALIER_INLINE V repeat(const Number* p) {
  if constexpr (sizeof(V) == Count * sizeof(Number)) {
    return load_as<V>(p);
  } else {
    using Some __attribute__((vector_size(Count * sizeof(Number)))) = Number;
    const auto some = load_as<Some>(p);
    return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
      return reinterpret_cast<V>(__builtin_shufflevector(some, some, (I % Count)...));
    }(std::make_integer_sequence<int, sizeof(V) / sizeof(Number)>());
  }
}

// In each 16 bytes: the first (half = 0) or last eight of a and b, `size` bytes of one and of the other.
constexpr int interleaved(int size, int half, int i, int width) {
  const int unit = i % 16 / size;
  const int from = i / 16 * 16 + half * 8 + unit / 2 * size + i % size;
  return unit % 2 ? from + width : from;
}
template <int Size, int Half, class V>
ESPALIER_INLINE V interleave(V a, V b) {
  return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    return __builtin_shufflevector(a, b, interleaved(Size, Half, I, sizeof(V))...);
  }(std::make_integer_sequence<int, sizeof(V)>());
}
// The bytes of a, b, c and d side by side: [i][a, b, c, d]. In each 16 bytes of the k-th result, those of the
// k-th four.
template <class V>
ESPALIER_INLINE void interleave_four(V a, V b, V c, V d, V (&result)[4]) {
  const V low[2] = {interleave<1, 0>(a, b), interleave<1, 0>(c, d)};
  const V high[2] = {interleave<1, 1>(a, b), interleave<1, 1>(c, d)};
  result[0] = interleave<2, 0>(low[0], low[1]);
  result[1] = interleave<2, 1>(low[0], low[1]);
  result[2] = interleave<2, 0>(high[0], high[1]);
  result[3] = interleave<2, 1>(high[0], high[1]);
}
// Back again: integers from 0 to 255 as bytes, in each 16 four of each.
ESPALIER_INLINE Bytes narrow_four(Ints a, Ints b, Ints c, Ints d) {
#if defined(__wasm_simd128__)
  const auto pairs = [](Ints x, Ints y) {
    return wasm_i16x8_narrow_i32x4(reinterpret_cast<v128_t>(x), reinterpret_cast<v128_t>(y));
  };
  return reinterpret_cast<Bytes>(wasm_u8x16_narrow_i16x8(pairs(a, b), pairs(c, d)));
#elif ESPALIER_VECTOR_BYTES == 64 && defined(__AVX512BW__)
  const auto pairs = [](Ints x, Ints y) {
    return _mm512_packs_epi32(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(y));
  };
  return reinterpret_cast<Bytes>(_mm512_packus_epi16(pairs(a, b), pairs(c, d)));
#elif ESPALIER_VECTOR_BYTES == 32 && defined(__AVX2__)
  const auto pairs = [](Ints x, Ints y) {
    return _mm256_packs_epi32(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(y));
  };
  return reinterpret_cast<Bytes>(_mm256_packus_epi16(pairs(a, b), pairs(c, d)));
#elif ESPALIER_VECTOR_BYTES == 16 && defined(__SSE2__)
  const auto pairs = [](Ints x, Ints y) {
    return _mm_packs_epi32(reinterpret_cast<__m128i>(x), reinterpret_cast<__m128i>(y));
  };
  return reinterpret_cast<Bytes>(_mm_packus_epi16(pairs(a, b), pairs(c, d)));
#else
  Bytes bytes;
  const Ints* const from[] = {&a, &b, &c, &d};
  for (int i = 0; i < ESPALIER_VECTOR_BYTES; ++i) {
    bytes[i] = static_cast<std::uint8_t>((*from[i / 4 % 4])[i / 16 * 4 + i % 4]);
  }
  return bytes;
#endif
}

// ---- dot products of four channels

// Products of 16 bits, exact on every processor.
struct WideDot {
  static constexpr int kSumVectors = 2 * kIntVectors;  // of a Sum
  using Weight = std::int16_t;
  using Splat = Shorts;  // four weights, again and again
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
  ESPALIER_INLINE static Splat splat(const Weight* weight) {
    return reinterpret_cast<Shorts>(load_as<std::int64_t>(weight) - Longs{});
  }
  ESPALIER_INLINE static Splat splat_bytes(const std::int8_t* weight) { return spread_shorts(weight); }
  ESPALIER_INLINE static void add(const Splat& w, const Codes& codes, Sum& sum) {
    for (int v = 0; v < kIntVectors; ++v) {
      sum.low[v] += multiply_pairs(codes.low[v], w);
      sum.high[v] += multiply_pairs(codes.high[v], w);
    }
  }
  // Quads of four channels side by side, each with its own four weights: [channel][4].
  ESPALIER_INLINE static void add_channels(const Weight* weight, const Codes& codes, Sum& sum) {
    // A short vector has but two channels.
    constexpr int kCount = std::min(ESPALIER_VECTOR_BYTES / 2, 16);
    const Shorts low = repeat<Shorts, kCount>(weight), high = repeat<Shorts, kCount>(weight + 16 - kCount);
    for (int v = 0; v < kIntVectors; ++v) {
      sum.low[v] += multiply_pairs(codes.low[v], low);
      sum.high[v] += multiply_pairs(codes.high[v], high);
    }
  }
  // Four channels of one pixel, with the weights of kLanes output channels in the place of lanes.
  ESPALIER_INLINE static void add_outputs(const Weight* weight, const std::uint8_t* pixel, Sum& sum) {
    const Shorts code = spread_shorts(pixel);
    for (int v = 0; v < kIntVectors; ++v, weight += ESPALIER_VECTOR_BYTES) {
      sum.low[v] += multiply_pairs(load_as<Shorts>(weight), code);
      sum.high[v] += multiply_pairs(load_as<Shorts>(weight + kHalfBytes), code);
    }
  }
  ESPALIER_INLINE static void add_sum(const Sum& from, Sum& to) {
    for (int v = 0; v < kIntVectors; ++v) {
      to.low[v] += from.low[v];
      to.high[v] += from.high[v];
    }
  }
  ESPALIER_INLINE static Ints total(const Sum& sum, int v) { return add_pairs(sum.low[v], sum.high[v]); }
};

#if defined(__wasm_relaxed_simd__)
// One instruction for four products. The standard leaves open what it gives for codes above 127, so it is
// taken only where known answers come out right (integer_kernels()).
struct RelaxedDot {
  static constexpr int kSumVectors = kIntVectors;
  using Weight = std::int8_t;
  using Splat = v128_t;
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
  ESPALIER_INLINE static Splat splat(const Weight* weight) { return wasm_v128_load32_splat(weight); }
  ESPALIER_INLINE static Splat splat_bytes(const std::int8_t* weight) { return splat(weight); }
  ESPALIER_INLINE static void add(Splat w, const Codes& codes, Sum& sum) {
    for (int v = 0; v < kIntVectors; ++v) {
      sum.v[v] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(w, codes.v[v], sum.v[v]);
    }
  }
  ESPALIER_INLINE static void add_channels(const Weight* weight, const Codes& codes, Sum& sum) {
    add(wasm_v128_load(weight), codes, sum);
  }
  ESPALIER_INLINE static void add_outputs(const Weight* weight, const std::uint8_t* pixel, Sum& sum) {
    const v128_t code = wasm_v128_load32_splat(pixel);
    for (int v = 0; v < kIntVectors; ++v) {
      const v128_t w = wasm_v128_load(weight + v * ESPALIER_VECTOR_BYTES);
      sum.v[v] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(w, code, sum.v[v]);
    }
  }
  ESPALIER_INLINE static void add_sum(const Sum& from, Sum& to) {
    for (int v = 0; v < kIntVectors; ++v) to.v[v] = wasm_i32x4_add(to.v[v], from.v[v]);
  }
  ESPALIER_INLINE static Ints total(const Sum& sum, int v) { return reinterpret_cast<Ints>(sum.v[v]); }
};
#endif

#if defined(__AVX512VNNI__) && ESPALIER_VECTOR_BYTES == 64
#define ESPALIER_VNNI_DOT
using DotVector = __m512i;
ESPALIER_INLINE DotVector dot_add(DotVector codes, DotVector weights, DotVector sum) {
  return _mm512_dpbusd_epi32(sum, codes, weights);
}
#elif defined(__AVXVNNI__) && ESPALIER_VECTOR_BYTES == 32
#define ESPALIER_VNNI_DOT
using DotVector = __m256i;
ESPALIER_INLINE DotVector dot_add(DotVector codes, DotVector weights, DotVector sum) {
  return _mm256_dpbusd_avx_epi32(sum, codes, weights);
}
#endif
#if defined(ESPALIER_VNNI_DOT)
// One instruction for four products, exact.
struct VnniDot {
  static constexpr int kSumVectors = kIntVectors;
  using Weight = std::int8_t;
  using Splat = DotVector;
  struct Codes {
    DotVector v[kIntVectors];
  };
  struct Sum {
    DotVector v[kIntVectors];
  };

  ESPALIER_INLINE static Codes load_codes(const std::uint8_t* p) {
    Codes codes;
    for (int v = 0; v < kIntVectors; ++v) codes.v[v] = load_as<DotVector>(p + v * ESPALIER_VECTOR_BYTES);
    return codes;
  }
  ESPALIER_INLINE static Splat splat(const Weight* weight) {
    return reinterpret_cast<DotVector>(load_as<std::int32_t>(weight) - Ints{});
  }
  ESPALIER_INLINE static Splat splat_bytes(const std::int8_t* weight) { return splat(weight); }
  ESPALIER_INLINE static void add(const Splat& w, const Codes& codes, Sum& sum) {
    for (int v = 0; v < kIntVectors; ++v) sum.v[v] = dot_add(codes.v[v], w, sum.v[v]);
  }
  ESPALIER_INLINE static void add_channels(const Weight* weight, const Codes& codes, Sum& sum) {
    add(repeat<DotVector, 16>(weight), codes, sum);
  }
  ESPALIER_INLINE static void add_outputs(const Weight* weight, const std::uint8_t* pixel, Sum& sum) {
    const auto code = reinterpret_cast<DotVector>(load_as<std::int32_t>(pixel) - Ints{});
    for (int v = 0; v < kIntVectors; ++v) {
      sum.v[v] = dot_add(code, load_as<DotVector>(weight + v * ESPALIER_VECTOR_BYTES), sum.v[v]);
    }
  }
  ESPALIER_INLINE static void add_sum(const Sum& from, Sum& to) {
    for (int v = 0; v < kIntVectors; ++v) {
      to.v[v] =
          reinterpret_cast<DotVector>(reinterpret_cast<Ints>(to.v[v]) + reinterpret_cast<Ints>(from.v[v]));
    }
  }
  ESPALIER_INLINE static Ints total(const Sum& sum, int v) { return reinterpret_cast<Ints>(sum.v[v]); }
};
#endif

// Sums that the registers hold beside codes and weights: as many as keep the arithmetic units busy.
template <class Dot>
inline constexpr int kSums = (kRegisters == 32 ? 16 : 8) / Dot::kSumVectors;

// ---- from sums to codes

ESPALIER_INLINE Floats limit(Floats x, Floats low, Floats high) {
#if defined(__wasm_simd128__)
  // One instruction each, where a selection is several.
  return reinterpret_cast<Floats>(
      wasm_f32x4_pmin(wasm_f32x4_pmax(reinterpret_cast<v128_t>(x), reinterpret_cast<v128_t>(low)),
                      reinterpret_cast<v128_t>(high)));
#else
  x = x > low ? x : low;
  return x < high ? x : high;
#endif
}
// round_half_even of a number below 2^22, as kRounded more than it is.
inline constexpr std::int32_t kRounded = 0x4b400000;  // the bits of 1.5 · 2^23, whose last bit is worth 1
ESPALIER_INLINE Ints round(Floats x) { return reinterpret_cast<Ints>(x + 12582912.0f); }
ESPALIER_INLINE Ints round_to_code(Floats x, float lowest, float highest, int zero_point) {
  return round(limit(x, lowest - Floats{}, highest - Floats{})) - (kRounded - zero_point);
}

// As kRounded - zero_point more than the code.
ESPALIER_INLINE Ints requantize_rounded(Ints sum, Floats multiplier, const Requantization& r) {
  return round(limit(__builtin_convertvector(sum, Floats) * multiplier,
                     static_cast<float>(r.lowest - r.zero_point) - Floats{},
                     static_cast<float>(r.highest - r.zero_point) - Floats{}));
}
ESPALIER_INLINE Ints requantize(Ints sum, Floats multiplier, const Requantization& r) {
  return requantize_rounded(sum, multiplier, r) - (kRounded - r.zero_point);
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
  // Four codes are a word; what each has too much is taken away from all of it.
  const auto excess =
      static_cast<std::int32_t>(static_cast<std::uint32_t>(kRounded - r.zero_point) * 0x01010101u);
  for (int v = 0; v < kIntVectors; ++v) {
    Ints word = -excess - Ints{};
    for (int t = 0; t < kCodeChannels; ++t) {
      word += requantize_rounded(sums[t][v], r.multiplier[channel + t] - Floats{}, r) << (8 * t);
    }
    store_as(out + v * ESPALIER_VECTOR_BYTES, word);
  }
}

// ---- convolution

inline bool runs_by_channel(const ConvShape& s) { return s.groups > 1; }

// A dense layer of a single image: one pixel out, output channels in the place of lanes.
template <int L>
inline bool runs_by_output(const ConvShape& s) {
  return L == 1 && s.groups == 1 && s.out_height * s.out_width == 1 && s.kernel_height == s.in_height &&
         s.kernel_width == s.in_width;
}

// What a dot product of four runs over: channels, and at each the taps; depthwise rows of taps, and at each
// those of a row. A weight is [out][depth][across] either way.
struct Products {
  int depth, across;
};
inline Products products_of(const ConvShape& s) {
  return runs_by_channel(s) ? Products{s.kernel_height, s.kernel_width} : Products{s.in_channels, s.taps()};
}

// weight: [out / tile][depth / 4][across][tile out][4 of depth], zeros where there is none. `tile` is four,
// or the lanes. visit(place, weight's index or -1) for every place.
template <class Visit>
inline void for_each_place(const ConvShape& s, int tile, Visit&& visit) {
  const auto [depth, across] = products_of(s);
  std::int64_t place = 0;
  for (int o = 0; o < s.out_channels; o += tile) {
    for (int i = 0; i < depth; i += kCodeChannels) {
      for (int tap = 0; tap < across; ++tap) {
        for (int t = o; t < o + tile; ++t) {
          for (int c = i; c < i + kCodeChannels; ++c) {
            const bool there = t < s.out_channels && c < depth;
            visit(place++, there ? (std::int64_t{t} * depth + c) * across + tap : -1);
          }
        }
      }
    }
  }
}

template <class Weight>
inline void pack_codes(const ConvShape& s, int tile, const std::int8_t* weight, Weight* packed) {
  for_each_place(s, tile, [&](std::int64_t place, std::int64_t index) {
    packed[place] = index < 0 ? Weight{0} : static_cast<Weight>(weight[index]);
  });
}
template <class Weight>
inline void unpack_codes(const ConvShape& s, int tile, const Weight* packed, std::int8_t* weight) {
  for_each_place(s, tile, [&](std::int64_t place, std::int64_t index) {
    if (index >= 0) weight[index] = static_cast<std::int8_t>(packed[place]);
  });
}

// The sums of T output channels, from `first` of the tile on, at P neighbouring pixels.
template <class Dot, int T, int P, int L>
ESPALIER_INLINE void sum_pixels(const ConvShape& s, const std::uint8_t* in,
                                const typename Dot::Weight* weight, const std::int32_t* start, int first,
                                FourSums* sums) {
  typename Dot::Sum sum[P][T] = {};
  const std::int64_t row = std::int64_t{s.in_width} * s.dilation_height * kPixelBytes<L>;
  const std::int64_t plane = std::int64_t{s.in_height} * s.in_width * kPixelBytes<L>;
  const int step = s.stride_width * kPixelBytes<L>;
  weight += first * kCodeChannels;
  for (int i = 0; i < s.in_channels; i += kCodeChannels, in += plane) {
    const std::uint8_t* line = in;
    for (int ky = 0; ky < s.kernel_height; ++ky, line += row) {
      const std::uint8_t* at = line;
      for (int kx = 0; kx < s.kernel_width; ++kx, at += s.dilation_width * kPixelBytes<L>) {
        typename Dot::Codes codes[P];
        for (int p = 0; p < P; ++p) codes[p] = Dot::load_codes(at + p * step);
        for (int t = 0; t < T; ++t) {
          const typename Dot::Splat w = Dot::splat(weight + t * kCodeChannels);
          for (int p = 0; p < P; ++p) Dot::add(w, codes[p], sum[p][t]);
        }
        weight += kCodeChannels * kCodeChannels;
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < kIntVectors; ++v) {
        sums[p][first + t][v] = Dot::total(sum[p][t], v) + start[first + t];
      }
    }
  }
}

// visit<P>(x) for the pixels of a row, P at a time; the last ones overlap those before. A row that is shorter
// than P is taken one by one.
template <int P, class Visit>
ESPALIER_INLINE void for_each_strip(int width, int step, Visit&& visit) {
  if (P > 1 && width >= P) {
    for (int x = 0; x < width; x += P) visit.template operator()<P>(x + P <= width ? x : width - P);
  } else {
    for (int x = 0; x < width; x += step) visit.template operator()<1>(x);
  }
}

// The pixels of a 1 x 1 kernel know no rows: they are a long one.
inline ConvShape one_row(ConvShape s) {
  if (s.groups == 1 && s.taps() == 1 && s.stride_height == 1 && s.stride_width == 1 &&
      s.in_height == s.out_height && s.in_width == s.out_width) {
    s.in_width = s.out_width = s.out_height * s.out_width;
    s.in_height = s.out_height = 1;
  }
  return s;
}

// take(sums, first channel, output pixel) for every four channels of every pixel.
template <class Dot, int L, class Take>
ESPALIER_INLINE void for_each_sum(const ConvShape& s, const std::uint8_t* in, const void* packed,
                                  const std::int32_t* start, Take&& take) {
  constexpr int kTile = std::min(kSums<Dot>, kCodeChannels);
  constexpr int kPixels = L == kLanes ? kSums<Dot> / kTile : 1;
  const auto* weight = static_cast<const typename Dot::Weight*>(packed);
  const std::int64_t tile_weights =
      std::int64_t{code_groups(s.in_channels)} * s.taps() * kCodeChannels * kCodeChannels;
  for (int o = 0; o < s.out_channels; o += kCodeChannels, weight += tile_weights) {
    for (int y = 0; y < s.out_height; ++y) {
      for_each_strip<kPixels>(s.out_width, pixels_at_once<L>(s.stride_width), [&]<int P>(int x) {
        const std::uint8_t* from =
            in + (std::int64_t{y} * s.stride_height * s.in_width + std::int64_t{x} * s.stride_width) *
                     kPixelBytes<L>;
        FourSums sums[P];
        for (int first = 0; first < kCodeChannels; first += kTile) {
          sum_pixels<Dot, kTile, P, L>(s, from, weight, start + o, first, sums);
        }
        for (int p = 0; p < P; ++p) take(sums[p], o, y, x + p);
      });
    }
  }
}

// take(sums, first channel) for every kLanes output channels.
template <class Dot, class Take>
ESPALIER_INLINE void for_each_output(const ConvShape& s, const std::uint8_t* in, const void* packed,
                                     const std::int32_t* start, Take&& take) {
  constexpr int kChains = 4;  // of sums that do not wait for each other
  const auto* weight = static_cast<const typename Dot::Weight*>(packed);
  const int words = code_groups(s.in_channels) * s.taps();
  for (int o = 0; o < s.out_channels; o += kLanes) {
    typename Dot::Sum sum[kChains] = {};
    int i = 0;
    for (; i + kChains <= words; i += kChains) {
      for (int k = 0; k < kChains; ++k, weight += kCodeBytes) {
        Dot::add_outputs(weight, in + (i + k) * kCodeChannels, sum[k]);
      }
    }
    for (; i < words; ++i, weight += kCodeBytes) Dot::add_outputs(weight, in + i * kCodeChannels, sum[0]);
    for (int v = 0; v < kIntVectors; ++v) {
      Ints total = load_as<Ints>(start + o + v * kIntWidth);
      for (int k = 0; k < kChains; ++k) total += Dot::total(sum[k], v);
      take(total, o + v * kIntWidth);
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

// ---- what becomes of the sums of four channels

template <int L>
struct StoreCodes {
  const ConvShape& s;
  const Requantization& r;
  std::uint8_t* out;

  ESPALIER_INLINE void operator()(const FourSums& sums, int channel, int y, int x) const {
    const std::int64_t row = std::int64_t{channel / kCodeChannels} * s.out_height + y;
    store_codes(sums, channel, r, out + (row * s.out_width + x) * kPixelBytes<L>);
  }
};

// Lanes of this block, or pixels of this row. `order` says which number of four sums, as they lie in memory,
// is that of a lane and a channel.
template <int L, class Order>
ESPALIER_INLINE void store_sums(const ConvShape& s, const Requantization& r, const FourSums& sums,
                                int channel, int y, int x, real* out, Order&& order) {
  alignas(64) std::int32_t values[kCodeBytes];
  std::memcpy(values, sums, sizeof(values));
  const int pixels = std::min(pixels_at_once<L>(s.stride_width), s.out_width - x);
  for (int t = 0; t < std::min(kCodeChannels, s.out_channels - channel); ++t) {
    real* to = out + ((std::int64_t{channel + t} * s.out_height + y) * s.out_width + x) * L;
    for (int i = 0; i < pixels * L; ++i) {
      to[i] = static_cast<float>(values[order(i, t)]) * r.multiplier[channel + t];
    }
  }
}

// Codes or numbers, whichever are wanted: the loops around are there once.
struct Output {
  std::uint8_t* codes;
  real* numbers;  // null: codes
};
template <int L>
struct Store {
  const ConvShape& s;
  const Requantization& r;
  Output out;

  ESPALIER_INLINE void operator()(const FourSums& sums, int channel, int y, int x) const {
    if (!out.numbers) return StoreCodes<L>{s, r, out.codes}(sums, channel, y, x);
    store_sums<L>(s, r, sums, channel, y, x, out.numbers, [](int lane, int t) { return t * kLanes + lane; });
  }
};

// Of a dense layer of a single image: neighbouring outputs.
struct StoreOutputs {
  const Requantization& r;
  Output out;

  ESPALIER_INLINE void operator()(Ints sums, int channel) const {
    const auto multiplier = load_as<Floats>(r.multiplier + channel);
    if (out.numbers) {
      return store_numbers(out.numbers + channel, __builtin_convertvector(sums, Floats) * multiplier);
    }
    store_as(out.codes + channel, __builtin_convertvector(requantize(sums, multiplier, r), QuarterBytes));
  }
};

#include "kernels/integer_depthwise.h"

#include "kernels/integer_sparse.h"

#include "kernels/unpack_bits.h"

template <class Dot, int L>
struct IntegerConv {
  using Weight = typename Dot::Weight;

  static int tile(const ConvShape& s) { return runs_by_output<L>(s) ? kLanes : kCodeChannels; }

  static std::int64_t packed_count(const ConvShape& s) {
    const auto [depth, across] = products_of(s);
    const std::int64_t outputs = (s.out_channels + tile(s) - 1) / tile(s) * tile(s);
    return outputs * across * code_groups(depth) * kCodeChannels;
  }
  static std::int64_t packed_size(const ConvShape& s) {
    return packed_count(s) * static_cast<std::int64_t>(sizeof(Weight));
  }

  static void pack(const ConvShape& s, const std::int8_t* weight, void* packed) {
    for_each_place(s, tile(s), [&](std::int64_t place, std::int64_t index) {
      static_cast<Weight*>(packed)[place] = index < 0 ? Weight{0} : static_cast<Weight>(weight[index]);
    });
  }
  static void unpack(const ConvShape& s, const void* packed, std::int8_t* weight) {
    for_each_place(s, tile(s), [&](std::int64_t place, std::int64_t index) {
      if (index >= 0) weight[index] = static_cast<std::int8_t>(static_cast<const Weight*>(packed)[place]);
    });
  }

  static void spread(const ConvShape& s, int bits, const std::uint8_t* stream, void* packed) {
    const std::int64_t count = packed_count(s);
    auto* weight = static_cast<Weight*>(packed);
    spread_bits(bits, stream, count, weight);
    if (bits > 1) return;
    // A bit is 1 or -1: what meets no channel is not there, but must be 0.
    const auto [depth, across] = products_of(s);
    const std::int64_t last = std::int64_t{across} * tile(s) * kCodeChannels;
    for (std::int64_t i = count - last; i < count; ++i) {
      if (depth % kCodeChannels && i % kCodeChannels >= depth % kCodeChannels) weight[i] = 0;
    }
  }

  static void run(const ConvShape& shape, const std::uint8_t* in, const void* packed, const Requantization& r,
                  Output out) {
    if (runs_by_output<L>(shape)) {
      return for_each_output<Dot>(shape, in, packed, r.start, StoreOutputs{r, out});
    }
    const ConvShape s = one_row(shape);
    if (runs_by_channel(s)) {
      for_each_depthwise<Dot, L>(s, in, packed, r.start, StoreDepthwise<L>{s, r, out});
    } else {
      for_each_sum<Dot, L>(s, in, packed, r.start, Store<L>{s, r, out});
    }
  }
};

// The two functions of the table for a way to run.
template <class Way>
[[gnu::noinline]] void run_way(const ConvShape& s, const std::uint8_t* in, const void* packed,
                               const Requantization& r, Output out) {
  Way::run(s, in, packed, r, out);
}
template <class Way>
void to_codes(const ConvShape& s, const std::uint8_t* in, const void* packed, const Requantization& r,
              std::uint8_t* out) {
  run_way<Way>(s, in, packed, r, {.codes = out, .numbers = nullptr});
}
template <class Way>
void to_numbers(const ConvShape& s, const std::uint8_t* in, const void* packed, const Requantization& r,
                real* out) {
  run_way<Way>(s, in, packed, r, {.codes = nullptr, .numbers = out});
}

// ---- few channels: the taps of a row as channels

// The bytes of one channel of a pixel, at the place of channel t.
ESPALIER_INLINE Ints move_channel(Ints word, int channel, int t) {
  return ((word >> (8 * channel)) & 255) << (8 * t);
}

template <int L>
inline void gather_taps(const ConvShape& s, int zero_point, const std::uint8_t* in, std::uint8_t* out) {
  const int taps = s.kernel_width * s.in_channels;
  const int rows = (s.out_height - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
  const int at_once = pixels_at_once<L>(s.stride_width);
  for (int first = 0; first < taps; first += kCodeChannels) {
    const int count = std::min(kCodeChannels, taps - first);
    const bool one_channel =
        s.in_channels == 1 && count == kCodeChannels;  // the usual case, without questions
    int shift[kCodeChannels] = {}, channel[kCodeChannels] = {};
    for (int t = 0; t < count; ++t) {
      shift[t] = (first + t) / s.in_channels * s.dilation_width - s.pad_left;
      channel[t] = (first + t) % s.in_channels;
    }
    for (int y = 0; y < rows; ++y, out += s.out_width * kPixelBytes<L>) {
      const int from = y - s.pad_top;
      const bool inside = from >= 0 && from < s.in_height;
      const std::uint8_t* row = in + std::int64_t{inside ? from : 0} * s.in_width * kPixelBytes<L>;
      int step = 1;
      for (int x = 0; x < s.out_width; x += step) {
        // Several pixels if all their taps lie inside the row.
        const int begin = x * s.stride_width + shift[0], end = x * s.stride_width + shift[count - 1];
        step = inside && begin >= 0 && end + at_once <= s.in_width ? at_once : 1;
        Ints words[kIntVectors] = {};
        if (one_channel && inside && begin >= 0 && end + step <= s.in_width) {
          const std::uint8_t* p = row + std::int64_t{begin} * kPixelBytes<L>;
          const std::int64_t next = std::int64_t{s.dilation_width} * kPixelBytes<L>;
          for (int v = 0; v < kIntVectors; ++v, p += ESPALIER_VECTOR_BYTES) {
            words[v] = move_channel(load_as<Ints>(p), 0, 0) | move_channel(load_as<Ints>(p + next), 0, 1) |
                       move_channel(load_as<Ints>(p + 2 * next), 0, 2) |
                       move_channel(load_as<Ints>(p + 3 * next), 0, 3);
          }
          std::memcpy(out + std::int64_t{x} * kPixelBytes<L>, words, sizeof(words));
          continue;
        }
        for (int t = 0; t < count; ++t) {
          const int column = x * s.stride_width + shift[t];
          const bool there = inside && column >= 0 && column < s.in_width;
          const std::uint8_t* p = row + std::int64_t{there ? column : 0} * kPixelBytes<L>;
          for (int v = 0; v < kIntVectors; ++v) {
            words[v] |= there ? move_channel(load_as<Ints>(p + v * ESPALIER_VECTOR_BYTES), channel[t], t)
                              : (zero_point << (8 * t)) - Ints{};
          }
        }
        std::memcpy(out + std::int64_t{x} * kPixelBytes<L>, words, sizeof(words));
      }
    }
  }
}

// ---- pools, sums, and the way between numbers and codes

template <int L>
inline void max_pool_codes(const PoolShape& s, const std::uint8_t* in, std::uint8_t* out) {
  for (int c = 0; c < s.channels; c += kCodeChannels, in += s.in_height * s.in_width * kPixelBytes<L>) {
    for (int y = 0; y < s.out_height; ++y) {
      const Range rows = window(y, s.stride_height, s.pad_top, s.kernel_height, s.in_height);
      for (int x = 0; x < s.out_width; ++x, out += kPixelBytes<L>) {
        const Range columns = window(x, s.stride_width, s.pad_left, s.kernel_width, s.in_width);
        Bytes best[kIntVectors] = {};
        for (int i = rows.begin; i < rows.end; ++i) {
          for (int j = columns.begin; j < columns.end; ++j) {
            for (int v = 0; v < kIntVectors; ++v) {
              const Bytes value =
                  load_as<Bytes>(in + (i * s.in_width + j) * kPixelBytes<L> + v * ESPALIER_VECTOR_BYTES);
              best[v] = value > best[v] ? value : best[v];
            }
          }
        }
        std::memcpy(out, best, kPixelBytes<L>);
      }
    }
  }
}

template <int L>
inline void average_pool_codes(const PoolShape& s, int zero_point_in, const std::uint8_t* in,
                               const Requantization& r, std::uint8_t* out) {
  for (int c = 0; c < s.channels; c += kCodeChannels, in += s.in_height * s.in_width * kPixelBytes<L>) {
    for (int y = 0; y < s.out_height; ++y) {
      const Range rows = window(y, s.stride_height, s.pad_top, s.kernel_height, s.in_height);
      for (int x = 0; x < s.out_width; ++x, out += kPixelBytes<L>) {
        const Range columns = window(x, s.stride_width, s.pad_left, s.kernel_width, s.in_width);
        const int count = (rows.end - rows.begin) * (columns.end - columns.begin);
        ByteSums sums;
        for (Ints& sum : sums) sum = -count * zero_point_in - Ints{};
        for (int i = rows.begin; i < rows.end; ++i) {
          for (int j = columns.begin; j < columns.end; ++j) {
            add_bytes(in + (i * s.in_width + j) * kPixelBytes<L>, std::int16_t{1} - Shorts{}, sums);
          }
        }
        // r.multiplier has one for each number of pixels that a window may have.
        store_bytes(sums, r.multiplier[count - 1] - Floats{}, r,
                    out);  // of single images: in order, as above
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
  const auto low = static_cast<float>(s.lowest - s.zero_point);
  const auto high = static_cast<float>(s.highest - s.zero_point);
  for (std::int64_t i = 0; i < size; i += kIntWidth) {
    const Floats x = (number(a + i, s.zero_a, s.scale_a) + number(b + i, s.zero_b, s.scale_b)) / s.scale;
    store_as(out + i, __builtin_convertvector(round_to_code(x, low, high, s.zero_point), QuarterBytes));
  }
}

template <int L>
inline void numbers_to_codes(const real* in, int channels, int pixels, float scale, int zero_point,
                             int highest, std::uint8_t* out) {
  const int numbers = pixels * L;
  for (int c = 0; c < channels; c += kCodeChannels, out += std::int64_t{numbers} * kCodeChannels) {
    for (int i = 0; i < numbers; i += kIntWidth) {
      Ints word{};
      for (int t = 0; t < std::min(kCodeChannels, channels - c); ++t) {
        const Floats x = load_numbers(in + std::int64_t{c + t} * numbers + i) / scale;
        word |= round_to_code(x, static_cast<float>(-zero_point), static_cast<float>(highest - zero_point),
                              zero_point)
                << (8 * t);
      }
      store_as(out + std::int64_t{i} * kCodeChannels, word);
    }
  }
}

template <int L>
inline void codes_to_numbers(const std::uint8_t* in, int channels, int pixels, float scale, int zero_point,
                             real* out) {
  const int numbers = pixels * L;
  for (int c = 0; c < channels; ++c, out += numbers) {
    const std::uint8_t* from = in + std::int64_t{c / kCodeChannels} * numbers * kCodeChannels;
    for (int i = 0; i < numbers; i += kIntWidth) {
      const Ints word = load_as<Ints>(from + std::int64_t{i} * kCodeChannels);
      const Ints code = ((word >> (8 * (c % kCodeChannels))) & 255) - zero_point;
      store_numbers(out + i, __builtin_convertvector(code, Floats) * scale);
    }
  }
}

template <class Dot, int L>
constexpr IntegerKernels integer_table(std::string_view name) {
  using Conv = IntegerConv<Dot, L>;
  using Sparse = SparseConv<Dot, L>;
  return {.name = name,
          .lanes = L,
          .weight_bytes = sizeof(typename Dot::Weight),
          .conv_packed_size = Conv::packed_size,
          .conv_pack = Conv::pack,
          .conv_unpack = training_only(Conv::unpack),
          .conv_to_codes = to_codes<Conv>,
          .conv_to_numbers = to_numbers<Conv>,
          .conv_tile = Conv::tile,
          .conv_spread = Conv::spread,
          .spread_levels = spread_levels,
          .sparse_packed_size = Sparse::packed_size,
          .sparse_pack = Sparse::pack,
          .sparse_unpack = training_only(Sparse::unpack),
          .sparse_to_codes = to_codes<Sparse>,
          .sparse_to_numbers = to_numbers<Sparse>,
          .gather_taps = gather_taps<L>,
          .max_pool = max_pool_codes<L>,
          .average_pool = average_pool_codes<L>,
          .add = add_codes,
          .to_codes = numbers_to_codes<L>,
          .to_numbers = codes_to_numbers<L>};
}

// Fastest first; null ends the list.
template <int L>
constinit const IntegerKernels kWide = integer_table<WideDot, L>("16-bit products");
#if defined(__wasm_relaxed_simd__)
template <int L>
constinit const IntegerKernels kRelaxed = integer_table<RelaxedDot, L>("relaxed dot product");
// Who only runs models has the plain binary for processors on which this one is wrong.
template <int L>
constinit const IntegerKernels* const kIntegerKernels[] = {&kRelaxed<L>, kInferenceOnly ? nullptr : &kWide<L>,
                                                           nullptr};
#elif defined(ESPALIER_VNNI_DOT)
template <int L>
constinit const IntegerKernels kVnni = integer_table<VnniDot, L>("VNNI dot product");
template <int L>
constinit const IntegerKernels* const kIntegerKernels[] = {&kVnni<L>, nullptr};
#else
template <int L>
constinit const IntegerKernels* const kIntegerKernels[] = {&kWide<L>, nullptr};
#endif
