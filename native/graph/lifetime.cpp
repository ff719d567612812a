#include "graph/lifetime.h"

#include "core/heap_sort.h"

namespace espalier {

std::int64_t place(std::vector<Lifetime*> lifetimes) {
  heap_sort(lifetimes, [](const Lifetime* a, const Lifetime* b) {
    return a->size != b->size ? a->size > b->size : a->first < b->first;
  });
  std::vector<Lifetime*> placed;  // sorted by offset
  std::int64_t total = 0;
  for (Lifetime* lifetime : lifetimes) {
    std::int64_t offset = 0;
    for (const Lifetime* other : placed) {
      if (!lifetime->overlaps(*other)) continue;
      if (offset + lifetime->size <= other->offset) break;
      offset = std::max(offset, other->offset + other->size);
    }
    lifetime->offset = offset;
    total = std::max(total, offset + lifetime->size);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), lifetime,
                         [](const Lifetime* a, const Lifetime* b) { return a->offset < b->offset; }),
        lifetime);
  }
  return total;
}

}  // namespace espalier
