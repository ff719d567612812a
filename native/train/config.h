// Everything a training can be told.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/config_fields.h"

namespace espalier {

// Field names in JSON are the same.
struct TrainingConfig {
  int epochs = 5;
  int batch_size = 64;
  double learning_rate = 0.02;
  std::string optimizer = "momentum";
  double momentum = 0.9;  // velocity decay; beta1 of adam
  double beta2 = 0.999;
  double epsilon = 1e-8;  // adam
  double weight_decay = 0;
  double clip_norm = 0;  // 0: off
  std::string schedule = "cosine";
  int warmup_steps = 0;
  std::string loss = "softmax_cross_entropy";
  double label_smoothing = 0;
  std::string augment = "none";
  std::uint64_t seed = 1;
  int limit = 0;  // use only the first so many training images; 0: all
  bool validate = true;
  // Layers that keep their parameters and run as in inference: names, or beginnings of names ("conv*").
  std::vector<std::string> freeze;
  std::vector<std::string> layer_rates;  // factors on the learning rate, in the same words: "conv1=0.1"
};
std::span<const ConfigField> training_fields();
nlohmann::json to_json(const TrainingConfig& config);
// Reads and checks; unknown fields and impossible values are Error{kArgument} naming the field.
TrainingConfig training_config(const nlohmann::json& json);

}  // namespace espalier
