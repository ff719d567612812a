// What was read of an ONNX file so far: its image, the layers, and which of the file's tensors are values of
// the graph or constants.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/graph.h"
#include "io/model_file.h"
#include "io/onnx_constant.h"
#include "io/onnx_file.h"
#include "runtime/codes.h"

namespace espalier::onnx_import {

// Error{kModel} about the file.
[[noreturn]] void fail(const std::string& message);

// What an ONNX tensor is: a value of the graph.
struct Value {
  int id = 0;
  bool flat = false;             // [N][channels]
  bool is_codes = false;         // between QuantizeLinear and DequantizeLinear
  bool classified = false;       // behind a Softmax
  bool alone = false;            // a new quantizer's that nobody else reads
  std::optional<CodeGrid> grid;  // all its numbers are on it
};

// A layer that was read, and its parameters in the order of ops/*.cpp.
struct Layer {
  Node node;
  std::vector<std::vector<float>> parameters;
};

// The image's numbers are pixel · scale + offset, as far as `tensor`.
struct Normalisation {
  std::string tensor;
  std::vector<double> scale, offset;  // of each channel
};

struct Network {
  // The file's constants and its image. `file` must outlive the network.
  explicit Network(const onnx::File& file);
  // The layers that lead to the output, as a model.
  ModelFile finish() const;

  const Shape& shape_of(const Value& v) const { return graph.value_shape(v.id); }
  // Whether one node, or the network's output, is all that reads the tensor.
  bool only_reader(const std::string& name) const;
  // More numbers that nodes made: there are not more than a small file may become.
  void count(std::size_t numbers);

  const onnx::File& file;
  Graph graph;  // all layers, to know shapes
  std::vector<Layer> layers;
  std::unordered_map<std::string, Value> values;
  std::unordered_map<std::string, onnx::Constant> constants;
  std::unordered_map<std::string, int> readers;
  Normalisation normalisation;
  bool flat_image = false;  // rows of pixels
  std::size_t counted = 0;  // numbers that nodes made

 private:
  void add_image();
};

}  // namespace espalier::onnx_import
