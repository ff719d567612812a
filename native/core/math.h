// Elementary functions as the engine's own polynomials in double, correctly rounded operations
// only, so that a seed gives the same bits natively, in Node and in every browser (libm differs
// between them). Absolute errors are below 1e-12 on the ranges the engine uses. sqrt is IEEE exact.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace espalier::math {

inline constexpr double kPi = 3.141592653589793238462643383279502884;

// e^x by 2^k · e^r with |r| <= ln(2)/2 and a Taylor polynomial of degree 13.
inline double exp(double x) {
  if (x > 709.0) return HUGE_VAL;
  if (x < -708.0) return 0.0;
  const double k = std::floor(x * 1.4426950408889634074 + 0.5);
  const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
  double sum = 1.0;
  for (int n = 13; n >= 1; --n) sum = 1.0 + sum * r / n;
  const auto exponent = static_cast<std::int64_t>(k) + 1023;
  return sum * std::bit_cast<double>(static_cast<std::uint64_t>(exponent) << 52);
}

// ln x for x > 0 by m · 2^k with m in [sqrt(1/2), sqrt(2)) and the series of 2·atanh.
inline double log(double x) {
  auto bits = std::bit_cast<std::uint64_t>(x);
  auto k = static_cast<std::int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000FFFFFFFFFFFFFull) | 0x3FF0000000000000ull);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++k;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double sum = 0.0;
  for (int n = 19; n >= 1; n -= 2) sum = sum * s2 + 1.0 / n;
  return 2.0 * s * sum + static_cast<double>(k) * 0.693147180559945309417;
}

// sin x by reduction to [-pi/2, pi/2] and a Taylor polynomial. For |x| below about 1e6.
inline double sin(double x) {
  const double k = std::floor(x * (1.0 / kPi) + 0.5);
  const double r = (x - k * 3.141592653589793116) - k * 1.2246467991473532e-16;
  const double r2 = r * r;
  double sum = 1.0;
  for (int n = 19; n >= 3; n -= 2) sum = 1.0 - sum * r2 / (n * (n - 1));
  const bool odd = (static_cast<std::int64_t>(k) & 1) != 0;
  return odd ? -r * sum : r * sum;
}

// 1 - 2 sin²(x/2): exactly 1 at 0.
inline double cos(double x) {
  const double half = sin(0.5 * x);
  return 1.0 - 2.0 * half * half;
}

inline double sqrt(double x) { return std::sqrt(x); }

// x^y for x > 0.
inline double pow(double x, double y) { return exp(y * log(x)); }

}  // namespace espalier::math
