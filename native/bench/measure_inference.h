// How fast a model runs in its packed form beside floats: whole networks, interleaved in one run, and each
// instruction by itself.
#pragma once

#include <nlohmann/json.hpp>

#include "bench/measure.h"

namespace espalier {

// The preset with 8-bit weights and features (grids that spread, weights at random) against its own float
// kernels on the same images.
//
//   {model, kernels, integer_kernels, threads, batch_size,
//    float_microseconds, int8_microseconds, speedup,          for one image, at that batch
//    single_float_microseconds, single_int8_microseconds,     of an image by itself
//    equals_reference, checksum,                              of 32 images' outputs
//    layers: [{layer, microseconds_per_image}]}               one for each instruction
nlohmann::json measure_inference(const nlohmann::json& spec, const Kernels& kernels,
                                 const MeasureOptions& options);

}  // namespace espalier
