// The options that make a TrainingConfig, in one table.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "train/config.h"

namespace espalier::cli {

class TrainingOptions {
 public:
  void add_to(CLI::App& app);

  // The configuration that the given options ask for. Errors name the option.
  TrainingConfig config() const;

  // Error{kArgument} when a given option contradicts the configuration of the checkpoint `name`.
  void check_agree(const TrainingConfig& resumed, const std::string& name) const;

 private:
  nlohmann::json given() const;

  std::map<std::string, std::string> texts_;  // by field, as typed
};

}  // namespace espalier::cli
