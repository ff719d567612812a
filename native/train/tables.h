// What a training can be made of: optimizers, schedules and losses, a row each.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "graph/executor.h"
#include "kernels/kernels.h"

namespace espalier {

// Kingma and Ba 2015 (Adam), Loshchilov and Hutter 2019 (AdamW); the rest as in PyTorch.
struct OptimizerType {
  std::string_view name;  // "sgd", "momentum", "nesterov", "adam", "adamw"
  std::string_view summary;
  Update update;
  int moments;  // slabs of optimizer state
  double default_learning_rate;
};
std::span<const OptimizerType> optimizer_types();
const OptimizerType& find_optimizer(std::string_view name);  // throws Error{kArgument}

// The factor on the learning rate at `progress` in [0, 1] of the steps after warm-up.
struct ScheduleType {
  std::string_view name;  // "constant", "step", "cosine", "one-cycle"
  std::string_view summary;
  double (*factor)(double progress);
};
std::span<const ScheduleType> schedule_types();
const ScheduleType& find_schedule(std::string_view name);

struct LossType {
  std::string_view name;  // "softmax_cross_entropy", "mse"
  std::string_view summary;
  LossFunction function;
};
std::span<const LossType> loss_types();
const LossType& find_loss(std::string_view name);

// The losses with a teacher (train/terms.h): LossContext::teaching is set.
void distillation_loss(const LossContext& context);
void imitation_loss(const LossContext& context);

// The learning rate of step `step` of `steps`: linear warm-up, then the schedule.
double learning_rate(const ScheduleType& schedule, double base, std::int64_t step, std::int64_t steps,
                     std::int64_t warmup_steps);

}  // namespace espalier
