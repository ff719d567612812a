// How a layer reports that its spec makes no sense.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "ops/node.h"

namespace espalier {

[[noreturn]] inline void spec_error(const Node& node, std::string_view field, const std::string& message) {
  throw Error(ErrorCode::kSpec, node.name + "." + std::string(field), message);
}

// Adds a parameter "<layer>.<name>" to the node; the graph places it.
void add_parameter(Node& node, std::string_view name, std::vector<int> shape, Initializer initializer,
                   int fan_in = 1, bool trainable = true);

// Output rows and columns of a sliding window, and its padding made explicit in
// `node.attributes.padding`. `same` is TensorFlow's and ONNX's SAME_UPPER.
void resolve_window(Node& node, Pair kernel, Pair stride, Pair dilation);

}  // namespace espalier
