// Long work on the screen: a line that moves where there is a terminal, a plain line every ten seconds where
// there is none.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cli/terminal.h"

namespace espalier::cli {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  void restart() { begin_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begin_ = Clock::now();
};

class ProgressLine {
 public:
  // With --json, standard output is for the object: there are no plain lines.
  explicit ProgressLine(bool json);

  // Whether it is time for show() again.
  bool due() const;
  // "fine-tune [####....]  loss 0.0312", or "fine-tune  step 3/10  loss 0.0312".
  void show(const std::string& name, const char* unit, std::int64_t done, std::int64_t total,
            const std::string& numbers);
  void clear() { status_.clear(); }  // before anything else is printed

 private:
  bool json_;
  StatusLine status_;
  Stopwatch since_shown_;
};

// "loss 0.0312  accuracy 98.1 %"
std::string learning_numbers(double loss, double accuracy);

// Seconds until `done` is `total`, when `seconds` brought it from `first` to `done`.
double time_left(double seconds, std::int64_t first, std::int64_t done, std::int64_t total);

}  // namespace espalier::cli
