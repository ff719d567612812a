// How fast a model trains here, and where the time goes: every kernel by the layer it worked for, beside the
// peak that the processor reached in the same run.
#pragma once

#include <nlohmann/json.hpp>

#include "kernels/kernels.h"

namespace espalier {

struct MeasureOptions {
  int batch_size = 64;
  int threads = 1;
  double seconds = 2;     // for all windows together
  double quantile = 0.5;  // of the times of many steps: the median; less looks through a busy machine
};

// Whole training steps (momentum, random images, no augmentation) and the peak, measured in turn; then, on
// one thread, each kernel by itself.
//
//   {model, kernels, threads, batch_size, peak_gflops, images_per_second,
//    mflop_per_image, gflops, share_of_peak,
//    layers: [{layer, mflop_per_image, microseconds_per_image, gflops, share_of_peak,
//              directions: [{kernel, …the same}]}],
//    others: [{kernel, microseconds_per_image}]}
//
// A multiply-add is two operations; those at padding count, as in every published figure.
nlohmann::json measure_training(const nlohmann::json& spec, const Kernels& kernels,
                                const MeasureOptions& options);

}  // namespace espalier
