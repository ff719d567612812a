// The range of numbers that a grid should cover, always with zero in it.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/real.h"

namespace espalier {

struct Range {
  double low = 0;   // at most 0
  double high = 0;  // at least 0
};

inline Range full_range(std::span<const real> values) {
  Range range;
  for (const real x : values) {
    range.low = std::min(range.low, static_cast<double>(x));
    range.high = std::max(range.high, static_cast<double>(x));
  }
  return range;
}

// Without the kCut most extreme numbers of each side: 99.9 % of them are left.
inline Range inner_range(std::span<const real> values) {
  constexpr double kCut = 0.0005;
  if (values.empty()) return {};
  std::vector<real> sorted(values.begin(), values.end());
  const auto cut = static_cast<std::ptrdiff_t>(kCut * static_cast<double>(sorted.size()));
  std::nth_element(sorted.begin(), sorted.begin() + cut, sorted.end());
  const double low = sorted[static_cast<std::size_t>(cut)];
  std::nth_element(sorted.begin(), sorted.end() - 1 - cut, sorted.end());
  const double high = *(sorted.end() - 1 - cut);
  return {std::min(low, 0.0), std::max(high, 0.0)};
}

}  // namespace espalier
