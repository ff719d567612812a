// A graph put together node by node, without JSON: what reads a spec, an .espalier or an ONNX file uses.
#pragma once

#include <string>

#include "graph/graph.h"

namespace espalier {

inline constexpr std::size_t kMostLayers = 1000;

// The name of a layer that was given none: its type and position, from 1 ("conv1").
std::string automatic_name(const OpType& op, std::size_t index);

// Appends `node`, of which op, inputs (values that the graph has already), attributes and name (or none) are
// given: proves its shapes and adds its parameters. graph.input and graph.classes are set before the first.
// Error{kSpec} whose `where` is "layer.field".
void add_node(Graph& graph, Node node);

// After the last one: places the parameters, and checks that the graph ends in its classes.
void finish(Graph& graph);

}  // namespace espalier
