#include "graph/assemble.h"

#include "core/error.h"
#include "ops/op.h"

namespace espalier {
namespace {

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kSpec, where, message);
}

// More numbers than this in one image's feature map are a mistake.
constexpr std::int64_t kLargestMap = std::int64_t{1} << 28;

void check_size(const std::string& where, const Shape& shape) {
  if (std::int64_t{shape.channels} * shape.height > kLargestMap / shape.width) {
    fail(where,
         "gives a map of " + to_string(shape) + ", which is more than can be computed; make it smaller");
  }
}

void check_name(const Graph& graph, const std::string& name) {
  const std::string position = "layers[" + std::to_string(graph.nodes.size()) + "].name";
  if (name == "input") fail(position, "\"input\" is the image's own name");
  for (const Node& other : graph.nodes) {
    if (other.name == name) fail(position, "\"" + name + "\" is the name of two layers");
  }
}

void check_inputs(const Node& node) {
  const OpType& op = *node.op;
  const int count = static_cast<int>(node.inputs.size());
  if (count >= op.min_inputs && count <= op.max_inputs) return;
  fail(node.name + ".inputs",
       "names " + std::to_string(count) + " layers; " + std::string(op.name) + " takes " +
           (op.min_inputs == op.max_inputs
                ? std::to_string(op.min_inputs)
                : std::to_string(op.min_inputs) + " to " + std::to_string(op.max_inputs)));
}

// Slab order: parameters with sharded gradients, the other trainable ones, running statistics.
// Each starts on a multiple of 16 numbers.
void place_parameters(Graph& graph) {
  const auto place = [&](auto&& belongs) {
    for (Node& node : graph.nodes) {
      for (ParameterInfo& info : node.parameters) {
        if (!belongs(node, info)) continue;
        info.offset = graph.slab_size;
        graph.slab_size += (info.size + 15) / 16 * 16;
      }
    }
  };
  place([](const Node& n, const ParameterInfo& p) { return p.trainable && n.op->sharded_gradient(); });
  graph.sharded_size = graph.slab_size;
  place([](const Node& n, const ParameterInfo& p) { return p.trainable && !n.op->sharded_gradient(); });
  graph.trainable_size = graph.slab_size;
  place([](const Node&, const ParameterInfo& p) { return !p.trainable; });
}

void check_output(const Graph& graph) {
  const Node& last = graph.nodes.back();
  if (last.out_shape != Shape{graph.classes, 1, 1}) {
    fail(last.name, "is the last layer and gives " + to_string(last.out_shape) + ", but the model has " +
                        std::to_string(graph.classes) +
                        " classes; end with {\"type\": \"dense\", \"units\": \"classes\"}");
  }
  std::vector<bool> used(graph.nodes.size() + 1, false);
  for (const Node& node : graph.nodes) {
    for (const int input : node.inputs) used[static_cast<std::size_t>(input)] = true;
  }
  for (std::size_t i = 0; i + 1 < graph.nodes.size(); ++i) {
    if (!used[i + 1]) {
      fail(graph.nodes[i].name, "leads nowhere; name it in the \"inputs\" of a later layer or remove it");
    }
  }
  if (graph.trainable_size == 0) fail("layers", "have no parameters, so there is nothing to train");
}

}  // namespace

std::int64_t Graph::parameter_count() const {
  std::int64_t count = 0;
  for (const Node& node : nodes) count += node.parameter_count();
  return count;
}

std::int64_t Graph::macs() const {
  std::int64_t count = 0;
  for (const Node& node : nodes) count += node.op->macs ? node.op->macs(node) : 0;
  return count;
}

std::vector<const ParameterInfo*> Graph::parameters() const {
  std::vector<const ParameterInfo*> list;
  for (const Node& node : nodes) {
    for (const ParameterInfo& info : node.parameters) list.push_back(&info);
  }
  return list;
}

std::string automatic_name(const OpType& op, std::size_t index) {
  return std::string(op.name) + std::to_string(index + 1);
}

void add_node(Graph& graph, Node node) {
  node.index = static_cast<std::uint32_t>(graph.nodes.size());
  if (node.name.empty()) node.name = automatic_name(*node.op, graph.nodes.size());
  if (graph.nodes.empty()) check_size("input", graph.input.shape);
  check_name(graph, node.name);
  check_inputs(node);
  for (const int input : node.inputs) node.in_shapes.push_back(graph.value_shape(input));
  if (node.attributes.units == Attributes::kClasses) node.attributes.units = graph.classes;
  node.op->configure(node);
  check_size(node.name, node.out_shape);
  graph.nodes.push_back(std::move(node));
}

void finish(Graph& graph) {
  place_parameters(graph);
  check_output(graph);
}

}  // namespace espalier
