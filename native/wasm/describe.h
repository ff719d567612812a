// What the package shows of the engine's tables, datasets and models, as the JSON of types.ts.
#pragma once

#include <string>

#include "data/dataset.h"
#include "graph/graph.h"

namespace espalier {

std::string describe_catalog();                                    // Catalog
std::string describe(const Dataset& dataset);                      // DatasetInfo
std::string describe(const Graph& graph, int lanes, int threads);  // ModelInspection

}  // namespace espalier
