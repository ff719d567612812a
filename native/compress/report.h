// What a pass did to a model: a table of its layers, totals, accuracies. As text, JSON and CSV.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/trainer.h"

namespace espalier {

// Of one layer with parameters. Bytes are what its parameters take at their bits: codes of the stored weights
// (pruned ones are not stored), grids and the levels of codebooks (4 bytes a number), biases and batch norm
// with its running statistics (4 bytes), and, where anything is pruned, one bit per weight that tells which
// are. Where that is more than storing the zeros, the zeros are stored, if the grid has one. The files of the
// compressed runtime are smaller: they are entropy-coded.
struct LayerSize {
  std::string name;
  std::string type;
  std::int64_t parameters = 0;  // weights and biases; grids and running statistics are not counted
  std::int64_t nonzeros = 0;    // of them, as the layer computes: masked and quantized
  int bits = 32;                // of a weight
  std::int64_t bytes = 0;
  std::int64_t macs = 0;  // for one image, zeros included
};
// The total also has the grids of feature maps (8 bytes for each fake_quantize) and the MACs of layers
// without parameters. `total.bits` is the mean over the weights, rounded.
struct ModelSize {
  std::vector<LayerSize> layers;
  LayerSize total;
};
ModelSize measure(const Model& model);

// Parameters that are masked and not 0: always 0, or a pass is broken.
std::int64_t revived_weights(const Model& model);

// Accuracies on the validation and on the test images (test: reported, never chosen on).
struct Accuracy {
  double validation = 0;
  double test = 0;
};

struct Report {
  std::string pass;  // "prune"
  std::string model;
  std::uint64_t seed = 0;
  ModelSize before;
  ModelSize after;
  std::optional<Accuracy> accuracy_before;
  std::optional<Accuracy> accuracy_after;      // of the pass alone, before any fine-tuning
  std::optional<Accuracy> accuracy_finetuned;  // after fine-tuning
  std::optional<Accuracy> accuracy_control;    // the original, fine-tuned equally long without the pass
  // Transfer: of the source's own task, before and after (forgetting).
  std::optional<Accuracy> source_before;
  std::optional<Accuracy> source_after;
  int finetune_epochs = 0;
  std::int64_t revived = 0;
  // What else the pass has to say, by name: the chosen bits, thresholds, copied layers, forgetting.
  std::vector<std::pair<std::string, std::string>> notes;
};

std::string to_table(const Report& report);  // for a terminal, lines of at most 110 columns
std::string to_csv(const Report& report);    // a header, a row for each layer, a row "total"
// The fields of Report by name; accuracies that there are; notes as an object.
nlohmann::json to_json(const Report& report);
nlohmann::json to_json(const ModelSize& size);
nlohmann::json to_json(const Accuracy& accuracy);

}  // namespace espalier
