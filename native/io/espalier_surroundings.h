// The contexts of masks and levels in an .espalier file: what surrounds a weight in its tensor. Whether
// weights near it were kept, how many of its row, column and channel were, and which levels those near it
// have.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"
#include "io/context_coder.h"

namespace espalier::espl {

// Rows (output channels) of weights, each an image of input channels: what is near to what.
struct Window {
  std::int64_t rows = 1, channels = 1, height = 1, width = 1;
  std::int64_t row() const { return channels * height * width; }
};

// Of a layer with weights.
Window window_of(const Graph& graph, const Node& node);

// Which weights were kept and what they are, row after row: the surroundings of the next one.
class Surroundings {
 public:
  explicit Surroundings(const Window& window);

  // The weight that is next: each of them in turn, from 0 on.
  void move_to(std::int64_t at);
  // What it is; -1: pruned.
  void put(std::int32_t level);

  // `tensor` tells tensors of a file apart; `bits` are those of a level.
  Contexts mask_contexts(std::uint32_t tensor) const;
  Contexts level_contexts(std::uint32_t tensor, std::uint32_t bits) const;

 private:
  std::uint32_t kept(std::int64_t at, bool inside) const {
    return inside && level_[static_cast<std::size_t>(at)] >= 0 ? 1 : 0;
  }
  std::uint32_t level(std::int64_t at, bool inside) const {
    return inside ? static_cast<std::uint32_t>(level_[static_cast<std::size_t>(at)] + 1) : 999;
  }

  Window w_;
  std::vector<std::int32_t> level_;
  std::vector<std::int64_t> column_;   // kept in each column
  std::vector<std::int64_t> channel_;  // kept in each input channel
  std::int64_t at_ = 0, row_ = 0, in_row_ = 0, x_ = 0, y_ = 0, c_ = 0, kept_in_row_ = 0, kept_ = 0;
  std::uint32_t last_ = 0;
};

}  // namespace espalier::espl
