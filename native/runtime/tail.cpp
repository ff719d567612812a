#include "runtime/tail.h"

#include <algorithm>

#include "ops/op.h"

namespace espalier {

const Node* only_reader(const Graph& graph, std::size_t value) {
  const Node* reader = nullptr;
  for (const Node& node : graph.nodes) {
    for (const int input : node.inputs) {
      if (input != static_cast<int>(value)) continue;
      if (reader) return nullptr;
      reader = &node;
    }
  }
  return reader;
}

Tail tail_of(const Graph& graph, std::size_t value) {
  Tail tail;
  for (const Node* next = only_reader(graph, value); next; next = only_reader(graph, value)) {
    const bool rectifies = next->op == &kRelu || next->op == &kRelu6;
    if (rectifies && tail.rectifier != Rectifier::kNone) return {};
    if (rectifies) tail.rectifier = next->op == &kRelu ? Rectifier::kRelu : Rectifier::kRelu6;
    if (!rectifies && next->op != &kDropout && next->op != &kFakeQuantize) return {};
    value = next->index + 1;
    tail.values.push_back(value);
    if (next->op == &kFakeQuantize) {
      tail.quantizer = next;
      return tail;
    }
  }
  return {};
}

CodeGrid grid_of(const Node& quantizer, const real* value) {
  return {.scale = static_cast<float>(std::max(value[quantizer.parameters[0].offset], real(1e-12))),
          .zero_point = static_cast<int>(value[quantizer.parameters[1].offset]),
          .highest = (1 << quantizer.attributes.bits) - 1};
}

}  // namespace espalier
