// Models as ONNX files, for other programs, and theirs. What each layer becomes, and what stays exact, is in
// io/README.md.
#pragma once

#include "io/model_file.h"

namespace espalier {

// The inference graph in operator set 13 (21 where a layer's weights have at most 4 bits): input "image",
// float [N][channels][height][width] of pixels from 0 to 255; output "logits" [N][classes]. Weights are what
// the layers compute with, so pruned ones are 0; quantized weights and features are QuantizeLinear and
// DequantizeLinear around float operators.
std::vector<std::uint8_t> save_onnx(const Model& model, const ModelNotes& notes);

// Trusts nothing. Error{kUnsupported} names an operator that the engine does not have and its node;
// Error{kModel} the file, for all that is damaged or contradicts itself.
ModelFile load_onnx(const NamedBytes& file);

// Whether the bytes begin as such a file does.
bool is_onnx(std::span<const std::uint8_t> bytes);

}  // namespace espalier
