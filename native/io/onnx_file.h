// What of ONNX's protocol buffers (onnx.proto3) models of this engine use, as plain structs, and its bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/named_bytes.h"

namespace espalier::onnx {

// TensorProto.DataType: those that are read or written.
enum class DataType : std::int32_t {
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kInt32 = 6,
  kInt64 = 7,
  kDouble = 11,
  kUint4 = 21,
  kInt4 = 22,
};

// Elements little-endian, as in raw_data: 4-bit ones two to a byte, the first one low.
struct Tensor {
  std::string name;
  std::vector<std::int64_t> dims;  // empty: a scalar
  DataType type = DataType::kFloat;
  std::string bytes;

  std::int64_t size() const;  // the product of dims
};

struct Attribute {
  enum class Type : std::int32_t { kOther = 0, kFloat = 1, kInt = 2, kString = 3, kTensor = 4, kInts = 7 };

  std::string name;
  Type type = Type::kOther;
  float number = 0;
  std::int64_t whole = 0;
  std::string text;
  std::vector<std::int64_t> wholes;
  Tensor tensor;
};

struct Node {
  std::string name;
  std::string op;
  std::string domain;  // empty: ONNX's own operators
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::vector<Attribute> attributes;
};

// An input or output of the graph.
struct Value {
  std::string name;
  DataType type = DataType::kFloat;
  std::vector<std::int64_t> dims;  // kSymbolic: only running tells
  std::string summary;

  static constexpr std::int64_t kSymbolic = -1;
};

struct File {
  std::string name;  // of the graph
  std::int64_t opset = 13;
  std::map<std::string, std::string> metadata;
  std::vector<Node> nodes;
  std::vector<Tensor> constants;
  std::vector<Value> inputs;
  std::vector<Value> outputs;
};

std::vector<std::uint8_t> write(const File& file);

// Trusts nothing: dims fit the bytes, counts are bounded. Error{kModel} naming the file.
File read(const NamedBytes& file);

// Whether the bytes begin as an ONNX model does.
bool recognises(std::span<const std::uint8_t> bytes);

}  // namespace espalier::onnx
