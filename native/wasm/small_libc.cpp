// Small ones in place of the C library's, which are 13 KB of every gzipped binary: printf prints everything,
// strtod computes with numbers of 128 bits, and errors of the system have sentences.
#include <bit>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <limits>

// nlohmann/json prints character codes ("\u%04x", "<U+%.4X>", "%.2X"), which is all that anything here
// prints.
extern "C" int snprintf(char* out, std::size_t size, const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::size_t length = 0;
  const auto put = [&](char c) {
    if (length + 1 < size) out[length] = c;
    ++length;
  };
  for (const char* c = format; *c != '\0'; ++c) {
    if (*c != '%') {
      put(*c);
      continue;
    }
    int digits = 1;
    for (++c; *c == '.' || (*c >= '0' && *c <= '9'); ++c) digits = *c > '0' ? *c - '0' : digits;
    const std::uint32_t value = va_arg(arguments, std::uint32_t);
    while (digits < 8 && value >> (4 * digits) != 0) ++digits;
    const char* hex = *c == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    for (int digit = digits - 1; digit >= 0; --digit) put(hex[value >> (4 * digit) & 15]);
  }
  va_end(arguments);
  if (size > 0) out[length < size ? length : size - 1] = '\0';
  return static_cast<int>(length);
}

namespace {

// A natural number of 32 bits a limb, the lowest first; large enough for strtod.
struct Natural {
  std::uint32_t limbs[256] = {};
  int size = 0;

  void multiply_add(std::uint32_t factor, std::uint32_t summand) {
    std::uint64_t carry = summand;
    for (int i = 0; i < size; ++i) {
      carry += std::uint64_t{limbs[i]} * factor;
      limbs[i] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs[size++] = static_cast<std::uint32_t>(carry);
  }
  // Returns the remainder.
  std::uint32_t divide(std::uint32_t divisor) {
    std::uint64_t rest = 0;
    for (int i = size - 1; i >= 0; --i) {
      rest = rest << 32 | limbs[i];
      limbs[i] = static_cast<std::uint32_t>(rest / divisor);
      rest %= divisor;
    }
    while (size > 0 && limbs[size - 1] == 0) --size;
    return static_cast<std::uint32_t>(rest);
  }
  void shift_limbs(int count) {
    for (int i = size - 1; i >= 0; --i) limbs[i + count] = limbs[i];
    for (int i = 0; i < count; ++i) limbs[i] = 0;
    size += count;
  }
  int bits() const { return 32 * size - std::countl_zero(limbs[size - 1]); }
  bool bit(int i) const { return (limbs[i / 32] >> i % 32 & 1) != 0; }
};

// The double next to digits · 10^exponent (a little more where `rest`), ties to even.
double nearest(Natural digits, int exponent, bool rest) {
  for (; exponent > 0; --exponent) digits.multiply_add(10, 0);
  // Enough bits in front that 64 are left behind the division.
  const int limbs = exponent < 0 ? (-exponent * 4 + 64) / 32 + 1 : 0;
  digits.shift_limbs(limbs);
  for (; exponent < 0; ++exponent) rest |= digits.divide(10) != 0;

  constexpr int kMantissa = 53, kLowest = -1022;
  const int bits = digits.bits();
  const int top = bits - 1 - 32 * limbs;  // the exponent of the first bit
  if (top > 1023) return std::numeric_limits<double>::infinity();
  const bool normal = top >= kLowest;
  const int kept = normal ? kMantissa : kMantissa - (kLowest - top);
  if (kept < 0) return 0;
  std::uint64_t mantissa = 0;
  int at = bits - 1;
  for (int i = 0; i < kept; ++i, --at) mantissa = mantissa << 1 | (at >= 0 && digits.bit(at) ? 1 : 0);
  if (at >= 0 && digits.bit(at)) {
    for (int i = 0; i < at && !rest; ++i) rest = digits.bit(i);
    if (rest || (mantissa & 1) != 0) ++mantissa;
  }
  // The mantissa's own first bit, and what rounding carries, move the exponent up.
  const std::uint64_t biased = normal ? static_cast<std::uint64_t>(top - kLowest) << 52 : 0;
  return std::bit_cast<double>(biased + mantissa);
}

}  // namespace

// Decimal numbers only: no spaces in front, no hexadecimal, no "inf". Correctly rounded.
extern "C" double strtod(const char* text, char** end) {
  constexpr int kDigits = 780;  // the midpoint of two doubles has at most 767
  constexpr int kFar = 10000;
  const char* c = text;
  const bool negative = *c == '-';
  if (*c == '-' || *c == '+') ++c;
  Natural digits;
  int significant = 0, exponent = 0;
  bool any = false, rest = false, point = false;
  for (;; ++c) {
    if (*c == '.' && !point) {
      point = true;
      continue;
    }
    if (*c < '0' || *c > '9') break;
    any = true;
    if (significant < kDigits) {
      digits.multiply_add(10, static_cast<std::uint32_t>(*c - '0'));
      if (digits.size > 0) ++significant;
    } else {
      rest |= *c != '0';
      if (exponent < kFar) ++exponent;
    }
    if (point && exponent > -kFar) --exponent;
  }
  if (!any) c = text;
  if (any && (*c == 'e' || *c == 'E')) {
    const char* e = c + 1;
    const bool down = *e == '-';
    if (*e == '-' || *e == '+') ++e;
    if (*e >= '0' && *e <= '9') {
      int written = 0;
      for (; *e >= '0' && *e <= '9'; ++e) written = written < 2 * kFar ? 10 * written + (*e - '0') : written;
      exponent += down ? -written : written;
      c = e;
    }
  }
  if (end) *end = const_cast<char*>(c);
  double value = 0;
  if (digits.size > 0 && exponent + significant > 310) {
    value = std::numeric_limits<double>::infinity();
  } else if (digits.size > 0 && exponent + significant > -330) {
    value = nearest(digits, exponent, rest);
  }
  return negative && any ? -value : value;
}

// The library has these in the same piece, so they come along; nothing calls them.
extern "C" float strtof(const char* text, char** end) { return static_cast<float>(strtod(text, end)); }
extern "C" long double strtold(const char* text, char** end) { return strtod(text, end); }

// Nobody reads these: a page has no threads to run out of but those that were started with it.
extern "C" int strerror_r(int, char* out, std::size_t size) {
  if (size > 0) *out = '\0';
  return 0;
}
