// A model as one header of portable C99: its packed weights and a small reference loop, for places where
// nothing else runs. It computes in float; its sums have one order, the row's.
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
// A layer's weights are bytes or half bytes that point into a table where they have few values, else int8
// with a scale for each row, else float; where most are pruned, only the others are there, with their places.
// Error{kArgument} for a name that C does not take.
std::string save_c(const Model& model, std::string_view name);

}  // namespace espalier
