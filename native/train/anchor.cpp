#include "train/anchor.h"

#include <algorithm>

#include "core/error.h"
#include "train/copy.h"
#include "train/trainer.h"

namespace espalier {

Anchor::Anchor(const TrainingTerms& terms, const Graph& graph, std::span<const double> rates,
               ThreadPool& pool)
    : anchor_(terms.anchor->parameters), l2sp_(terms.l2sp), pool_(pool) {
  for (const SharedTensor& shared : shared_tensors(graph, terms.anchor->graph)) {
    if (!shared.info->trainable || !shared.other->trainable || rates[shared.node->index] == 0) continue;
    for (std::int64_t at = 0; at < shared.info->size; at += kPiece) {
      pieces_.push_back(
          {shared.info->offset + at, shared.other->offset + at, std::min(kPiece, shared.info->size - at), 0});
    }
  }
  if (pieces_.empty()) {
    throw Error(ErrorCode::kArgument, "l2sp",
                "has nothing to pull: no layer that is trained has weights of the same name and shape in \"" +
                    terms.anchor->graph.name + "\"; set it to 0");
  }
}

double Anchor::add_gradient(Parameters& parameters) {
  const auto l2sp = static_cast<real>(l2sp_);
  pool_.run(static_cast<int>(pieces_.size()), [&](int i, int) {
    Piece& piece = pieces_[static_cast<std::size_t>(i)];
    const real* value = parameters.value.data() + piece.begin;
    const real* anchor = anchor_.value.data() + piece.anchor_begin;
    real* gradient = parameters.gradient.data() + piece.begin;
    piece.sum = 0;
    for (std::int64_t k = 0; k < piece.count; ++k) {
      const real difference = value[k] - anchor[k];
      gradient[k] += l2sp * difference;
      piece.sum += static_cast<double>(difference) * difference;
    }
  });
  double sum = 0;
  for (const Piece& piece : pieces_) sum += piece.sum;
  return l2sp_ / 2 * sum;
}

}  // namespace espalier
