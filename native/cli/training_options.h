// The options that make a TrainingConfig, in one table.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/config_options.h"
#include "train/config.h"

namespace espalier::cli {

// Of `train`, or of the fine-tuning in a pass: that has no --epochs of its own, which the pass has, and
// --lr-schedule where the pass may have a --schedule.
enum class TrainingUse { kTraining, kFineTuning };

class TrainingOptions {
 public:
  void add_to(CLI::App& app, TrainingUse use = TrainingUse::kTraining);

  // The configuration that the given options ask for. Errors name the option. Fine-tuning begins at half of
  // the optimizer's learning rate.
  TrainingConfig config() const;

  bool has(const char* field) const { return options_.given().contains(field); }
  [[noreturn]] void rethrow(const Error& error) const { options_.rethrow(error); }

  // Error{kArgument} when a given option contradicts the configuration of the checkpoint `name`.
  void check_agree(const TrainingConfig& resumed, const std::string& name) const;

 private:
  TrainingUse use_ = TrainingUse::kTraining;
  ConfigOptions options_;
};

}  // namespace espalier::cli
