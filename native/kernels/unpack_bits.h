// Weights of few bits, as they lie in memory, spread into those that a kernel multiplies with. A stream has
// weight i in its bits [i · bits, (i + 1) · bits), the lowest of a byte first.
//
// Whole vectors are read and written: up to kSpreadReach weights, and their bits, beyond the last one.

using Sixteen __attribute__((vector_size(16))) = std::uint8_t;

// Bytes of `2 · bits` bits each become twice as many of `bits`.
ESPALIER_INLINE void halve_bits(Sixteen bytes, int bits, Sixteen (&result)[2]) {
  // Processors shift words, not bytes; what comes from the neighbour is above the mask.
  using Words __attribute__((vector_size(16))) = std::uint16_t;
  const auto mask = static_cast<std::uint8_t>((1 << bits) - 1);
  const auto shifted =
      reinterpret_cast<Sixteen>(reinterpret_cast<Words>(bytes) >> static_cast<std::uint16_t>(bits));
  const Sixteen low = bytes & mask, high = shifted & mask;
  result[0] = interleave<1, 0>(low, high);
  result[1] = interleave<1, 1>(low, high);
}

// visit(sixteen codes, index of the first), of 16 bytes of a stream.
template <int Bits, int Now = 8, class Visit>
ESPALIER_INLINE void for_each_sixteen(Sixteen bytes, int index, Visit&& visit) {
  if constexpr (Now == Bits) {
    visit(bytes, index);
  } else {
    Sixteen parts[2];
    halve_bits(bytes, Now / 2, parts);
    for_each_sixteen<Bits, Now / 2>(parts[0], index, visit);
    for_each_sixteen<Bits, Now / 2>(parts[1], index + 8 * Now / Bits, visit);
  }
}

ESPALIER_INLINE void store_weights(Sixteen weights, std::int8_t* to) { store_as(to, weights); }
ESPALIER_INLINE void store_weights(Sixteen weights, std::int16_t* to) {
  using Eight __attribute__((vector_size(8))) = std::int8_t;
  using EightShorts __attribute__((vector_size(16))) = std::int16_t;
  Eight halves[2];
  std::memcpy(halves, &weights, sizeof(weights));
  for (int i = 0; i < 2; ++i) store_as(to + 8 * i, __builtin_convertvector(halves[i], EightShorts));
}

// Codes stand for code - 2^(bits - 1); a single bit for 1 or -1.
template <int Bits, class Weight>
inline void spread_bits(const std::uint8_t* stream, std::int64_t count, Weight* weights) {
  for (std::int64_t i = 0; i < count; i += 128 / Bits, stream += 16) {
    for_each_sixteen<Bits>(load_as<Sixteen>(stream), 0, [&](Sixteen codes, int index) {
      const Sixteen values =
          Bits == 1 ? codes + codes - std::uint8_t{1} : codes - std::uint8_t{1 << (Bits - 1)};
      store_weights(values, weights + i + index);
    });
  }
}
template <class Weight>
inline void spread_bits(int bits, const std::uint8_t* stream, std::int64_t count, Weight* weights) {
  if (bits == 1) return spread_bits<1>(stream, count, weights);
  if (bits == 2) return spread_bits<2>(stream, count, weights);
  spread_bits<4>(stream, count, weights);
}

// A table of 16 bytes, looked up sixteen times.
ESPALIER_INLINE Sixteen look_up(Sixteen table, Sixteen index) {
#if defined(__wasm_relaxed_simd__)
  return reinterpret_cast<Sixteen>(
      wasm_i8x16_relaxed_swizzle(reinterpret_cast<v128_t>(table), reinterpret_cast<v128_t>(index)));
#elif defined(__wasm_simd128__)
  return reinterpret_cast<Sixteen>(
      wasm_i8x16_swizzle(reinterpret_cast<v128_t>(table), reinterpret_cast<v128_t>(index)));
#elif defined(__SSSE3__)
  return reinterpret_cast<Sixteen>(
      _mm_shuffle_epi8(reinterpret_cast<__m128i>(table), reinterpret_cast<__m128i>(index)));
#else
  Sixteen result;
  for (int i = 0; i < 16; ++i) result[i] = table[index[i]];
  return result;
#endif
}

// numbers[i] = levels[index i]. Tables of up to 16 levels stay in registers, a plane for each byte of a
// float.
template <int Bits>
inline void look_up_levels(const std::uint8_t* stream, std::int64_t count, const real* levels,
                           real* numbers) {
  Sixteen planes[4] = {};
  for (int i = 0; i < 1 << Bits; ++i) {
    const auto level = static_cast<float>(levels[i]);
    std::uint8_t bytes[4];
    std::memcpy(bytes, &level, sizeof(bytes));
    for (int k = 0; k < 4; ++k) planes[k][i] = bytes[k];
  }
  for (std::int64_t i = 0; i < count; i += 128 / Bits, stream += 16) {
    for_each_sixteen<Bits>(load_as<Sixteen>(stream), 0, [&](Sixteen codes, int index) {
      Sixteen floats[4];
      interleave_four(look_up(planes[0], codes), look_up(planes[1], codes), look_up(planes[2], codes),
                      look_up(planes[3], codes), floats);
      std::memcpy(numbers + i + index, floats, sizeof(floats));
    });
  }
}
inline void spread_levels(int bits, const std::uint8_t* stream, std::int64_t count, const real* levels,
                          real* numbers) {
  if constexpr (sizeof(real) == sizeof(float)) {
    if (bits == 1) return look_up_levels<1>(stream, count, levels, numbers);
    if (bits == 2) return look_up_levels<2>(stream, count, levels, numbers);
    if (bits == 4) return look_up_levels<4>(stream, count, levels, numbers);
  }
  const auto mask = (std::uint64_t{1} << bits) - 1;
  for (std::int64_t i = 0; i < count; i += 8, stream += bits) {
    const auto eight = load_as<std::uint64_t>(stream);
    for (int k = 0; k < 8; ++k) numbers[i + k] = levels[(eight >> (k * bits)) & mask];
  }
}
