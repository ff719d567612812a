#include "train/answers.h"

#include "core/math.h"

namespace espalier {

Answers::Answers(const Split& split, int classes, int slice) : split_(split), classes_(classes) {
  const auto size = static_cast<std::size_t>(classes), count = static_cast<std::size_t>(split.count());
  losses_.resize(static_cast<std::size_t>(slice));
  result_.confusion.resize(size * size);
  result_.predictions.resize(count);
  result_.confidences.resize(count);
}

void Answers::take(const real* logits, int lanes, int first, int valid) {
  for (int i = first; i < first + valid; ++i, ++logits) {
    const auto logit = [&](int c) { return double{logits[c * lanes]}; };
    const auto at = static_cast<std::size_t>(done_ + i);
    int predicted = 0;
    for (int c = 1; c < classes_; ++c) predicted = logit(c) > logit(predicted) ? c : predicted;
    double sum = 0;
    for (int c = 0; c < classes_; ++c) sum += math::exp(logit(c) - logit(predicted));
    losses_[static_cast<std::size_t>(i)] = math::log(sum) + logit(predicted) - logit(split_.labels[at]);
    result_.predictions[at] = static_cast<std::uint16_t>(predicted);
    result_.confidences[at] = static_cast<float>(1 / sum);
  }
}

void Answers::finish_slice(int count) {
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(done_ + i);
    const int label = split_.labels[at], predicted = result_.predictions[at];
    loss_sum_ += losses_[static_cast<std::size_t>(i)];
    correct_ += predicted == label ? 1 : 0;
    ++result_.confusion[static_cast<std::size_t>(label * classes_ + predicted)];
  }
  done_ += count;
}

const EvaluationResult& Answers::result() {
  result_.count = done_;
  result_.accuracy = done_ > 0 ? static_cast<double>(correct_) / done_ : 0;
  result_.loss = done_ > 0 ? loss_sum_ / done_ : 0;
  return result_;
}

}  // namespace espalier
