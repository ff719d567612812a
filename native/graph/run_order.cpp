#include "graph/run_order.h"

#include <algorithm>
#include <utility>

#include "ops/op.h"

namespace espalier {
namespace {

bool is_rectifier(const Node& node) { return node.op == &kRelu || node.op == &kRelu6; }

// Whether `next` reads what `node` gives, and nobody else does.
bool only_feeds(const Graph& graph, const Node& node, const Node& next) {
  const int value = static_cast<int>(node.index) + 1;
  if (next.inputs != std::vector<int>{value}) return false;
  std::ptrdiff_t readers = 0;
  for (const Node& reader : graph.nodes) {
    readers += std::count(reader.inputs.begin(), reader.inputs.end(), value);
  }
  return readers == 1;
}

void exchange(Node& rectifier, Node& pool) {
  std::swap(rectifier, pool);
  Node& first = rectifier;
  Node& second = pool;
  std::swap(first.index, second.index);
  std::swap(first.inputs, second.inputs);
  second.in_shapes = {first.out_shape};
  second.out_shape = first.out_shape;
}

}  // namespace

Graph in_run_order(const Graph& graph) {
  Graph result = graph;
  for (std::size_t n = 0; n + 1 < graph.nodes.size(); ++n) {
    Node& node = result.nodes[n];
    Node& next = result.nodes[n + 1];
    if (!only_feeds(result, node, next)) continue;
    if (is_rectifier(node) && next.op == &kMaxPool) {
      exchange(node, next);
    } else if (node.op == &kBatchNorm && is_rectifier(next)) {
      node.rectifier = next.op == &kRelu ? Rectifier::kRelu : Rectifier::kRelu6;
      next.rectifier = node.rectifier;
    }
  }
  return result;
}

}  // namespace espalier
