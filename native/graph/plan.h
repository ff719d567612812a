// Where every number of a training step or an inference lives, decided once.
//
// In training, batch norm needs the whole batch, so the graph is cut into segments before each of
// its layers. Blocks of images walk through a segment one after the other: a *sweep*. There is a
// forward sweep for each segment but the last, one sweep that goes forward through the last
// segment, takes the loss and comes back, and a backward sweep for each earlier segment. A graph
// without batch norm has one segment, thus one sweep, and its memory does not depend on the batch.
//
// Values that live within a sweep sit in the memory of the thread that works on the block
// (Scope::kBlock), and share it by liveness. Values that cross sweeps exist for each block of the
// batch (Scope::kBatch); cheap layers are computed again instead.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace espalier {

struct PlanOptions {
  bool training = false;
  int max_batch = kDefaultBatch;
  int threads = 1;
  bool keep_values = false;  // inference: every value stays readable (feature maps)
  std::vector<bool>
      frozen;  // training: nodes that run as in inference and keep their parameters; empty: none

  static constexpr int kDefaultBatch = 64;
};

struct Plan {
  enum class Scope : std::uint8_t { kNone, kImages, kBlock, kBatch };

  // `offset` is within the thread's memory (kBlock) or the arena (kBatch, plus block · size).
  struct Buffer {
    Scope scope = Scope::kNone;
    std::int64_t offset = 0;
    std::int64_t size = 0;
  };

  enum class Action : std::uint8_t { kForward, kPartialStatistics, kLoss, kPartialGradients, kBackward };

  struct Step {
    Action action = Action::kForward;
    int node = 0;
    std::vector<Buffer> in;
    Buffer out;
    Buffer grad_out;
    std::vector<Buffer> grad_in;        // where the layer writes
    std::vector<Buffer> accumulate_to;  // where that is added, when another consumer wrote first
  };

  struct Sweep {
    std::vector<Step> steps;
    std::vector<int> reduce_statistics;  // nodes, after the sweep
    std::vector<int> reduce_gradients;
    std::vector<int> round_nodes;  // nodes whose weight gradient is taken at the end of each round
  };

  std::vector<Sweep> sweeps;
  std::vector<Buffer> values;  // by value id, as the last sweep sees them

  // By node, offsets into the arena; -1 where the node has none.
  std::vector<std::int64_t> packed;
  std::vector<std::int64_t> stash;
  std::vector<std::int64_t> statistics;
  std::vector<std::int64_t> partials;

  std::int64_t shard_gradients = 0;  // kShards slabs of shard_gradient_size
  std::int64_t shard_gradient_size = 0;
  std::int64_t threads = 0;  // one memory of thread_size for each thread
  std::int64_t thread_size = 0;
  std::int64_t arena_size = 0;  // numbers

  int lanes = 0;
  int max_blocks = 0;
  bool training = false;
  std::vector<bool> frozen;  // by node
};

Plan make_plan(const Graph& graph, int lanes, const PlanOptions& options);

}  // namespace espalier
