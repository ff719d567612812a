// Many pipelines over one trained model. A grid file is a pipeline (pipeline.h) with lists in place of
// values:
//
//   {"passes": [{"pass": "prune", "sparsity": [0.8, 0.9, 0.95], "finetune": 5},
//               [null, {"pass": "slim"}],
//               {"pass": "quantize", "scheme": "codebook", "weights": ["4", "5"], "qat": 2}],
//    "training": {"seed": [1, 2, 3]}}
//
// is 36 of them: every combination, the first list changing slowest. A list of passes is a choice, null
// leaves it out. Where a field takes a list, write lists of lists. With
//
//   "halving": {"budget": 9, "rungs": 3, "keep": 0.34, "least_accuracy": 0.98, "seed": 1}
//
// it is successive halving (Jamieson and Talwalkar 2016) over random draws: values may also be ranges
// {"from": 0.001, "to": 0.1, "scale": "log"}. Of each rung the share `keep` goes on, with 1 / keep times the
// epochs; the last one has them all. `budget` is what that costs, counted in whole pipelines. Who goes on is
// chosen by bytes and accuracy on validation images: front by front of Pareto, those below `least_accuracy`
// last.
//
// Results are JSON lines. A line's pipeline, with all defaults and its seed, says what it is a result of.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/pipeline.h"

namespace espalier {

struct Halving {
  double budget = 9;
  int rungs = 3;
  double keep = 1.0 / 3;
  double least_accuracy = 0;
  std::uint64_t seed = 1;
};

struct Trial {
  nlohmann::json pipeline;  // in full, see to_json(Pipeline)
  nlohmann::json choices;   // {"passes[0].sparsity": 0.9}
};

struct SweepGrid {
  nlohmann::json pipeline;  // with lists
  std::optional<Halving> halving;
};

// Error{kArgument} naming the field.
SweepGrid parse_grid(const nlohmann::json& json);

// Every combination; with halving, the draws of the first rung with all their epochs. All are checked.
// Error{kArgument} naming the field: "passes[0].sparsity". `seed` where the grid has none.
std::vector<Trial> trials_of(const SweepGrid& grid, std::uint64_t seed);

// A share of the trials: those whose index is `index` modulo `count`. Halving halves within its shard.
struct Shard {
  int index = 0;
  int count = 1;
};
Shard parse_shard(std::string_view text);  // "0/4"; Error{kArgument}
std::vector<Trial> shard_of(std::vector<Trial> trials, const Shard& shard);

// The trial with every number of epochs cut to a share, at least 1.
Trial with_share_of_epochs(const Trial& trial, double share);

// The lines of a result file. What follows the last line break was torn off when a sweep was stopped, and is
// dropped. Error{kData} at "name:line".
std::vector<nlohmann::json> read_results(std::string_view text, const std::string& name);
std::string to_text(const std::vector<nlohmann::json>& lines);

// Sets "pareto" of each line: whether no other line is as good in bytes, validation accuracy and
// microseconds, and better in one. Lines with an error are never on the front.
void mark_pareto(std::vector<nlohmann::json>& lines);

struct Sweep {
  const Model& model;
  const Dataset& dataset;
  const Kernels& kernels;
  ThreadPool& pool;
  // What lines must agree in to be of this sweep: {"source_sha256": "…", "data": "mnist"}.
  nlohmann::json origin;
  // Adds what is known of the complete file: "file_bytes", "microseconds_per_image".
  std::function<Work(const Model& model, const nlohmann::json& pipeline, nlohmann::json& line)> measure;
  // Is given every new line at once.
  std::function<void(const nlohmann::json& line)> keep;

  // Where it is: of the trials that are known so far.
  int done = 0;
  int skipped = 0;  // of them, those whose lines were there
  int total = 0;
  nlohmann::json choices;  // of the trial under way
};

// Runs the trials whose lines are not among `lines` yet, and adds theirs. A pipeline that refuses its model
// or diverges leaves a line with an "error". Both arguments must outlive the work.
Work run_sweep(Sweep& sweep, SweepGrid grid, std::vector<Trial> trials, std::vector<nlohmann::json>& lines);

}  // namespace espalier
