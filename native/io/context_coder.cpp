#include "io/context_coder.h"

#include <algorithm>

#include "core/math.h"

namespace espalier {
namespace {

// squash at -8, -7.5, … 8 in 65536ths; in between, straight lines.
constexpr std::int32_t kKnots[33] = {22,    36,    60,    98,    162,   267,   439,   720,   1179,
                                     1921,  3108,  4971,  7812,  11955, 17625, 24743, 32768, 40793,
                                     47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097,
                                     65269, 65374, 65438, 65476, 65500, 65514};

constexpr int kReach = 2047;  // the logistic domain: 256 is 1

std::int32_t squash(std::int32_t x) {
  x = std::clamp(x, -kReach, kReach) + 2048;
  const std::int32_t knot = x >> 7, part = x & 127;
  return (kKnots[knot] * (128 - part) + kKnots[knot + 1] * part + 64) >> 7;
}

// The inverse of squash, for probabilities of 12 bits: the first x whose squash is as large.
struct Stretch {
  std::array<std::int16_t, 4096> at;
  Stretch() {
    std::int32_t x = -kReach;
    for (std::int32_t p = 0; p < 4096; ++p) {
      while (x < kReach && squash(x) < p * 16 + 8) ++x;
      at[static_cast<std::size_t>(p)] = static_cast<std::int16_t>(x);
    }
  }
};

const Stretch& stretch() {
  static const Stretch table;
  return table;
}

std::uint32_t scramble(std::uint32_t x) {
  x = (x ^ x >> 16) * 0x7FEB352D;
  x = (x ^ x >> 15) * 0x846CA68B;
  return x ^ x >> 16;
}

// Found on LeNet-5 and LeNet-300-100, pruned to 8 %, with 4-bit codebooks and grids: slow mixtures are best.
constexpr std::uint32_t kMostUses = 1020;
constexpr std::int32_t kFirstWeight = 14000;
constexpr int kRate = 17;

}  // namespace

Contexts& Contexts::add(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  const std::uint32_t own = kind_ * kMost + static_cast<std::uint32_t>(count_) + 1;
  at_[static_cast<std::size_t>(count_++)] = scramble(scramble(scramble(own) + a) + b) + c;
  return *this;
}

ContextCoder::ContextCoder()
    : slots_(std::size_t{1} << kSlotBits, std::uint32_t{1} << 31),
      weights_(std::size_t{kMixers} * Contexts::kMost, kFirstWeight) {}

ContextCoder::ContextCoder(std::span<const std::uint8_t> bytes) : ContextCoder() {
  coder_ = RangeCoder(bytes);
}

int ContextCoder::code(int value, std::uint32_t one) {
  if (rehearsing_) return value;
  value = coder_.bit(value, one);
  if (!coder_.reading()) nats_ -= math::log((value ? one : 65536 - one) / 65536.0);
  return value;
}

double ContextCoder::entropy_bytes() const { return nats_ / 0.693147180559945309417 / 8; }

int ContextCoder::bit(int value, const Contexts& contexts, std::uint32_t node) {
  const int count = contexts.count_;
  std::uint32_t* slots[Contexts::kMost];
  std::int32_t inputs[Contexts::kMost];
  const std::uint32_t mixer =
      (contexts.kind_ * 16 + static_cast<std::uint32_t>(32 - __builtin_clz(node | 1))) % kMixers;
  std::int32_t* weights = &weights_[std::size_t{mixer} * Contexts::kMost];
  std::int64_t sum = 0;
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    slots[i] = &slots_[scramble(contexts.at_[at] + node * 0x9E3779B1u) >> (32 - kSlotBits)];
    inputs[i] = stretch().at[*slots[i] >> 20];
    sum += std::int64_t{weights[i]} * inputs[i];
  }
  const std::int32_t mixed =
      squash(static_cast<std::int32_t>(std::clamp<std::int64_t>(sum >> 16, -kReach, kReach)));
  // Never so sure that a megabyte of weights could hide in a few bytes (io/README.md).
  const std::int32_t one = std::clamp(mixed, 64, 65536 - 64);
  value = code(value, static_cast<std::uint32_t>(one));

  const std::int32_t error = (value << 16) - mixed;
  for (int i = 0; i < count; ++i) {
    weights[i] += static_cast<std::int32_t>((std::int64_t{inputs[i]} * error + (1 << (kRate - 1))) >> kRate);
    std::uint32_t& slot = *slots[i];
    const std::uint32_t uses = slot & 1023;
    const auto p = static_cast<std::int32_t>(slot >> 10);
    const std::int32_t target = value ? (1 << 22) - 1 : 0;
    const std::int32_t moved = p + (target - p) * 2 / static_cast<std::int32_t>(2 * uses + 3);
    slot = static_cast<std::uint32_t>(moved) << 10 | std::min<std::uint32_t>(uses + 1, kMostUses);
  }
  return value;
}

std::uint32_t ContextCoder::symbol(std::uint32_t value, int bits, const Contexts& contexts) {
  std::uint32_t node = 1;
  for (int i = bits - 1; i >= 0; --i) {
    node = node * 2 + static_cast<std::uint32_t>(bit(static_cast<int>(value >> i & 1), contexts, node));
  }
  return node - (std::uint32_t{1} << bits);
}

std::uint32_t ContextCoder::number(std::uint32_t value, const Contexts& contexts) {
  std::uint32_t bits = 0;
  while (bits < 32 && value >> bits) ++bits;
  bits = symbol(bits, 6, contexts) % 33;
  std::uint32_t result = bits > 0 ? 1 : 0;
  for (int i = static_cast<int>(bits) - 2; i >= 0; --i) {
    const int b = static_cast<int>(value >> i & 1);
    const bool known = result < 8;
    result = result * 2 + (known ? static_cast<std::uint32_t>(bit(b, contexts, 64 + bits * 8 + result))
                                 : raw(static_cast<std::uint32_t>(b), 1));
  }
  return result;
}

std::uint32_t ContextCoder::raw(std::uint32_t value, int bits) {
  std::uint32_t result = 0;
  for (int i = bits - 1; i >= 0; --i) {
    result = result * 2 + static_cast<std::uint32_t>(code(static_cast<int>(value >> i & 1), 32768));
  }
  return result;
}

}  // namespace espalier
