// Bits predicted from several contexts at once, for the range coder: context mixing (Mahoney 2005).
//
// Every context has its own probability that the next bit is 1, p += (bit - p) / (n + 1.5) at its n-th use:
// soon certain, slow to change later. What the contexts say is mixed in the logistic domain,
//
//   p = squash(sum w_i · stretch(p_i)),   stretch(p) = ln(p / (1 - p)),   squash its inverse,
//
// with weights that follow the gradient of the coding cost: w_i += rate · stretch(p_i) · (bit - p). A context
// that knows nothing has p = 1/2 and is not heard. Whole numbers only: the same on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "io/range_coder.h"

namespace espalier {

// What a bit is looked up by: whole numbers that describe its surroundings, of one kind of symbol.
class Contexts {
 public:
  static constexpr int kMost = 10;
  // `kind` tells what is coded apart, and chooses the weights of the mixture.
  explicit Contexts(std::uint32_t kind) : kind_(kind) {}
  // Each description is of its own: the order matters.
  Contexts& add(std::uint32_t a, std::uint32_t b = 0, std::uint32_t c = 0);

 private:
  friend class ContextCoder;
  std::uint32_t kind_;
  int count_ = 0;
  std::array<std::uint32_t, kMost> at_;
};

class ContextCoder {
 public:
  ContextCoder();                                              // writes
  explicit ContextCoder(std::span<const std::uint8_t> bytes);  // reads

  bool reading() const { return coder_.reading(); }
  // Learns without writing or reading: for what both sides know (`bit` must be given).
  void rehearse(bool on) { rehearsing_ = on; }

  int bit(int value, const Contexts& contexts) { return bit(value, contexts, 1); }
  // A whole number below 2^bits, its highest bit first; each bit knows the ones before it.
  std::uint32_t symbol(std::uint32_t value, int bits, const Contexts& contexts);
  // Any whole number: how many bits it has, then these, the first three of them with contexts.
  std::uint32_t number(std::uint32_t value, const Contexts& contexts);
  // `bits` bits that no context helps with.
  std::uint32_t raw(std::uint32_t value, int bits);

  std::vector<std::uint8_t> finish() { return coder_.finish(); }
  std::int64_t position() const { return coder_.position(); }
  // Of all that was coded: -log2 of the probabilities that it was coded with, in bytes.
  double entropy_bytes() const;

 private:
  int bit(int value, const Contexts& contexts, std::uint32_t node);
  int code(int value, std::uint32_t one);

  static constexpr int kSlotBits = 18;
  static constexpr int kMixers = 1024;

  RangeCoder coder_;
  bool rehearsing_ = false;
  double nats_ = 0;
  std::vector<std::uint32_t> slots_;   // probability of a 1 (22 bits), uses (10 bits)
  std::vector<std::int32_t> weights_;  // [kMixers][Contexts::kMost], 65536 is 1
};

}  // namespace espalier
