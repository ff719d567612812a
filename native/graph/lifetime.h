// Memory that is needed for a while only, and shared by what is not needed at the same time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace espalier {

// A piece of memory with a life [first, last], to be placed.
struct Lifetime {
  std::int64_t size = 0;
  int first = std::numeric_limits<int>::max();
  int last = -1;
  std::int64_t offset = 0;

  void touch(int time) {
    first = std::min(first, time);
    last = std::max(last, time);
  }
  bool overlaps(const Lifetime& other) const { return first <= other.last && other.first <= last; }
};

// Gives each lifetime the lowest offset that no living neighbour holds, largest first; returns the
// size of the whole.
std::int64_t place(std::vector<Lifetime*> lifetimes);

}  // namespace espalier
