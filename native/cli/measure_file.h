// What a compressed model is as a file: its bytes, and how fast what was read back runs.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

#include "data/dataset.h"
#include "io/model_file.h"
#include "runtime/packed_model.h"

namespace espalier::cli {

// Microseconds for each image: the median of batches of 64 images of the dataset. For one thread's, give the
// model a pool of one.
using Infer = std::function<void(const std::uint8_t* images, int count, real* outputs)>;
double microseconds_per_image(const Dataset& dataset, int classes, const Infer& infer);
double microseconds_per_image(PackedModel& model, const Dataset& dataset);

class FileMeter {
 public:
  FileMeter(const Dataset& dataset, const Kernels& kernels) : dataset_(dataset), kernels_(kernels) {}

  // "file_bytes" of the complete file and "microseconds_per_image" of the model that is read from it.
  nlohmann::json measure(const Model& model, std::string_view pipeline);

 private:
  const Dataset& dataset_;
  const Kernels& kernels_;
  ThreadPool pool_{1};
};

}  // namespace espalier::cli
