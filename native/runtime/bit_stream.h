// Numbers of a few bits, one after the other: number i in the bits [i · bits, (i + 1) · bits), the lowest of
// a byte first, to the next whole byte.
#pragma once

#include <cstdint>

#include "core/aligned.h"

namespace espalier {

class BitWriter {
 public:
  BitWriter(aligned_vector<std::uint8_t>& bytes, int bits) : bytes_(bytes), bits_(bits) {}
  void put(unsigned number) {
    for (int i = 0; i < bits_; ++i, ++used_) {
      if (used_ % 8 == 0) bytes_.push_back(0);
      bytes_.back() = static_cast<std::uint8_t>(bytes_.back() | (number >> i & 1) << used_ % 8);
    }
  }

 private:
  aligned_vector<std::uint8_t>& bytes_;
  int bits_;
  unsigned used_ = 0;
};

}  // namespace espalier
