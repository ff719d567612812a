// What the graph is made of: a node is one layer with its shapes proved and its parameters placed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quantize/scheme.h"

namespace espalier {

struct OpType;

// One image's feature map. Dense layers use height = width = 1.
struct Shape {
  int channels = 0;
  int height = 1;
  int width = 1;

  int pixels() const { return height * width; }
  int size() const { return channels * height * width; }
  friend bool operator==(const Shape&, const Shape&) = default;
};
std::string to_string(const Shape& shape);  // "20x24x24"

// Height and width of a kernel, stride or dilation.
struct Pair {
  int height = 1;
  int width = 1;
  friend bool operator==(const Pair&, const Pair&) = default;
};

// Rows and columns of zeros around an image, or the rule that computes them.
struct Padding {
  enum class Mode { kExplicit, kSame, kValid };
  Mode mode = Mode::kExplicit;
  int top = 0;
  int left = 0;
  int bottom = 0;
  int right = 0;
  friend bool operator==(const Padding&, const Padding&) = default;
};

// Everything a spec can say about a layer. Each layer's field table says which of these it reads
// (ops/op.h); the initializers are the defaults.
struct Attributes {
  int out_channels = 0;         // conv
  Pair kernel{1, 1};            // conv, pools
  Pair stride{0, 0};            // conv, pools; not given: 1 for conv, the kernel for pools
  Pair dilation{1, 1};          // conv
  Padding padding;              // conv, pools; explicit once shapes are proved
  int groups = 1;               // conv; kDepthwise until shapes are proved
  bool bias = true;             // conv, dense
  int units = 0;                // dense; kClasses until the spec is read
  double epsilon = 1e-5;        // batch_norm
  double momentum = 0.1;        // batch_norm: running = (1 - momentum)·running + momentum·batch
  double slope = 0.01;          // leaky_relu
  double rate = 0.5;            // dropout: the share of values that is zeroed
  int bits = 8;                 // fake_quantize
  bool learned = false;         // fake_quantize: the scale is trained
  WeightQuantization quantize;  // conv, dense

  static constexpr int kDepthwise = -1;
  static constexpr int kClasses = -1;
};

// How a parameter starts; kUniform scales with its fan_in (graph/executor.h, initialize).
enum class Initializer { kZero, kOne, kUniform };

// A tensor in the parameter slabs. `offset` and `size` are in numbers, the same in every slab.
struct ParameterInfo {
  std::string name;  // "conv1.weight"
  std::vector<int> shape;
  Initializer initializer = Initializer::kZero;
  int fan_in = 1;
  bool trainable = true;  // false: running statistics and grids, which no optimizer touches
  bool decays = true;     // weight decay applies
  std::int64_t offset = 0;
  std::int64_t size = 0;
};

// A rectifier that runs in the loop of the layer before it (graph/run_order.h).
enum class Rectifier : std::uint8_t { kNone, kRelu, kRelu6 };

struct Node {
  const OpType* op = nullptr;
  std::string name;
  std::vector<int> inputs;  // value ids: 0 is the image, i + 1 is the output of node i
  std::vector<Shape> in_shapes;
  Shape out_shape;
  Attributes attributes;
  std::vector<ParameterInfo> parameters;  // in the order that op->configure added them
  std::uint32_t index = 0;
  Rectifier rectifier =
      Rectifier::kNone;  // batch norm: the one behind it; of that one itself, that it has run

  const Shape& in_shape() const { return in_shapes.front(); }
  std::int64_t parameter_count() const;
};

}  // namespace espalier
