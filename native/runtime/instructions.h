// What a packed model does, one after the other, with the feature maps of a block of images.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"
#include "runtime/format.h"

namespace espalier {

// A feature map in a thread's memory: codes, or numbers.
struct Map {
  Shape shape;
  bool is_codes = false;
  CodeGrid grid;            // of codes
  std::int64_t offset = 0;  // bytes
};

struct Frame {
  std::uint8_t* memory;        // the thread's
  std::uint8_t* scratch;       // for the time of one instruction
  const std::uint8_t* images;  // bytes [count][channels][height][width]
  int count;                   // at most the lanes

  std::uint8_t* codes(const Map& map) const { return memory + map.offset; }
  real* numbers(const Map& map) const { return reinterpret_cast<real*>(memory + map.offset); }
};

class Instruction {
 public:
  virtual ~Instruction() = default;
  virtual void run(const Frame& frame) const = 0;
  virtual std::int64_t scratch_bytes() const { return 0; }

  std::string name;  // of the layer
  std::vector<Map*> in;
  Map* out = nullptr;
};

// Pixels become numbers, or at once codes.
std::unique_ptr<Instruction> load_images(const InputInfo& input, const Kernels& kernels, Map* out);

// A layer as training runs it, on numbers. `value` are the effective parameters.
std::unique_ptr<Instruction> run_node(const Node& node, const Kernels& kernels, const real* value,
                                      std::vector<Map*> in, Map* out);

// The convolution that integers run: groups filled up with zeros, the taps of few channels as channels.
void to_integer_form(LayerWeights& weights);

// `rectifier`: clamps at 0, and at 6. For codes out: codes are never below the zero point's.
std::unique_ptr<Instruction> convolve(const WeightFormat& format, LayerWeights weights,
                                      const Kernels& kernels, Rectifier rectifier, Map* in, Map* out,
                                      std::int64_t& packed_bytes);

std::unique_ptr<Instruction> max_pool(const PoolShape& shape, const IntegerKernels& kernels, Map* in,
                                      Map* out);
std::unique_ptr<Instruction> average_pool(const PoolShape& shape, const IntegerKernels& kernels,
                                          Rectifier rectifier, Map* in, Map* out);
std::unique_ptr<Instruction> add(const IntegerKernels& kernels, Rectifier rectifier, std::vector<Map*> in,
                                 Map* out);
std::unique_ptr<Instruction> concatenate(const IntegerKernels& kernels, Rectifier rectifier,
                                         std::vector<Map*> in, Map* out);
std::unique_ptr<Instruction> rectify(const IntegerKernels& kernels, Map* in, Map* out);
std::unique_ptr<Instruction> to_codes(const IntegerKernels& kernels, Map* in, Map* out);
std::unique_ptr<Instruction> to_numbers(const IntegerKernels& kernels, Map* in, Map* out);

// Bytes that a map takes for a block.
std::int64_t bytes_of(const Map& map, int lanes);

// The codes of a grid between which a rectifier leaves numbers.
struct CodeRange {
  int lowest, highest;
};
CodeRange range_of(const CodeGrid& grid, Rectifier rectifier);

}  // namespace espalier
