// ONNX's constant tensors as numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/onnx_file.h"

namespace espalier::onnx {

// A constant tensor as numbers; of a DequantizeLinear also what it was made of.
struct Constant {
  std::vector<std::int64_t> dims;
  std::vector<float> numbers;
  struct Codes {
    std::vector<std::int32_t> codes;
    std::vector<float> scales;  // one, or one for each index of `axis`
    std::vector<std::int32_t> zero_points;
    std::int64_t axis = 0;
    DataType type = DataType::kInt8;
  };
  std::optional<Codes> quantized;
  std::vector<std::int64_t> wholes;  // int64: shapes and axes
  DataType type = DataType::kFloat;

  std::int64_t dim(std::size_t i) const { return dims.at(i); }
};

Constant constant_of(const Tensor& tensor);

inline bool is_integer(DataType type) { return type != DataType::kFloat && type != DataType::kDouble; }

}  // namespace espalier::onnx
