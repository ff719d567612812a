// A pass on the screen: its stage, means over the last steps, the time that is left.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/progress.h"
#include "core/work.h"

namespace espalier::cli {

class Stages {
 public:
  explicit Stages(bool json) : line_(json) {}

  // `before`: what the stage is part of, "2/4 quantize: ".
  void show(const Progress& now, const std::string& before = "");
  void clear() { line_.clear(); }

 private:
  void begin(const Progress& now);
  void learn(const Progress& now);

  ProgressLine line_;
  Stopwatch stopwatch_;
  std::string_view stage_;
  std::int64_t first_ = 0;
  std::int64_t done_ = 0;
  double loss_ = 0;
  double accuracy_ = 0;
  double weight_ = 0;
};

}  // namespace espalier::cli
