// The safetensors format (https://github.com/huggingface/safetensors), float32 only:
//
//   8 bytes   length N of the header, little-endian
//   N bytes   JSON: {"__metadata__": {text: text}, "name": {"dtype": "F32", "shape": [...],
//             "data_offsets": [begin, end]}, …}, filled up with spaces to a multiple of 8
//   the rest  the tensors' bytes, little-endian, without holes
//
// Bytes in, bytes out: this compiles for WebAssembly too.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/load.h"

namespace espalier {

struct Tensor {
  std::string name;
  std::vector<std::int64_t> shape;  // empty: a single number
  std::vector<float> values;        // row-major
};

struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<Tensor> tensors;  // in the order of their bytes

  const Tensor* find(std::string_view name) const;
};

std::vector<std::uint8_t> write_safetensors(const TensorFile& file);

// Trusts nothing: lengths, offsets, shapes and holes are checked against the file's size before anything is
// allocated for them. Error{kModel} names the file.
TensorFile read_safetensors(const NamedBytes& file);

std::string shape_text(std::span<const std::int64_t> shape);  // "[8, 1, 3, 3]"

}  // namespace espalier
