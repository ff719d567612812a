// Durations of many calls, and what to say about them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "bench/recorder.h"

namespace espalier {

// The mean of the values around a quantile, those from half of its share to as far beyond: as robust, and
// finer than a clock that ticks every 5 microseconds, as browsers' do.
inline double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double reach = std::min(share, 1 - share) / 2, last = static_cast<double>(values.size() - 1);
  const auto mean = [&](double from, double to) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(from * last);
    const auto end = values.begin() + static_cast<std::ptrdiff_t>(to * last) + 1;
    return std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin);
  };
  const double near = mean(share - reach, share + reach);
  return near > 0 ? near : mean(0, 1);  // shorter than a tick
}

// Calls `work` for about `seconds` and adds the duration of each call.
template <class Work>
void time_calls(double seconds, std::vector<double>& durations, Work&& work) {
  double begin = now_in_seconds();
  const double end = begin + seconds;
  do {
    work();
    const double now = now_in_seconds();
    durations.push_back(now - begin);
    begin = now;
  } while (begin < end);
}

}  // namespace espalier
