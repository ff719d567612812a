// The .espalier file: a model in as few bytes as its weights allow. Every byte is described in io/README.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/named_bytes.h"
#include "graph/model.h"

namespace espalier {

struct EspalierFile {
  std::unique_ptr<Model> model;
  std::vector<std::string> labels;
  std::string pipeline;  // JSON text, or empty
};

// What a part of the file takes: a tensor ("conv1.weight") or "header", "spec", "labels", "pipeline".
struct FilePart {
  std::string name;
  std::int64_t bytes = 0;    // the parts' sum is the file's size
  double entropy_bytes = 0;  // of the coder's own probabilities: -log2, summed
};

// `labels`: one for each class, or none. Weights are stored as the model computes with them: codes and grids
// of quantized ones, nothing of pruned ones, float32 of the others; what is read gives the same logits, bit
// for bit. `parts` (may be null) takes the sizes.
std::vector<std::uint8_t> save_espalier(const Model& model, std::span<const std::string> labels,
                                        std::string_view pipeline, std::vector<FilePart>* parts = nullptr);

// Trusts nothing. Error{kModel} names the file: not an .espalier file, cut off, damaged, of a newer version,
// or with contents that contradict themselves.
EspalierFile load_espalier(const NamedBytes& file);

// Whether the bytes begin as such a file does.
bool is_espalier(std::span<const std::uint8_t> bytes);

}  // namespace espalier
