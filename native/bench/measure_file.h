// What a compressed model is as a file: its bytes, and how fast what was read back runs.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/work.h"
#include "data/dataset.h"
#include "runtime/packed_model.h"

namespace espalier {

// Times batches of 64 images of a dataset (test images, else validation, else training images).
class InferenceClock {
 public:
  // Runs a batch. For the time of one thread, by one thread.
  using Infer = std::function<void(const std::uint8_t* images, int count)>;

  InferenceClock(const Dataset& dataset, Infer infer);

  // The next batch. False when enough are timed.
  bool advance();
  // For each image, the median of the batches; 0 without any.
  double microseconds() const;

 private:
  Infer infer_;
  const Split& split_;
  int batch_ = 0;
  int done_ = 0;  // batches, the warm-up included
  double seconds_ = 0;
  std::vector<double> durations_;
};

// One after the other, on the calling thread.
InferenceClock::Infer blocks_of(PackedModel& model);

// Times each of the model's instructions by itself, on a block of the dataset's images.
class LayerClock {
 public:
  struct Layer {
    std::string name;
    double microseconds = 0;  // for each image
  };

  LayerClock(PackedModel& model, const Dataset& dataset);

  // The next few milliseconds. False when all are timed.
  bool advance();
  const std::vector<Layer>& layers() const { return layers_; }

 private:
  PackedModel& model_;
  std::vector<std::uint8_t> images_;  // a block
  std::vector<double> durations_;     // of the instruction under way
  double seconds_ = 0;                // of those
  double spent_ = 0;                  // with what came before each of them
  std::vector<Layer> layers_;
};

// Microseconds for each image, of an InferenceClock that runs to its end.
double microseconds_per_image(const Dataset& dataset, InferenceClock::Infer infer);

nlohmann::json to_json(const LayerExecution& layer);

class FileMeter {
 public:
  FileMeter(const Dataset& dataset, const Kernels& kernels) : dataset_(dataset), kernels_(kernels) {}

  // Adds "file_bytes" of the complete file and "microseconds_per_image" of the model that is read from it.
  // Everything must outlive the work.
  Work measure(const Model& model, std::string pipeline, nlohmann::json& line);

 private:
  const Dataset& dataset_;
  const Kernels& kernels_;
  ThreadPool pool_{1};
};

}  // namespace espalier
