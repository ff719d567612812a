#include "train/tables.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/math.h"

namespace espalier {
namespace {

constexpr OptimizerType kOptimizers[] = {
    {"sgd", "Plain gradient descent.", Update::kSgd, 0, 0.1},
    {"momentum", "Gradient descent with a velocity.", Update::kMomentum, 1, 0.02},
    {"nesterov", "Momentum that looks ahead.", Update::kNesterov, 1, 0.02},
    {"adam", "Steps scaled by each gradient's mean and variance.", Update::kAdam, 2, 0.001},
    {"adamw", "Adam with decoupled weight decay.", Update::kAdamW, 2, 0.001},
};

double constant(double) { return 1.0; }

// A tenth after each third.
double step(double progress) { return progress < 1.0 / 3 ? 1.0 : progress < 2.0 / 3 ? 0.1 : 0.01; }

double cosine(double progress) { return 0.5 * (1.0 + math::cos(math::kPi * progress)); }

// Smith and Topin 2018: up from 1/25 over the first 30 %, then down to 1/10,000, both by cosine.
double one_cycle(double progress) {
  constexpr double kStart = 1.0 / 25, kEnd = 1e-4, kPeak = 0.3;
  if (progress < kPeak) return 1.0 + (kStart - 1.0) * cosine(progress / kPeak);
  return kEnd + (1.0 - kEnd) * cosine((progress - kPeak) / (1.0 - kPeak));
}

constexpr ScheduleType kSchedules[] = {
    {"constant", "The same learning rate throughout.", constant},
    {"step", "A tenth of the rate after each third of the training.", step},
    {"cosine", "Half a cosine from the full rate to zero.", cosine},
    {"one-cycle", "Up over the first 30 %, then down to almost zero.", one_cycle},
};

template <class Row>
const Row& find(std::span<const Row> rows, std::string_view name, const char* field) {
  std::string names;
  for (const Row& row : rows) {
    if (row.name == name) return row;
    names += (names.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(ErrorCode::kArgument, field,
              "\"" + std::string(name) + "\" is unknown; choose one of " + names);
}

}  // namespace

std::span<const OptimizerType> optimizer_types() { return kOptimizers; }
std::span<const ScheduleType> schedule_types() { return kSchedules; }

const OptimizerType& find_optimizer(std::string_view name) {
  return find(optimizer_types(), name, "optimizer");
}
const ScheduleType& find_schedule(std::string_view name) { return find(schedule_types(), name, "schedule"); }
const LossType& find_loss(std::string_view name) { return find(loss_types(), name, "loss"); }

double learning_rate(const ScheduleType& schedule, double base, std::int64_t step, std::int64_t steps,
                     std::int64_t warmup_steps) {
  if (step < warmup_steps) return base * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  const std::int64_t rest = std::max<std::int64_t>(steps - warmup_steps, 1);
  return base * schedule.factor(static_cast<double>(step - warmup_steps) / static_cast<double>(rest));
}

}  // namespace espalier
