// The arithmetic of compressed execution in plain loops over the graph, one image at a time: what the packed
// model must equal, byte for byte, whatever its formats, layouts and kernels.
//
// Layers without an integer form run with the kernels for single images, which give the same bits as those
// for blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "core/aligned.h"
#include "graph/graph.h"
#include "kernels/kernels.h"
#include "runtime/format.h"

namespace espalier {

// clamp(round_half_even(sum · multiplier) + zero_point, lowest, highest)
int requantized(std::int32_t sum, float multiplier, int zero_point, int lowest, int highest);

class ReferenceModel {
 public:
  // `graph` and `value`, the effective parameters, must outlive the object.
  ReferenceModel(const Graph& graph, const real* value, const Kernels& kernels);

  // A byte image [channels][height][width]. Returns the outputs [classes], until the next call.
  const real* infer(const std::uint8_t* image);

 private:
  struct Value {
    bool is_codes = false;
    CodeGrid grid;
    Shape shape;
    std::vector<std::uint8_t> codes;  // [channels][height][width]
    aligned_vector<real> numbers;     // the same
  };
  // A node's part that does not change from image to image.
  struct Layer {
    LayerWeights weights;  // of integers
    std::vector<std::int32_t> bias;
    aligned_vector<real> packed;  // of a layer that runs on numbers
    aligned_vector<real> scratch;
  };

  void load(const std::uint8_t* image);
  bool run_on_codes(const Node& node);
  void run_on_numbers(const Node& node);
  void convolve(const Node& node, const Value& in, const Layer& layer);
  void quantize(const Node& node);
  const real* numbers(int id);
  void begin_codes(Value& value, const Shape& shape, const CodeGrid& grid);
  void end_tail(const Node& node);

  const Graph& graph_;
  const real* value_;
  const Kernels& kernels_;
  std::vector<Layer> layers_;
  std::vector<Value> values_;
  std::vector<char> known_;
};

}  // namespace espalier
