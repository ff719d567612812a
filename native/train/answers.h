// What a network answers to the images of a split, slice by slice, and how right that is.
#pragma once

#include <cstdint>
#include <vector>

#include "core/real.h"
#include "data/dataset.h"

namespace espalier {

struct EvaluationResult {
  int count = 0;
  double accuracy = 0;                   // 0 … 1
  double loss = 0;                       // mean cross-entropy
  std::vector<std::uint32_t> confusion;  // [true][predicted]
  std::vector<std::uint16_t> predictions;
  std::vector<float> confidences;  // probability of the predicted class
};

class Answers {
 public:
  // At most `slice` images at a time. `split` must outlive this.
  Answers(const Split& split, int classes, int slice);

  // Images that are counted: the slice under way begins there.
  int done() const { return done_; }

  // Logits [class][lanes] of `valid` images of the slice, from its image `first` on. Threads may take blocks
  // at the same time.
  void take(const real* logits, int lanes, int first, int valid);
  // The slice has all its answers, for `count` images.
  void finish_slice(int count);

  const EvaluationResult& result();

 private:
  const Split& split_;
  int classes_;
  std::vector<double> losses_;  // of the slice
  EvaluationResult result_;
  double loss_sum_ = 0;
  int correct_ = 0;
  int done_ = 0;
};

}  // namespace espalier
