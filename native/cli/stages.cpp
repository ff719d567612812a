#include "cli/stages.h"

#include "cli/common.h"

namespace espalier::cli {

void Stages::show(const Progress& now, const std::string& before) {
  if (now.stage != stage_ || now.done < done_) begin(now);
  if (now.done != done_ && now.loss >= 0) learn(now);
  done_ = now.done;
  if (!line_.due()) return;
  std::string numbers = weight_ > 0 ? learning_numbers(loss_ / weight_, accuracy_ / weight_) : "";
  if (done_ > first_) {
    const double left = time_left(stopwatch_.seconds(), first_, done_, now.total);
    numbers += (numbers.empty() ? "ETA " : "  ETA ") + duration(left);
  }
  line_.show(before + std::string(stage_), "step", done_, now.total, numbers);
}

void Stages::begin(const Progress& now) {
  stage_ = now.stage;
  first_ = done_ = now.done;
  loss_ = accuracy_ = weight_ = 0;
  stopwatch_.restart();
}

// A mean that forgets: single steps jump too much to be read.
void Stages::learn(const Progress& now) {
  constexpr double kKeep = 0.98;
  loss_ = kKeep * loss_ + now.loss;
  accuracy_ = kKeep * accuracy_ + now.accuracy;
  weight_ = kKeep * weight_ + 1;
}

}  // namespace espalier::cli
