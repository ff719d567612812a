// How fast a model runs in its packed form beside floats: whole networks, interleaved in one run, and each
// instruction by itself.
#pragma once

#include <nlohmann/json.hpp>

#include "bench/measure.h"
#include "kernels/integer_kernels.h"

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

// Every weight format in turn on the whole network, beside its own float kernels in the same run.
//
//   {model, kernels, integer_kernels, batch_size, float_microseconds,
//    rows: [{name, formats, bytes, microseconds, speedup}]}         formats: what the layers ran in
nlohmann::json measure_formats(const nlohmann::json& spec, const Kernels& kernels,
                               const MeasureOptions& options);

// The layers of a network with fewer and fewer weights, in the sparse format and in the one for all weights.
//
//   {model, kernels, integer_kernels,
//    layers: [{layer, rows: [{density, share, dense_microseconds, sparse_microseconds}]}],   share: of quads
//    left
//    single_layers}                                           the same of an image by itself
nlohmann::json measure_break_even(const nlohmann::json& spec, const Kernels& kernels,
                                  const MeasureOptions& options);

// Ten million random sums made codes by the kernels and by the definition (runtime/reference.h): hashes of
// all codes, which are the same ones on every processor.
//
//   {kernels, integer_kernels, count, hash, definition}
nlohmann::json check_requantizations(const IntegerKernels& kernels);

}  // namespace espalier
