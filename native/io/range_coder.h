// A binary arithmetic coder (Rissanen and Langdon 1979) in the form of a range coder with carries: a bit that
// was expected with probability p costs -log2 p bits. Whole numbers only, the same on every machine.
//
// One object writes or reads: bit() takes the bit to write, or ignores its argument and returns the bit read,
// so that one walk over a model describes both directions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/training_only.h"

namespace espalier {

class RangeCoder {
 public:
  RangeCoder() = default;
  explicit RangeCoder(std::span<const std::uint8_t> bytes);

  // Known to the compiler where nothing writes.
  bool reading() const { return kInferenceOnly || reading_; }
  // `one`: the probability of a 1 in 65536ths, from 1 to 65535. Error{kModel} when bytes are read that are
  // not there.
  int bit(int value, std::uint32_t one);
  // What was written, whole. Up to four zeros at the end are left out: a reader takes what is missing as
  // zeros.
  std::vector<std::uint8_t> finish();
  // Bytes so far, those included that still may change.
  std::int64_t position() const {
    return static_cast<std::int64_t>(bytes_.size()) + pending_ - (begun_ ? 0 : 1);
  }

 private:
  void shift_low();
  std::uint8_t next_byte();

  static constexpr int kMissing = 4;

  bool reading_ = false;
  std::uint32_t range_ = 0xFFFFFFFF;
  // Writing: the interval begins at low_; `last_` (before the first byte: none) and pending_ - 1 bytes of
  // 0xFF wait for a carry.
  std::uint64_t low_ = 0;
  std::uint8_t last_ = 0;
  std::int64_t pending_ = 1;
  bool begun_ = false;
  std::vector<std::uint8_t> bytes_;
  // Reading.
  std::span<const std::uint8_t> in_;
  std::size_t next_ = 0;
  std::uint32_t code_ = 0;
};

}  // namespace espalier
