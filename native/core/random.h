// Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A value is a pure function of (seed, stream, counter), so the order in which
// images, threads or lanes ask does not matter and nothing needs to be saved but the seed.
#pragma once

#include <array>
#include <cstdint>

namespace espalier {

// What a random number is for. A stream of one purpose never overlaps that of another.
enum class RandomStream : std::uint32_t {
  kInitialization = 1,
  kShuffle = 2,
  kAugmentation = 3,
  kMixup = 4,
  kDropout = 5,
  kDigits = 6,
  kSubset = 7,
  kRehearsal = 8,
  kCodebook = 9,
  kPruning = 10,
  kSweep = 11,
};

constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                              std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// A sequential reader of one (seed, stream, index) sequence. `index` is what the numbers belong to:
// an image, a layer, an epoch. Copying one copies its position.
class Random {
 public:
  Random(std::uint64_t seed, RandomStream stream, std::uint64_t index = 0)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        counter_{0, static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(index),
                 static_cast<std::uint32_t>(index >> 32)} {}

  std::uint32_t bits() {
    if (used_ == 4) {
      block_ = philox(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  // Uniform in [0, 1) with 24 bits: exact in float and in double.
  double uniform() { return static_cast<double>(bits() >> 8) * (1.0 / 16777216.0); }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  // Uniform in {0, …, count - 1}, by the multiply-shift method (bias below count / 2^32).
  std::uint32_t below(std::uint32_t count) {
    return static_cast<std::uint32_t>((std::uint64_t{bits()} * count) >> 32);
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace espalier
