// What the arithmetic units allow: multiply-adds on registers alone, in chains enough to hide their latency.
// Benchmarks state every kernel's speed as a share of it.

inline constexpr int kPeakChains = kRegisters == 32 ? 24 : 12;

// Returns the multiply-adds done. The chains go through the factor, so that a compiler can take nothing out
// of the loop where product and sum are separate.
inline std::int64_t multiply_adds(std::int64_t rounds) {
  Vector chain[kPeakChains];
  for (int i = 0; i < kPeakChains; ++i) chain[i] = splat_vector(static_cast<real>(i));
  const Vector factor = splat_vector(real(0.5)), rest = splat_vector(real(0.25));
  for (std::int64_t n = 0; n < rounds; ++n) {
    for (int i = 0; i < kPeakChains; ++i) chain[i] = madd(chain[i], factor, rest);
  }
  real sum = 0;
  for (int i = 0; i < kPeakChains; ++i) sum += chain[i][0];
  return sum > 0 ? rounds * kPeakChains * kWidth : 0;
}
