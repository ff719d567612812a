// The same network in an order that costs less. Only intermediate values differ, so those who look at them
// (PlanOptions::keep_values) run the graph as it is written.
#pragma once

#include "graph/graph.h"

namespace espalier {

// Values, gradients and parameters keep their bits and their ids:
//
//   rectifier, max_pool    the pool goes first, since the largest of rectified numbers is the rectified
//   largest
//                          one: a quarter of the numbers is left to rectify
//   batch_norm, rectifier  batch norm's loop clamps what it writes
Graph in_run_order(const Graph& graph);

}  // namespace espalier
