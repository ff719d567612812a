#include "cli/progress.h"

#include <algorithm>
#include <iostream>
#include <string_view>

#include "cli/common.h"

namespace espalier::cli {
namespace {

constexpr double kStatusInterval = 0.1;  // seconds between changes of the status line …
constexpr double kLineInterval = 10;     // … and between the plain lines that stand in for it

}  // namespace

ProgressLine::ProgressLine(bool json) : json_(json), status_(is_terminal(2) && (json || is_terminal(1))) {}

bool ProgressLine::due() const {
  if (!status_.enabled() && json_) return false;
  return since_shown_.seconds() >= (status_.enabled() ? kStatusInterval : kLineInterval);
}

void ProgressLine::show(const std::string& name, const char* unit, std::int64_t done, std::int64_t total,
                        const std::string& numbers) {
  since_shown_.restart();
  const std::string after = numbers.empty() ? "" : "  " + numbers;
  if (!status_.enabled()) {
    std::cout << name << "  " << unit << " " << done << "/" << total << after << std::endl;
    return;
  }
  const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
  const int others = static_cast<int>(name.size() + after.size() + std::string_view(" []").size());
  status_.show(name + " [" + bar(share, std::clamp(status_.width() - others, 4, 30)) + "]" + after);
}

std::string learning_numbers(double loss, double accuracy) {
  return "loss " + fixed(loss, 4) + "  accuracy " + percent(accuracy);
}

double time_left(double seconds, std::int64_t first, std::int64_t done, std::int64_t total) {
  return done > first ? seconds * static_cast<double>(total - done) / static_cast<double>(done - first) : 0;
}

}  // namespace espalier::cli
