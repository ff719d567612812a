// A row of the layer table: everything the engine knows about one type of layer. To add a layer,
// write its file, declare its row here and list it in ops/table.cpp.
//
// All feature maps are one block of `lanes` images: [channels][height][width][lanes].
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "core/real.h"
#include "kernels/kernels.h"
#include "ops/node.h"

namespace espalier {

struct SparseLayer;

// A field of a layer's JSON, and where it goes. The tables are the parser, the validator, the JSON
// Schema, the documentation and the page's forms.
struct Field {
  using Target = std::variant<int Attributes::*, Pair Attributes::*, double Attributes::*, bool Attributes::*,
                              Padding Attributes::*, WeightQuantization Attributes::*>;
  std::string_view name;
  Target target;
  std::string_view summary;
  bool required = false;
  double minimum = 0;
  double maximum = 1 << 20;
  std::string_view keyword = {};  // a word accepted in place of the number
  int keyword_value = 0;
};

// A block on its way through one layer. Gradient pointers are null where nobody needs them;
// `in` and `out` are set in backward only where the row's `needs` asks for them.
struct BlockContext {
  const Node& node;
  const Kernels& kernels;
  const real* const* in = nullptr;  // one for each input
  real* out = nullptr;
  const real* grad_out = nullptr;
  real* const* grad_in = nullptr;       // one for each input; overwritten, never added to
  const real* value = nullptr;          // the slab of effective parameters
  const real* packed = nullptr;         // this node's packed weights (prepare) …
  const SparseLayer* sparse = nullptr;  // … or, where few survive, those (kernels/sparse_weights.h)
  real* scratch = nullptr;              // memory of scratch_size for the time of one call
  real* gradient = nullptr;             // the shard's gradient slab: add
  real* stash = nullptr;                // this node's round stash (dense)
  real* statistics = nullptr;           // this node's batch statistics (batch norm)
  real* partial = nullptr;              // this block's partial sums (batch norm)
  int image_in_round = 0;               // position of the block's first image
  int valid = 0;                        // images in the block; lanes behind it are padding
  std::uint64_t image_in_batch = 0;
  std::uint64_t seed = 0;  // dropout
  std::uint64_t step = 0;
  bool training = false;
  bool frozen = false;  // runs as in inference; its own gradients are not wanted
};

// A weight gradient that is a matrix product over a whole round of images (dense).
struct RoundContext {
  const Node& node;
  const Kernels& kernels;
  const SparseLayer* sparse = nullptr;
  const real* stash = nullptr;
  real* gradient = nullptr;  // the gradient slab itself
  int images = 0;            // valid images in the round
  bool first = true;         // overwrite; else add
  int part = 0;              // this call's share of the output rows
  int parts = 1;
};

// What the whole batch gave (batch norm); called once between two sweeps.
struct BatchContext {
  const Node& node;
  real* value = nullptr;     // the slab: running statistics move
  real* gradient = nullptr;  // the gradient slab itself
  real* statistics = nullptr;
  const real* partials = nullptr;  // [blocks of 8][2][channels]
  int blocks_of_8 = 0;
  std::int64_t images = 0;
};

enum class Way : std::uint8_t { kForward, kBackward };

struct OpType {
  std::string_view name;
  std::string_view summary;
  std::span<const Field> fields;
  int min_inputs = 1;
  int max_inputs = 1;

  // Proves shapes: reads node.in_shapes and node.attributes, resolves paddings and groups, sets
  // node.out_shape and adds parameters. Throws Error{kSpec} naming layer and field.
  void (*configure)(Node& node);

  void (*forward)(const BlockContext& context) = nullptr;   // training and inference
  void (*backward)(const BlockContext& context) = nullptr;  // grad_in and gradient
  std::int64_t (*macs)(const Node& node) = nullptr;         // for one image; null is 0

  bool needs_input = false;   // backward reads in[]
  bool needs_output = false;  // backward reads out
  bool recompute = false;     // so cheap that backward recomputes it instead of keeping it
  bool in_place = false;      // out may be in[0], and grad_in[0] may be grad_out

  // Weights in the order the inner loops read them: once after every update, and for training once for each
  // way (in any order, at the same time).
  std::int64_t (*packed_size)(const Node& node, bool training) = nullptr;
  void (*prepare)(const Node& node, const Kernels& kernels, const real* value, real* packed,
                  Way way) = nullptr;

  // Memory that forward wants for the time of its call, with these kernels.
  std::int64_t (*scratch_size)(const Node& node, const Kernels& kernels) = nullptr;

  // Layers whose weight gradient waits for a whole round.
  std::int64_t (*stash_size)(const Node& node) = nullptr;
  void (*round_backward)(const RoundContext& context) = nullptr;

  // Layers that look at the whole batch in training (batch norm). The graph is cut before them.
  std::int64_t (*statistics_size)(const Node& node) = nullptr;
  void (*partial_statistics)(const BlockContext& context) = nullptr;  // of in[0]
  void (*reduce_statistics)(const BatchContext& context) = nullptr;
  void (*move_running_statistics)(const BatchContext& context) = nullptr;  // when the step is done
  void (*partial_gradients)(const BlockContext& context) = nullptr;        // of grad_out and in[0]
  void (*reduce_gradients)(const BatchContext& context) = nullptr;
  bool whole_batch() const { return partial_statistics != nullptr; }

  // Its parameters' gradients are added up block by block, in a slab for each shard.
  bool sharded_gradient() const { return !whole_batch() && round_backward == nullptr; }
};

// Images are processed in rounds of 64; a round is four shards of 16, and each shard adds to a
// gradient slab of its own, so that sums have one order for any register width and thread count.
inline constexpr int kRoundImages = 64;
inline constexpr int kShardImages = 16;
inline constexpr int kShards = kRoundImages / kShardImages;

// The table, in the order of the documentation.
std::span<const OpType* const> op_types();
const OpType* find_op(std::string_view name);  // null: no such layer

extern const OpType kConv;
extern const OpType kDense;
extern const OpType kBatchNorm;
extern const OpType kMaxPool;
extern const OpType kAvgPool;
extern const OpType kGlobalAvgPool;
extern const OpType kRelu;
extern const OpType kRelu6;
extern const OpType kLeakyRelu;
extern const OpType kTanh;
extern const OpType kSigmoid;
extern const OpType kDropout;
extern const OpType kFlatten;
extern const OpType kAdd;
extern const OpType kConcat;
extern const OpType kFakeQuantize;

}  // namespace espalier
