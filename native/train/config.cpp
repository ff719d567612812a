// The training configuration as JSON, in one table: reading, checking and writing cannot disagree.
#include "train/config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <variant>

#include "core/error.h"
#include "data/augment.h"
#include "train/tables.h"

namespace espalier {
namespace {

using nlohmann::json;

struct ConfigField {
  std::string_view name;
  std::variant<int TrainingConfig::*, double TrainingConfig::*, std::string TrainingConfig::*,
               bool TrainingConfig::*, std::uint64_t TrainingConfig::*>
      target;
  double minimum = 0;
  double maximum = 0;
};

constexpr ConfigField kFields[] = {
    {"epochs", &TrainingConfig::epochs, 1, 1e6},
    {"batch_size", &TrainingConfig::batch_size, 1, 4096},
    {"learning_rate", &TrainingConfig::learning_rate, 0, 1e9},
    {"optimizer", &TrainingConfig::optimizer},
    {"momentum", &TrainingConfig::momentum, 0, 0.9999},
    {"beta2", &TrainingConfig::beta2, 0, 0.999999},
    {"epsilon", &TrainingConfig::epsilon, 1e-15, 1},
    {"weight_decay", &TrainingConfig::weight_decay, 0, 10},
    {"clip_norm", &TrainingConfig::clip_norm, 0, 1e9},
    {"schedule", &TrainingConfig::schedule},
    {"warmup_steps", &TrainingConfig::warmup_steps, 0, 1e9},
    {"loss", &TrainingConfig::loss},
    {"label_smoothing", &TrainingConfig::label_smoothing, 0, 0.99},
    {"augment", &TrainingConfig::augment},
    {"seed", &TrainingConfig::seed, 0, 9007199254740991.0},
    {"limit", &TrainingConfig::limit, 0, 1e9},
    {"validate", &TrainingConfig::validate},
};

[[noreturn]] void fail(std::string_view field, const std::string& message) {
  throw Error(ErrorCode::kArgument, std::string(field), message);
}

std::string number_text(double value) {
  return value == std::floor(value) ? std::to_string(static_cast<long long>(value)) : json(value).dump();
}

double number(const ConfigField& field, const json& value, bool whole) {
  if (!value.is_number()) fail(field.name, "must be a number, found " + value.dump());
  const double x = value.get<double>();
  if (!(x >= field.minimum && x <= field.maximum) || (whole && x != std::floor(x))) {
    fail(field.name, std::string("must be a ") + (whole ? "whole " : "") + "number from " +
                         number_text(field.minimum) + " to " + number_text(field.maximum) + ", found " +
                         value.dump());
  }
  return x;
}

struct Reader {
  TrainingConfig& config;
  const ConfigField& field;
  const json& value;
  void operator()(int TrainingConfig::* m) const { config.*m = static_cast<int>(number(field, value, true)); }
  void operator()(std::uint64_t TrainingConfig::* m) const {
    config.*m = static_cast<std::uint64_t>(number(field, value, true));
  }
  void operator()(double TrainingConfig::* m) const { config.*m = number(field, value, false); }
  void operator()(std::string TrainingConfig::* m) const {
    if (!value.is_string()) fail(field.name, "must be a text, found " + value.dump());
    config.*m = value.get<std::string>();
  }
  void operator()(bool TrainingConfig::* m) const {
    if (!value.is_boolean()) fail(field.name, "must be true or false, found " + value.dump());
    config.*m = value.get<bool>();
  }
};

}  // namespace

json to_json(const TrainingConfig& config) {
  json result = json::object();
  for (const ConfigField& field : kFields) {
    std::visit([&](auto member) { result[field.name] = config.*member; }, field.target);
  }
  return result;
}

TrainingConfig training_config(const json& object) {
  if (!object.is_object()) fail("config", "must be a JSON object");
  TrainingConfig config;
  if (const auto name = object.find("optimizer"); name != object.end() && name->is_string()) {
    config.learning_rate = find_optimizer(name->get<std::string>()).default_learning_rate;
  }
  for (const auto& [key, value] : object.items()) {
    const ConfigField* found = nullptr;
    std::string names;
    for (const ConfigField& field : kFields) {
      if (field.name == key) found = &field;
      names += (names.empty() ? "" : ", ") + std::string(field.name);
    }
    if (!found) fail(key, "is unknown; a training has " + names);
    std::visit(Reader{config, *found, value}, found->target);
  }
  find_optimizer(config.optimizer);
  find_schedule(config.schedule);
  find_loss(config.loss);
  parse_augmentation(config.augment);
  return config;
}

}  // namespace espalier
