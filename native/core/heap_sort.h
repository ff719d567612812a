// std::sort in a fifth of the code and half the speed, for lists that are short.
#pragma once

#include <algorithm>

namespace espalier {

template <class List, class Less>
void heap_sort(List& list, Less less) {
  std::make_heap(list.begin(), list.end(), less);
  std::sort_heap(list.begin(), list.end(), less);
}

}  // namespace espalier
