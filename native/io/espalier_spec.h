// The spec of an .espalier file: name, input, classes and layers of a graph, without what is as it usually
// is.
#pragma once

#include "graph/graph.h"
#include "io/espalier_coder.h"

namespace espalier::espl {

// Writes `source`, or (null) reads; either way `graph` becomes the graph. Error{kModel}.
void code_spec(EspalierCoder& coder, const Graph* source, Graph& graph);

}  // namespace espalier::espl
