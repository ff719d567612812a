// Models and interrupted trainings as safetensors files, which Python's `safetensors` opens too.
//
//   tensors   Graph::parameters() in order, running statistics included ("conv1.weight", …); then, of a
//             training that is not finished, "optimizer.moment1.conv1.weight", …, "optimizer.moment2.…";
//             and "mask.conv1.weight", …, 1 or 0, of tensors that are partly pruned
//   metadata  "format"             "pt"
//             "espalier.spec"      the model spec with its input normalisation
//             "espalier.training"  {"config", "step", "training_images", "total_steps"}, if there was one
//             "espalier.labels"    a list of the classes' names, if they are known
//             "espalier.pipeline"  the pipeline that compressed it (compress/pipeline.h), if one did
//
// A training that is stopped at any step and resumed ends with the same bits as one that was not: all that
// is random is a function of (seed, epoch, image), so weights, moments and the step are the whole state.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"
#include "train/trainer.h"

namespace espalier {

// `trainer` (may be null) is the training that the model is in. `labels`: one for each class, or none.
std::vector<std::uint8_t> save_model(const Model& model, const Trainer* trainer = nullptr,
                                     std::span<const std::string> labels = {},
                                     std::string_view pipeline = {});

struct TrainingState {
  TrainingConfig config;
  std::int64_t step = 0;
  std::int64_t training_images = 0;
  std::int64_t total_steps = 0;
  std::vector<aligned_vector<real>> moments;  // parallel to the trainable slab; none when finished

  bool finished() const { return step >= total_steps; }
};

struct Checkpoint {
  std::unique_ptr<Model> model;
  std::optional<TrainingState> training;
  std::vector<std::string> labels;  // of the classes; empty: the file has none
  std::string pipeline;             // JSON text of what made it; empty: the file has none
};

// Errors of these are Error{kModel} that name the file: not a safetensors file, cut off, no spec inside,
// tensors that are missing, of another shape or not finite.
Checkpoint load_checkpoint(const NamedBytes& file);
std::unique_ptr<Model> load_model(const NamedBytes& file);

// Replaces the weights of an existing model. A checkpoint of another model is refused: the message names the
// first tensor that differs and both shapes. The model is unchanged then.
void load_weights(const NamedBytes& file, Model& model);

// Continues `state` in a fresh Trainer that was made for state.config. `name` is the checkpoint's, for the
// message when the dataset has another number of images than the one the training was begun on.
void resume(Trainer& trainer, const TrainingState& state, const std::string& name);

// All parameter tensors in file order as float32, nothing between them: what `weights_sha256` is taken of.
std::vector<std::uint8_t> weight_bytes(const Model& model);

#ifndef __EMSCRIPTEN__
std::string sha256_hex(std::span<const std::uint8_t> bytes);
#endif

}  // namespace espalier
