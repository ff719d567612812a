#include "io/onnx_constant.h"

#include <cstring>
#include <string>

namespace espalier::onnx {
namespace {

template <class Number>
std::vector<Number> elements(const std::string& bytes) {
  std::vector<Number> list(bytes.size() / sizeof(Number));
  if (!list.empty()) std::memcpy(list.data(), bytes.data(), list.size() * sizeof(Number));
  return list;
}

}  // namespace

Constant constant_of(const Tensor& tensor) {
  Constant constant;
  constant.dims = tensor.dims;
  constant.type = tensor.type;
  const auto take = [&](const auto& list) { constant.numbers.assign(list.begin(), list.end()); };
  switch (tensor.type) {
    case DataType::kFloat:
      constant.numbers = elements<float>(tensor.bytes);
      break;
    case DataType::kDouble:
      for (const double x : elements<double>(tensor.bytes)) constant.numbers.push_back(static_cast<float>(x));
      break;
    case DataType::kUint8:
      take(elements<std::uint8_t>(tensor.bytes));
      break;
    case DataType::kInt8:
      take(elements<std::int8_t>(tensor.bytes));
      break;
    case DataType::kInt64:
      constant.wholes = elements<std::int64_t>(tensor.bytes);
      break;
    case DataType::kInt32: {
      const auto codes = elements<std::int32_t>(tensor.bytes);
      constant.wholes.assign(codes.begin(), codes.end());  // not exact as floats
      break;
    }
    case DataType::kUint4:
    case DataType::kInt4:
      for (std::int64_t i = 0; i < tensor.size(); ++i) {
        const int code =
            static_cast<unsigned char>(tensor.bytes[static_cast<std::size_t>(i / 2)]) >> (i % 2 * 4) & 15;
        constant.numbers.push_back(
            static_cast<float>(tensor.type == DataType::kInt4 && code > 7 ? code - 16 : code));
      }
      break;
  }
  return constant;
}

}  // namespace espalier::onnx
