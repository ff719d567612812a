#include "io/range_coder.h"

#include <utility>

#include "core/error.h"

namespace espalier {

RangeCoder::RangeCoder(std::span<const std::uint8_t> bytes) : reading_(true), in_(bytes) {
  for (int i = 0; i < 4; ++i) code_ = code_ << 8 | next_byte();
}

int RangeCoder::bit(int value, std::uint32_t one) {
  const auto bound = static_cast<std::uint32_t>((std::uint64_t{range_} * one) >> 16);
  if (reading()) value = code_ < bound ? 1 : 0;
  if (value) {
    range_ = bound;
  } else {
    range_ -= bound;
    code_ -= bound;
    low_ += bound;
  }
  while (range_ < 1u << 24) {
    range_ <<= 8;
    if (reading()) {
      code_ = code_ << 8 | next_byte();
    } else {
      shift_low();
    }
  }
  return value;
}

std::uint8_t RangeCoder::next_byte() {
  if (next_ < in_.size()) return in_[next_++];
  if (next_++ < in_.size() + kMissing) return 0;
  throw Error(ErrorCode::kModel, "", "ends before its contents do");
}

// Moves the highest byte of low_ out, once no carry can reach it any more.
void RangeCoder::shift_low() {
  const auto carry = static_cast<std::uint8_t>(low_ >> 32);
  if (carry || low_ < 0xFF000000) {
    if (begun_) bytes_.push_back(static_cast<std::uint8_t>(last_ + carry));
    for (; pending_ > 1; --pending_) bytes_.push_back(static_cast<std::uint8_t>(0xFF + carry));
    last_ = static_cast<std::uint8_t>(low_ >> 24);
    pending_ = 0;
    begun_ = true;
  }
  ++pending_;
  low_ = (low_ & 0x00FFFFFF) << 8;
}

std::vector<std::uint8_t> RangeCoder::finish() {
  // The number of the interval that ends in the most zeros.
  for (int zeros = 32; zeros >= 0; --zeros) {
    const std::uint64_t unit = std::uint64_t{1} << zeros;
    const std::uint64_t number = (low_ + unit - 1) / unit * unit;
    if (number - low_ >= range_) continue;
    low_ = number;
    break;
  }
  for (int i = 0; i < 5; ++i) shift_low();
  for (int i = 0; i < kMissing && !bytes_.empty() && bytes_.back() == 0; ++i) bytes_.pop_back();
  return std::move(bytes_);
}

}  // namespace espalier
