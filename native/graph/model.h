// A graph with its parameters: what is trained, evaluated, compressed, run and saved.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "graph/executor.h"
#include "graph/graph.h"

namespace espalier {

struct Dataset;

struct Model {
  Graph graph;
  Parameters parameters;

  explicit Model(Graph compiled) : graph(std::move(compiled)), parameters(graph) {}
  // Fresh weights. `dataset` (may be null) gives the input normalisation if the spec has none.
  // (In train/trainer.cpp: what only runs models has no part of it.)
  static std::unique_ptr<Model> create(const nlohmann::json& spec, std::uint64_t seed,
                                       const Dataset* dataset);
};

}  // namespace espalier
