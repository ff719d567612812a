// Parameters from one model to another: tensors belong together when their names are the same. Transfer by
// parameters, and what rehearsal and L2-SP share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace espalier {

struct Model;

// Tensors of the same name and shape in two graphs.
struct SharedTensor {
  const Node* node;
  const ParameterInfo* info;
  const Node* other_node;
  const ParameterInfo* other;
};
std::vector<SharedTensor> shared_tensors(const Graph& graph, const Graph& other);

// What became of one of the target's tensors. `copied` are the extents of the part that was copied, from the
// first index on: the shape if it is whole, empty if nothing was.
struct CopiedTensor {
  std::string name;
  std::vector<int> shape;
  std::vector<int> source_shape;  // empty: the source has no such tensor
  std::vector<int> copied;

  bool whole() const { return !copied.empty() && copied == shape; }
  bool fresh() const { return copied.empty(); }
};

// Copies the parameters of `source` to the tensors of `target` that have the same names, running statistics
// and grids included. Of tensors whose extents differ it copies the overlap: all indices that both have. A
// weight that is pruned in the source is pruned in the target, too. Nodes of the target that `fresh` names by
// index (empty: none) are left as they are. One row for each tensor of the target.
std::vector<CopiedTensor> copy_parameters(const Model& source, Model& target,
                                          const std::vector<bool>& fresh = {});

}  // namespace espalier
