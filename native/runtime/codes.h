// Feature maps as codes: which number a byte stands for.
#pragma once

#include <cstdint>

#include "core/real.h"

namespace espalier {

// number = scale · (code - zero_point), code in [0, highest].
struct CodeGrid {
  float scale = 1;
  int zero_point = 0;
  int highest = 255;

  friend bool operator==(const CodeGrid&, const CodeGrid&) = default;
};

// clamp(round_half_even(number / scale) + zero_point), as ONNX's QuantizeLinear.
int code_of(float number, const CodeGrid& grid);

// A bias in steps of what a sum of products counts: round_half_even(bias / (feature_scale · weight_scale)).
std::int32_t bias_code(float bias, float feature_scale, float weight_scale);

}  // namespace espalier
