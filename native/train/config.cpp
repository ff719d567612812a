// The training configuration as JSON, in one table.
#include "train/config.h"

#include <nlohmann/json.hpp>

#include "data/augment.h"
#include "train/tables.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr double kMaxSeed = 9007199254740991;

constexpr ConfigField kFields[] = {
    {"epochs", "Times that the training images are seen", member<&TrainingConfig::epochs>, 1, 1e6},
    {"batch_size", "Images in a step", member<&TrainingConfig::batch_size>, 1, 4096},
    {"learning_rate", "Learning rate", member<&TrainingConfig::learning_rate>, 0, 1e9},
    {"optimizer", "Optimizer", member<&TrainingConfig::optimizer>},
    {"momentum", "Velocity decay; beta1 of adam", member<&TrainingConfig::momentum>, 0, 0.9999},
    {"beta2", "Decay of adam's squares", member<&TrainingConfig::beta2>, 0, 0.999999},
    {"epsilon", "Added to adam's denominator", member<&TrainingConfig::epsilon>, 1e-15, 1},
    {"weight_decay", "Weight decay", member<&TrainingConfig::weight_decay>, 0, 10},
    {"clip_norm", "Largest norm of a gradient; 0: any", member<&TrainingConfig::clip_norm>, 0, 1e9},
    {"schedule", "Learning rate over time", member<&TrainingConfig::schedule>},
    {"warmup_steps", "Steps of linear warm-up", member<&TrainingConfig::warmup_steps>, 0, 1e9},
    {"loss", "Loss", member<&TrainingConfig::loss>},
    {"label_smoothing", "Share of a target spread over all classes", member<&TrainingConfig::label_smoothing>,
     0, 0.99},
    {"augment", "Changes to the training images", member<&TrainingConfig::augment>},
    {"seed", "Seed of everything random", member<&TrainingConfig::seed>, 0, kMaxSeed},
    {"limit", "Use only the first so many training images; 0: all", member<&TrainingConfig::limit>, 0, 1e9},
    {"validate", "Evaluate on the validation images after each epoch", member<&TrainingConfig::validate>},
    {"freeze", "Layers that keep their parameters: names, or beginnings of names with a *",
     member<&TrainingConfig::freeze>},
    {"layer_rates", "Factors on the learning rate of some layers: \"conv1=0.1\"",
     member<&TrainingConfig::layer_rates>},
};

}  // namespace

std::span<const ConfigField> training_fields() { return kFields; }

json to_json(const TrainingConfig& config) { return write_config(kFields, &config); }

TrainingConfig training_config(const json& object) {
  TrainingConfig config;
  if (object.is_object()) {
    if (const auto name = object.find("optimizer"); name != object.end() && name->is_string()) {
      config.learning_rate = find_optimizer(name->get<std::string>()).default_learning_rate;
    }
  }
  read_config(kFields, object, &config);
  find_optimizer(config.optimizer);
  find_schedule(config.schedule);
  find_loss(config.loss);
  parse_augmentation(config.augment);
  return config;
}

}  // namespace espalier
