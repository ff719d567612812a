// What follows a layer and becomes part of it: [dropout] → rectifier → fake_quantize. Where a layer's sums
// have such a tail, they become codes at once; that is part of the arithmetic, not only of its speed.
#pragma once

#include <vector>

#include "graph/graph.h"
#include "runtime/codes.h"

namespace espalier {

struct Tail {
  std::vector<std::size_t> values;  // that the layer's codes are, all of them
  Rectifier rectifier = Rectifier::kNone;
  const Node* quantizer = nullptr;  // null: there is no tail
};

// Of the value `value`, as far as nobody else reads what lies between.
Tail tail_of(const Graph& graph, std::size_t value);

// The only node that reads a value; null where there are none or several.
const Node* only_reader(const Graph& graph, std::size_t value);

// The grid of a fake_quantize layer.
CodeGrid grid_of(const Node& quantizer, const real* value);

}  // namespace espalier
