// L2-SP (Li, Grandvalet and Davoine 2018): l2sp / 2 · |θ - θ_S|² pulls a model's weights towards those of the
// source instead of towards 0.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/executor.h"
#include "train/terms.h"

namespace espalier {

class Anchor {
 public:
  // Over the trainable tensors that both have, layers with rate 0 excluded. Error{kArgument} at "l2sp" when
  // there are none.
  Anchor(const TrainingTerms& terms, const Graph& graph, std::span<const double> rates, ThreadPool& pool);

  // Adds the term's gradient; returns its value.
  double add_gradient(Parameters& parameters);

 private:
  // Numbers of one tensor: a task of the pool.
  struct Piece {
    std::int64_t begin;
    std::int64_t anchor_begin;
    std::int64_t count;
    double sum;  // of squares
  };
  static constexpr std::int64_t kPiece = 16384;

  const Parameters& anchor_;
  double l2sp_;
  ThreadPool& pool_;
  std::vector<Piece> pieces_;
};

}  // namespace espalier
