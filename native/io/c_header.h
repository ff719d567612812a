// A model as one header of portable C99: its packed weights and small loops, for places where nothing else
// runs. What runs on integers in the packed runtime does so here, with the same arithmetic
// (runtime/reference.cpp); the rest computes in float, its sums in the order of a row.
#pragma once

#include <string>
#include <string_view>

#include "graph/model.h"

namespace espalier {

// `name` begins the names of all that the header defines:
//
//   #define NAME_CLASSES 10, NAME_PIXELS 784
//   void NAME_logits(const unsigned char* pixels, float* logits);   // [channels][height][width]
//   int NAME_class(const unsigned char* pixels);
//
// Logits are those of the packed runtime with plain kernels, bit for bit (tanh and sigmoid: the C library's).
// Weights of at most 16 values (256 where they are floats) are codes of 1, 2, 4 or 8 bits into a table of
// levels, other integers are bytes; where that is fewer bytes, pruned ones are left out and each of the
// others has its distance from the one before. Feature maps share one static piece of memory. Nothing is
// allocated. Error{kArgument} for a name that C does not take.
std::string save_c(const Model& model, std::string_view name);

}  // namespace espalier
