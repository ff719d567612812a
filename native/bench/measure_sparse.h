// What pruning gains: a network beside itself with fewer weights, inference and training, interleaved in one
// run.
#pragma once

#include <nlohmann/json.hpp>

#include "bench/measure.h"

namespace espalier {

// The preset with float weights, and with the smallest of each layer's weights pruned; the packed model of
// each (runtime/packed_model.h), and steps of fine-tuning (momentum).
//
//   {model, kernels, threads, batch_size,
//    dense_microseconds, dense_single_microseconds,        for one image, at that batch; of an image by
//    itself sparse: [{sparsity, microseconds, speedup, single_microseconds, single_speedup, bytes,
//    equals_dense,
//              formats: [one for each layer]}],
//    slimmed: {microseconds, speedup},                     half of the channels and units gone
//    training: [{sparsity, microseconds_per_image, speedup}],
//    kernels_at_90: [{kernel, layer, microseconds_per_image}]}
//
// equals_dense: the outputs are those of the same weights in the format float32, bit for bit.
nlohmann::json measure_sparse(const nlohmann::json& spec, const Kernels& kernels,
                              const MeasureOptions& options);

}  // namespace espalier
