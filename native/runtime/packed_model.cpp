#include "runtime/packed_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/math.h"
#include "core/training_only.h"
#include "graph/lifetime.h"
#include "graph/run_order.h"
#include "ops/shapes.h"
#include "ops/weights.h"
#include "runtime/instructions.h"
#include "runtime/reference.h"
#include "runtime/tail.h"

namespace espalier {
namespace {

constexpr int kFewImages = 3;  // that run one by one
constexpr int kSlice = 256;    // images of one PackedEvaluator::advance()

}  // namespace

// Turns a graph into instructions, layer by layer.
class Packer {
 public:
  Packer(PackedModel& model, const RuntimeOptions& options)
      : model_(model), graph_(model.graph_), kernels_(model.kernels_), integer_(integer_kernels(kernels_)) {
    values_.resize(graph_.nodes.size() + 1);
    if (options.format.empty()) return;
    forced_ = find_format(options.format);
    if (forced_) return;
    std::string names;
    for (const WeightFormat* format : weight_formats()) {
      names += (names.empty() ? "" : ", ") + std::string(format->name);
    }
    throw Error(ErrorCode::kArgument, "format",
                "\"" + std::string(options.format) + "\" is not a weight format; choose one of " + names);
  }

  void pack() {
    pack_image();
    for (const Node& node : graph_.nodes) {
      now_ = node.name;
      if (!values_[value_of(node)].map) pack_node(node);
    }
    model_.output_ = numbers(static_cast<int>(graph_.nodes.size()));
    assign_memory();
  }

 private:
  // Where a value of the graph is. A flattened map stays a map.
  struct Value {
    Map* map = nullptr;
    Map* numbers = nullptr;  // the same, when somebody asked for numbers
  };

  static std::size_t value_of(const Node& node) { return node.index + 1; }

  Map* new_map(const Shape& shape) {
    model_.maps_.push_back(std::make_unique<Map>(Map{.shape = shape}));
    return model_.maps_.back().get();
  }
  Map* new_map(const Shape& shape, const CodeGrid& grid) {
    Map* map = new_map(shape);
    map->is_codes = true;
    map->grid = grid;
    return map;
  }
  void emit(std::unique_ptr<Instruction> instruction) {
    instruction->name = now_;
    model_.instructions_.push_back(std::move(instruction));
  }

  Value& value(int id) { return values_[static_cast<std::size_t>(id)]; }
  Map* numbers(int id) {
    Value& v = value(id);
    if (!v.map->is_codes) return v.map;
    if (!v.numbers) {
      v.numbers = new_map(v.map->shape);
      emit(to_numbers(integer_, v.map, v.numbers));
    }
    return v.numbers;
  }
  // Whether the node's inputs are codes in the shape that it expects.
  bool reads_codes(const Node& node) {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Map& map = *value(node.inputs[i]).map;
      if (!map.is_codes || map.shape != node.in_shapes[i]) return false;
    }
    return true;
  }
  std::vector<Map*> inputs(const Node& node) {
    std::vector<Map*> maps;
    for (const int input : node.inputs) maps.push_back(value(input).map);
    return maps;
  }
  void end_tail(const Tail& tail, Map* map) {
    for (const std::size_t v : tail.values) values_[v].map = map;
  }

  void pack_image() {
    const Node* reader = only_reader(graph_, 0);
    Map* map = nullptr;
    if (reader && reader->op == &kFakeQuantize) {
      map = new_map(graph_.input.shape, grid_of(*reader, model_.parameters_.data()));
      values_[value_of(*reader)].map = map;
    } else {
      map = new_map(graph_.input.shape);
    }
    value(0).map = map;
    emit(load_images(graph_.input, kernels_, map));
  }

  void pack_node(const Node& node) {
    Map*& out = values_[value_of(node)].map;
    Map* first = value(node.inputs[0]).map;
    if (has_weights(node)) return pack_weights(node);
    if (node.op == &kDropout || node.op == &kFlatten) {
      out = first;
      return;
    }
    if (node.op == &kFakeQuantize) return pack_quantizer(node);
    if (reads_codes(node) && pack_codes(node)) return;
    pack_numbers(node);
  }

  void pack_quantizer(const Node& node) {
    Map*& out = values_[value_of(node)].map;
    Map* in = value(node.inputs[0]).map;
    const CodeGrid grid = grid_of(node, model_.parameters_.data());
    if (in->is_codes && in->grid == grid) {
      out = in;
      return;
    }
    out = new_map(in->shape, grid);
    emit(in->is_codes ? concatenate(integer_, Rectifier::kNone, {in}, out) : to_codes(integer_, in, out));
  }

  bool pack_codes(const Node& node) {
    Map* in = value(node.inputs[0]).map;
    if (node.op == &kMaxPool || node.op == &kRelu) {
      Map*& out = values_[value_of(node)].map;
      out = new_map(node.out_shape, in->grid);
      emit(node.op == &kRelu ? rectify(integer_, in, out) : max_pool(pool_shape(node), integer_, in, out));
      return true;
    }
    const bool average = node.op == &kAvgPool || node.op == &kGlobalAvgPool;
    const bool sum = node.op == &kAdd && node.inputs.size() == 2;
    if (!average && !sum && node.op != &kConcat) return false;
    const Tail tail = tail_of(graph_, value_of(node));
    if (!tail.quantizer) return false;
    Map* out = new_map(node.out_shape, grid_of(*tail.quantizer, model_.parameters_.data()));
    values_[value_of(node)].map = out;
    end_tail(tail, out);
    if (average) {
      emit(average_pool(pool_shape(node), integer_, tail.rectifier, in, out));
    } else if (sum) {
      emit(add(integer_, tail.rectifier, inputs(node), out));
    } else {
      emit(concatenate(integer_, tail.rectifier, inputs(node), out));
    }
    return true;
  }

  void pack_numbers(const Node& node) {
    std::vector<Map*> in;
    for (const int input : node.inputs) in.push_back(numbers(input));
    const std::size_t from = static_cast<std::size_t>(node.inputs[0]);
    const bool reuse = node.op->in_place && node.inputs.size() == 1 && only_reader(graph_, from) == &node &&
                       from > 0 && in[0]->shape == node.out_shape;
    Map* out = reuse ? in[0] : new_map(node.out_shape);
    values_[value_of(node)].map = out;
    emit(run_node(node, kernels_, model_.parameters_.data(), std::move(in), out));
  }

  void pack_weights(const Node& node) {
    Map* in = value(node.inputs[0]).map;
    ConvShape shape = conv_shape(node);
    if (node.op == &kDense) {  // a kernel as large as the map
      shape.in_channels = in->shape.channels;
      shape.in_height = shape.kernel_height = in->shape.height;
      shape.in_width = shape.kernel_width = in->shape.width;
    }
    LayerWeights weights = layer_weights(node, shape, model_.parameters_.data());
    LayerExecution execution{.layer = node.name,
                             .type = std::string(node.op->name),
                             .format = {},
                             .macs = node.op->macs(node),
                             .density = weights.density(),
                             .why = {}};
    const WeightFormat& format =
        choose(weights, in->is_codes && (node.op == &kDense || reads_codes(node)), execution.why);
    execution.format = format.name;
    Tail tail;
    if (format.integer) {
      tail = tail_of(graph_, value_of(node));
    } else {
      in = numbers(node.inputs[0]);
      if (node.op == &kDense) weights.shape = conv_shape(node);
    }
    Map* out = tail.quantizer ? new_map(node.out_shape, grid_of(*tail.quantizer, model_.parameters_.data()))
                              : new_map(node.out_shape);
    values_[value_of(node)].map = out;
    end_tail(tail, out);
    emit(convolve(format, std::move(weights), kernels_, tail.rectifier, in, out, execution.bytes));
    model_.layers_.push_back(std::move(execution));
  }

  // The first format that can hold the weights and, where that is a question of how many there are, is faster
  // than those that follow.
  const WeightFormat& choose(LayerWeights weights, bool codes, std::string& why) const {
    if (codes && !weights.integers.empty()) to_integer_form(weights);
    const auto fits = [&](const WeightFormat& format) {
      return (!format.integer || codes) && format.accepts(weights);
    };
    if (forced_ && fits(*forced_)) {
      why = "asked for";
      return *forced_;
    }
    std::vector<std::string> reasons;
    if (forced_) reasons.push_back(std::string(forced_->name) + " cannot hold it");
    if (!weights.integers.empty() && !codes) reasons.emplace_back("its features are numbers");
    if (weights.integers.empty() && codes) reasons.push_back(no_integers(weights.quantization));
    const WeightFormat* chosen = &kFloat32Format;
    for (const WeightFormat* format : weight_formats()) {
      if (!fits(*format)) continue;
      const bool pays = !format->break_even || share_pays(*format, weights, reasons);
      if (!pays) continue;
      chosen = format;
      break;
    }
    for (const std::string& reason : reasons) why += (why.empty() ? "" : "; ") + reason;
    return *chosen;
  }

  bool share_pays(const WeightFormat& format, const LayerWeights& weights,
                  std::vector<std::string>& reasons) const {
    const double share = format.share(weights);
    const double limit = format.break_even(weights.shape, kernels_, integer_);
    const auto percent = [](double x) {
      return std::to_string(static_cast<int>(std::lround(100 * x))) + " %";
    };
    if (limit > 0 && share < 1) {
      reasons.push_back(percent(share) + " of the " + std::string(format.what) +
                        " are left: " + std::string(format.name) + " is taken below " + percent(limit));
    }
    return share < limit;
  }

  static std::string no_integers(const WeightQuantization& q) {
    if (!q.scheme) return "its weights are numbers";
    if (q.scheme->codebook) return "its levels are numbers";
    if (q.granularity == Granularity::kGroup) return "its rows have several scales";
    return "its weights are no whole multiples of a scale";
  }

  void assign_memory() {
    constexpr std::int64_t kAlignment = 64;
    const auto aligned = [](std::int64_t bytes) {
      return (bytes + kAlignment - 1) / kAlignment * kAlignment;
    };
    std::vector<Lifetime> lifetimes(model_.maps_.size());
    const auto lifetime_of = [&](const Map* map) -> Lifetime& {
      const auto at = std::find_if(model_.maps_.begin(), model_.maps_.end(),
                                   [&](const std::unique_ptr<Map>& other) { return other.get() == map; });
      return lifetimes[static_cast<std::size_t>(at - model_.maps_.begin())];
    };
    std::int64_t scratch = 0;
    int time = 0;
    for (const auto& instruction : model_.instructions_) {
      for (const Map* map : instruction->in) lifetime_of(map).touch(time);
      lifetime_of(instruction->out).touch(time);
      scratch = std::max(scratch, instruction->scratch_bytes());
      ++time;
    }
    lifetime_of(model_.output_).touch(time);
    std::vector<Lifetime*> pointers;
    for (std::size_t i = 0; i < lifetimes.size(); ++i) {
      lifetimes[i].size = aligned(bytes_of(*model_.maps_[i], kernels_.lanes));
      pointers.push_back(&lifetimes[i]);
    }
    model_.scratch_ = place(pointers);
    for (std::size_t i = 0; i < lifetimes.size(); ++i) model_.maps_[i]->offset = lifetimes[i].offset;
    model_.thread_bytes_ = model_.scratch_ + aligned(scratch) + kAlignment;
    model_.memory_.resize(static_cast<std::size_t>(model_.thread_bytes_ * model_.pool_.threads()));
  }

  PackedModel& model_;
  const Graph& graph_;
  const Kernels& kernels_;
  const IntegerKernels& integer_;
  const WeightFormat* forced_ = nullptr;
  std::vector<Value> values_;
  std::string now_ = "input";  // whose instructions are made
};

PackedModel::PackedModel(const Model& model, const Kernels& kernels, ThreadPool& pool,
                         const RuntimeOptions& options)
    : kernels_(kernels), pool_(pool), graph_(in_run_order(model.graph)) {
  aligned_vector<real> effective;
  const real* values = make_effective(graph_, model.parameters, pool, effective);
  parameters_.assign(values, values + graph_.slab_size);
  Packer(*this, options).pack();
  if (kInferenceOnly || !options.reference) {
    if (kernels.single) single_ = std::make_unique<PackedModel>(model, *kernels.single, pool, options);
    return;
  }
  outputs_.resize(static_cast<std::size_t>(graph_.classes * kernels.lanes * pool.threads()));
  for (int thread = 0; thread < pool.threads(); ++thread) {
    reference_.push_back(std::make_unique<ReferenceModel>(graph_, parameters_.data(), kernels));
  }
}

PackedModel::~PackedModel() = default;

const real* PackedModel::infer_block(const std::uint8_t* images, int count, int thread) {
  if (!kInferenceOnly && !reference_.empty()) return infer_reference(images, count, thread);
  std::uint8_t* memory = memory_.data() + thread * thread_bytes_;
  const Frame frame{.memory = memory, .scratch = memory + scratch_, .images = images, .count = count};
  for (const auto& instruction : instructions_) instruction->run(frame);
  return frame.numbers(*output_);
}

const real* PackedModel::infer_reference(const std::uint8_t* images, int count, int thread) {
  const int lanes = kernels_.lanes;
  real* outputs = outputs_.data() + std::ptrdiff_t{thread} * graph_.classes * lanes;
  for (int lane = 0; lane < count; ++lane) {
    const real* logits = reference_[static_cast<std::size_t>(thread)]->infer(
        images + std::ptrdiff_t{lane} * graph_.input.shape.size());
    for (int c = 0; c < graph_.classes; ++c) outputs[c * lanes + lane] = logits[c];
  }
  return outputs;
}

void PackedModel::infer(const std::uint8_t* images, int count, real* logits) {
  const int lanes = kernels_.lanes;
  const std::ptrdiff_t image_size = graph_.input.shape.size();
  if (single_ && count <= kFewImages) {
    for (int i = 0; i < count; ++i) {
      const real* outputs = single_->infer_block(images + i * image_size, 1, 0);
      std::copy_n(outputs, graph_.classes, logits + std::ptrdiff_t{i} * graph_.classes);
    }
    return;
  }
  pool_.run((count + lanes - 1) / lanes, [&](int block, int thread) {
    const int first = block * lanes;
    const int valid = std::min(lanes, count - first);
    const real* outputs = infer_block(images + first * image_size, valid, thread);
    for (int lane = 0; lane < valid; ++lane) {
      for (int c = 0; c < graph_.classes; ++c) {
        logits[std::ptrdiff_t{first + lane} * graph_.classes + c] = outputs[c * lanes + lane];
      }
    }
  });
}

void PackedModel::predict(const std::uint8_t* images, int count, real* probabilities) {
  infer(images, count, probabilities);
  const int classes = graph_.classes;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    softmax(probabilities + i * classes, classes, probabilities + i * classes);
  }
}

std::string_view PackedModel::instruction_name(int i) const {
  return instructions_[static_cast<std::size_t>(i)]->name;
}

void PackedModel::run_instruction(int i, const std::uint8_t* images, int count) {
  std::uint8_t* memory = memory_.data();
  instructions_[static_cast<std::size_t>(i)]->run(
      {.memory = memory, .scratch = memory + scratch_, .images = images, .count = count});
}

std::int64_t PackedModel::bytes() const {
  std::int64_t sum = 0;
  for (const LayerExecution& layer : layers_) sum += layer.bytes;
  return sum;
}

PackedEvaluator::PackedEvaluator(PackedModel& model, const Dataset& dataset, const Split& split,
                                 ThreadPool& pool)
    : model_(model), split_(split), pool_(pool), answers_(split, model.graph().classes, kSlice) {
  check_fits(model.graph(), dataset);
}

bool PackedEvaluator::advance() {
  const int done = answers_.done(), count = std::min(kSlice, split_.count() - done);
  if (count <= 0) return false;
  const int lanes = model_.lanes();
  const std::ptrdiff_t image_size = model_.graph().input.shape.size();
  pool_.run((count + lanes - 1) / lanes, [&](int block, int thread) {
    const int first = block * lanes, valid = std::min(lanes, count - first);
    const real* logits =
        model_.infer_block(split_.images.data() + (done + first) * image_size, valid, thread);
    answers_.take(logits, lanes, first, valid);
  });
  answers_.finish_slice(count);
  return done + count < split_.count();
}

}  // namespace espalier
