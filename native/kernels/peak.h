// What the arithmetic units allow: multiply-adds on registers alone, in chains enough to hide their latency,
// where product and sum are separate as many of each. Benchmarks state every kernel's speed as a share of it.

// One register fewer than there are holds a constant; a browser keeps one for itself.
inline constexpr int kPeakChains = kRegisters == 32 ? 28 : 14;

// Returns the multiply-adds done.
inline std::int64_t multiply_adds(std::int64_t rounds) {
  Vector chain[kPeakChains];
  for (int i = 0; i < kPeakChains; ++i) chain[i] = splat_vector(static_cast<real>(i));
  const Vector half = splat_vector(real(0.5));
  for (std::int64_t n = 0; n < rounds; ++n) {
    for (int i = 0; i < kPeakChains; ++i) {
#if ESPALIER_FUSED
      chain[i] = madd(chain[i], half, half);
#else
      chain[i] = i % 2 ? chain[i] * half : chain[i] + half;
#endif
    }
  }
  real sum = 1;
  for (int i = 0; i < kPeakChains; ++i) sum += chain[i][0];
  return sum > 0 ? rounds * (ESPALIER_FUSED ? kPeakChains : kPeakChains / 2) * kWidth : 0;
}
