// One walk over a model writes it or reads it (class Walk): what is coded, in which order, and with which
// contexts is said once. io/README.md has the same as a table.
#include "io/espalier_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/training_only.h"
#include "graph/assemble.h"
#include "io/context_coder.h"
#include "io/text_coder.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

constexpr std::uint8_t kMagic[] = {'E', 'S', 'P', 'L'};
constexpr std::uint8_t kVersion = 1;
// A number costs at least 1/710 of a bit (ContextCoder), so what a file can hold is bounded by its size.
constexpr std::int64_t kNumbersPerByte = 16384, kFewNumbers = 1 << 16;

// The kinds of symbols (Contexts). Numbers of the file format: they do not change.
enum Kind : std::uint32_t {
  kSpecNumber,
  kSpecFlag,
  kSpecField,
  kOpIndex,
  kText,
  kTextLength,
  kDoubleForm,
  kTensorFlag,
  kMask,
  kLevel,
  kUsedLevel,
  kExponent,
  kMantissa,
  kZeroBits,
  kLabelFlag
};

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kModel, "", message); }

// Rows (output channels) of weights, each an image of input channels: what is near to what.
struct Window {
  std::int64_t rows = 1, channels = 1, height = 1, width = 1;
  std::int64_t row() const { return channels * height * width; }
};

Window window_of(const Graph& graph, const Node& node) {
  const ParameterInfo& weight = weight_of(node);
  if (node.op == &kConv) return {weight.shape[0], weight.shape[1], weight.shape[2], weight.shape[3]};
  // A dense layer sees the map behind its flatten.
  Shape shape = node.in_shape();
  int value = node.inputs[0];
  while (value > 0 && shape.pixels() == 1) {
    const Node& before = graph.nodes[static_cast<std::size_t>(value - 1)];
    if (before.inputs.size() != 1 || before.in_shape().size() != shape.size()) break;
    shape = before.in_shape();
    value = before.inputs[0];
  }
  return {weight.shape[0], shape.channels, shape.height, shape.width};
}

// 0 … 12: how much of `total` `part` is, finest near none; 15: unknown.
std::uint32_t share_of(std::int64_t part, std::int64_t total) {
  if (total == 0) return 15;
  std::uint32_t step = 0;
  for (const int percent : {1, 3, 6, 10, 15, 21, 28, 36, 48, 64, 80, 95}) {
    if (part * 100 > total * percent) ++step;
  }
  return step;
}

std::uint32_t length_of(std::int64_t count) {
  return static_cast<std::uint32_t>(std::bit_width(static_cast<std::uint64_t>(count)));
}

// Which weights were kept and what they are, row after row: the surroundings of the next one.
class Surroundings {
 public:
  explicit Surroundings(const Window& window)
      : w_(window),
        level_(static_cast<std::size_t>(w_.rows * w_.row()), -1),
        column_(static_cast<std::size_t>(w_.row())),
        channel_(static_cast<std::size_t>(w_.channels)) {}

  void move_to(std::int64_t at) {
    at_ = at;
    const std::int64_t row = w_.row();
    row_ = at / row;
    in_row_ = at % row;
    x_ = in_row_ % w_.width;
    y_ = in_row_ / w_.width % w_.height;
    c_ = in_row_ / (w_.width * w_.height);
    if (in_row_ == 0) kept_in_row_ = 0;
  }

  void put(std::int32_t level) {  // -1: pruned
    level_[static_cast<std::size_t>(at_)] = level;
    if (level < 0) return;
    ++kept_in_row_;
    ++kept_;
    ++column_[static_cast<std::size_t>(in_row_)];
    ++channel_[static_cast<std::size_t>(c_)];
    last_ = level;
  }

  Contexts mask_contexts(std::uint32_t tensor) const {
    const std::int64_t row = w_.row();
    const std::uint32_t left = kept(at_ - 1, x_ > 0), left2 = kept(at_ - 2, x_ > 1);
    const std::uint32_t up = kept(at_ - w_.width, y_ > 0);
    const std::uint32_t before = kept(at_ - row, row_ > 0), before2 = kept(at_ - 2 * row, row_ > 1);
    const std::uint32_t column = share_of(column_[static_cast<std::size_t>(in_row_)], row_);
    std::int64_t near = 0, places = 0;
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        if (y_ + dy < 0 || y_ + dy >= w_.height || x_ + dx < 0 || x_ + dx >= w_.width) continue;
        near += column_[static_cast<std::size_t>(in_row_ + dy * w_.width + dx)];
        ++places;
      }
    }
    const std::uint32_t neighbourhood = share_of(near, places * row_);
    const std::uint32_t channel =
        share_of(channel_[static_cast<std::size_t>(c_)], row_ * w_.height * w_.width + y_ * w_.width + x_);
    const std::uint32_t in_row = share_of(kept_in_row_, in_row_);
    const auto rows = length_of(row_);
    return Contexts(kMask)
        .add(tensor)
        .add(tensor, in_row, length_of(in_row_))
        .add(column, rows, neighbourhood)
        .add(neighbourhood, in_row, rows)
        .add(left | up << 1 | before << 2 | left2 << 3 | before2 << 4, tensor)
        .add(tensor, static_cast<std::uint32_t>(in_row_))
        .add(channel, in_row, left + up + before)
        .add(static_cast<std::uint32_t>(y_ * w_.width + x_), tensor);
  }

  Contexts level_contexts(std::uint32_t tensor, std::uint32_t bits) const {
    const std::uint32_t left = level(at_ - 1, x_ > 0), up = level(at_ - w_.width, y_ > 0);
    const std::uint32_t before = level(at_ - w_.row(), row_ > 0);
    return Contexts(kLevel)
        .add(tensor)
        .add(bits)
        .add(tensor, last_ + 1)
        .add(left, up, tensor)
        .add(before, tensor)
        .add(static_cast<std::uint32_t>(row_), tensor)
        .add(static_cast<std::uint32_t>(in_row_), tensor);
  }

 private:
  std::uint32_t kept(std::int64_t at, bool inside) const {
    return inside && level_[static_cast<std::size_t>(at)] >= 0 ? 1 : 0;
  }
  std::uint32_t level(std::int64_t at, bool inside) const {
    return inside ? static_cast<std::uint32_t>(level_[static_cast<std::size_t>(at)] + 1) : 999;
  }

  Window w_;
  std::vector<std::int32_t> level_;
  std::vector<std::int64_t> column_;   // kept in each column
  std::vector<std::int64_t> channel_;  // kept in each input channel
  std::int64_t at_ = 0, row_ = 0, in_row_ = 0, x_ = 0, y_ = 0, c_ = 0, kept_in_row_ = 0, kept_ = 0;
  std::uint32_t last_ = 0;
};

// The floats in order, as whole numbers: -0 is -1, 0 is 0.
float float_at(std::int32_t place) {
  const std::int32_t bits = place < 0 ? std::numeric_limits<std::int32_t>::min() - place - 1 : place;
  return std::bit_cast<float>(bits);
}
constexpr std::int32_t kLastFloat = 0x7F7FFFFF;

// A number that has this code: its level, or, where rounding or a threshold would give that another code, the
// smallest other one; levels rise with the numbers that they stand for. So what was read has the codes that
// were written.
real number_of(const QuantizationScheme& scheme, std::int32_t code, const Grid& grid, int bits) {
  const auto code_of = [&](real x) {
    std::int32_t found = 0;
    scheme.quantize({&x, 1}, grid, bits, &found);
    return found;
  };
  const auto level_of = [&](std::int32_t of) {
    real level = 0;
    scheme.dequantize({&of, 1}, grid, bits, &level);
    return level;
  };
  const real level = level_of(code);
  if (code_of(level) == code) return level;
  std::int32_t low = -kLastFloat - 1, high = kLastFloat;
  while (low < high) {
    const auto middle = static_cast<std::int32_t>((std::int64_t{low} + high) >> 1);
    if (level_of(code_of(float_at(middle))) < level) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (code_of(float_at(low)) != code) refuse("has a weight that is not on its grid");
  return float_at(low);
}

class Walk {
 public:
  explicit Walk(ContextCoder& coder, std::int64_t largest_slab = 0, std::vector<FilePart>* parts = nullptr)
      : coder_(coder),
        text_(coder, kText, kTextLength),
        reading_{coder.reading()},
        largest_slab_(largest_slab),
        parts_(parts) {}

  // Graph and numbers of `file.model`, labels and pipeline: from it, or into it.
  void walk(EspalierFile& file, const Model* source) {
    Graph graph;
    spec(source ? &source->graph : nullptr, graph);
    part("spec");
    if (reading_) {
      if (graph.slab_size > largest_slab_) {
        refuse("asks for " + std::to_string(graph.slab_size) + " numbers, more than it can hold");
      }
      file.model = std::make_unique<Model>(std::move(graph));
    }
    // Writing changes nothing.
    numbers(file.model ? *file.model : const_cast<Model&>(*source));
    labels(file.labels, file.model ? file.model->graph.classes : source->graph.classes);
    part("labels");
    text_.code(file.pipeline);
    part("pipeline");
  }

 private:
  bool flag(bool value, const Contexts& contexts) { return coder_.bit(value ? 1 : 0, contexts) != 0; }

  template <class Number>
  void whole(Number& number, std::uint32_t what, double minimum, double maximum) {
    const auto shifted = static_cast<std::uint32_t>(reading_ ? 0 : static_cast<double>(number) - minimum);
    const std::uint32_t coded = coder_.number(shifted, Contexts(kSpecNumber).add(what));
    if (!reading_) return;
    if (static_cast<double>(coded) > maximum - minimum) refuse("has a number that is out of its range");
    number = static_cast<Number>(static_cast<double>(coded) + minimum);
  }

  // A double: a short decimal m / 10^k, a float, or 64 bits.
  void real64(double& number, std::uint32_t what) {
    std::uint32_t form = 2, power = 0, digits = 0;
    if (!reading_) {
      double unit = 1;
      for (power = 0; power < 16; ++power, unit *= 10) {
        const double m = std::floor(number * unit + 0.5);
        if (m >= 0 && m < 1e6 && m / unit == number && !std::signbit(number)) {
          digits = static_cast<std::uint32_t>(m);
          form = 0;
          break;
        }
      }
      if (form != 0 && static_cast<double>(static_cast<float>(number)) == number) form = 1;
    }
    form = coder_.symbol(form, 2, Contexts(kDoubleForm).add(what));
    if (form == 0) {
      power = coder_.symbol(power, 4, Contexts(kDoubleForm).add(what, 1));
      digits = coder_.number(digits, Contexts(kDoubleForm).add(what, 2));
      double unit = 1;
      for (std::uint32_t i = 0; i < power; ++i) unit *= 10;
      if (reading_) number = digits / unit;
    } else if (form == 1) {
      const auto bits = coder_.raw(std::bit_cast<std::uint32_t>(static_cast<float>(number)), 32);
      if (reading_) number = std::bit_cast<float>(bits);
    } else {
      const auto bits = std::bit_cast<std::uint64_t>(number);
      const std::uint64_t high = coder_.raw(static_cast<std::uint32_t>(bits >> 32), 32);
      const std::uint64_t low = coder_.raw(static_cast<std::uint32_t>(bits), 32);
      if (reading_) number = std::bit_cast<double>(high << 32 | low);
    }
    if (!std::isfinite(number)) refuse("has a number that is not finite");
  }

  void channel_numbers(std::vector<double>& numbers, int channels, std::uint32_t what) {
    const bool given = flag(!numbers.empty(), Contexts(kSpecFlag).add(what));
    numbers.resize(given ? static_cast<std::size_t>(channels) : 0);
    for (double& number : numbers) real64(number, what);
  }

  // --- the spec

  void spec(const Graph* source, Graph& graph) {
    std::size_t count = 0;
    if (source) {
      graph.name = source->name;
      graph.input = source->input;
      graph.classes = source->classes;
      count = source->nodes.size();
    }
    text_.code(graph.name);
    Shape& shape = graph.input.shape;
    whole(shape.channels, 0, 1, 1024);
    whole(shape.height, 1, 1, 4096);
    whole(shape.width, 1, 1, 4096);
    channel_numbers(graph.input.mean, shape.channels, 0);
    channel_numbers(graph.input.standard_deviation, shape.channels, 1);
    if (!graph.input.is_normalisation_in_range()) refuse("has a mean or a standard deviation out of range");
    whole(graph.classes, 2, 2, 65536);
    whole(count, 3, 1, kMostLayers);
    for (std::size_t i = 0; i < count; ++i) layer(source ? &source->nodes[i] : nullptr, graph);
    finish(graph);
  }

  void layer(const Node* source, Graph& graph) {
    const auto ops = op_types();
    const int previous = static_cast<int>(graph.nodes.size());
    std::uint32_t type = 0;
    Node node;
    if (source) {
      type = static_cast<std::uint32_t>(std::find(ops.begin(), ops.end(), source->op) - ops.begin());
      node.inputs = source->inputs;
      node.name = source->name;
    }
    type = coder_.symbol(type, 6, Contexts(kOpIndex).add(0).add(last_type_ + 1));
    if (type >= ops.size())
      refuse("has a layer of a type that is not known here; a newer version may read it");
    last_type_ = type;
    node.op = ops[type];
    const bool named =
        flag(node.name != automatic_name(*node.op, graph.nodes.size()), Contexts(kSpecFlag).add(2));
    if (named) {
      text_.code(node.name);
    } else {
      node.name.clear();
    }
    inputs(node.inputs, previous);
    for (std::size_t i = 0; i < node.op->fields.size(); ++i) {
      field(source, node, node.op->fields[i], type * 32 + static_cast<std::uint32_t>(i), graph.classes);
    }
    add_node(graph, std::move(node));
  }

  void inputs(std::vector<int>& inputs, int previous) {
    if (!flag(inputs != std::vector<int>{previous}, Contexts(kSpecFlag).add(3))) {
      inputs = {previous};
      return;
    }
    std::size_t count = inputs.size();
    whole(count, 4, 0, 64);
    inputs.resize(count);
    for (int& input : inputs) {
      int back = previous - input;
      whole(back, 5, 0, previous);
      input = previous - back;
    }
  }

  // Whether the layer comes out the same with these attributes as in `source`.
  static bool same(const Node& source, const Attributes& attributes, const Field& field, int classes) {
    Node trial;
    trial.op = source.op;
    trial.name = source.name;
    trial.in_shapes = source.in_shapes;
    trial.attributes = attributes;
    if (trial.attributes.units == Attributes::kClasses) trial.attributes.units = classes;
    try {
      trial.op->configure(trial);
    } catch (const Error&) {
      return false;
    }
    return trial.out_shape == source.out_shape &&
           std::visit([&](auto member) { return trial.attributes.*member == source.attributes.*member; },
                      field.target);
  }

  // 0: the default; 1: the keyword, or "same" padding; 2: the value itself.
  void field(const Node* source, Node& node, const Field& field, std::uint32_t what, int classes) {
    std::visit([&](auto member) { this->field(source, node, field, member, what, classes); }, field.target);
  }

  template <class Member>
  void field(const Node* source, Node& node, const Field& field, Member member, std::uint32_t what,
             int classes) {
    constexpr bool is_int = std::is_same_v<Member, int Attributes::*>;
    constexpr bool is_padding = std::is_same_v<Member, Padding Attributes::*>;
    std::uint32_t form = 0;
    if (source) {
      // The fields behind this one as they are: they may depend on each other.
      Attributes trial = source->attributes;
      trial.*member = Attributes{}.*member;
      if (field.required || !same(*source, trial, field, classes)) {
        form = 2;
        if constexpr (is_int) trial.*member = field.keyword_value;
        if constexpr (is_padding) (trial.*member).mode = Padding::Mode::kSame;
        const bool has_word = is_padding || !field.keyword.empty();
        if (has_word && same(*source, trial, field, classes)) form = 1;
      }
    }
    form = coder_.symbol(form, 2, Contexts(kSpecField).add(what));
    if (form == 0 && field.required) refuse("leaves out a field that its layer needs");
    if (form == 1 && !is_padding && field.keyword.empty()) refuse("has a word for a field that knows none");
    if (form == 1) {
      if constexpr (is_int) node.attributes.*member = field.keyword_value;
      if constexpr (is_padding) (node.attributes.*member).mode = Padding::Mode::kSame;
    } else if (form == 2) {
      if (source) node.attributes.*member = source->attributes.*member;
      value(node.attributes.*member, field, what + 16);
    } else if (form == 3) {
      refuse("has a field of a form that is not known here; a newer version may read it");
    }
  }

  void value(int& number, const Field& field, std::uint32_t what) {
    whole(number, what, field.minimum, field.maximum);
  }
  void value(double& number, const Field& field, std::uint32_t what) {
    real64(number, what);
    if (!(number >= field.minimum && number <= field.maximum))
      refuse("has a number that is out of its range");
  }
  void value(bool& truth, const Field&, std::uint32_t what) {
    truth = flag(truth, Contexts(kSpecFlag).add(what));
  }
  void value(Pair& pair, const Field& field, std::uint32_t what) {
    whole(pair.height, what, field.minimum, field.maximum);
    whole(pair.width, what, field.minimum, field.maximum);
  }
  void value(Padding& padding, const Field& field, std::uint32_t what) {
    for (int* side : {&padding.top, &padding.left, &padding.bottom, &padding.right}) {
      whole(*side, what, field.minimum, field.maximum);
    }
  }
  void value(WeightQuantization& q, const Field&, std::uint32_t what) {
    const auto schemes = quantization_schemes();
    auto scheme = static_cast<std::uint32_t>(
        reading_ ? 0 : std::find(schemes.begin(), schemes.end(), q.scheme) - schemes.begin());
    scheme = coder_.symbol(scheme, 4, Contexts(kSpecField).add(what));
    if (scheme >= schemes.size()) {
      refuse("has weights of a scheme that is not known here; a newer version may read it");
    }
    q.scheme = schemes[scheme];
    whole(q.bits, 6, 1, 8);
    int granularity = static_cast<int>(q.granularity);
    whole(granularity, 7, 0, 2);
    q.granularity = static_cast<Granularity>(granularity);
    whole(q.group_size, 8, 1, 1 << 20);
    q.learned = flag(q.learned, Contexts(kSpecFlag).add(4));
    q.pinned_zero = flag(q.pinned_zero, Contexts(kSpecFlag).add(5));
  }

  // --- the numbers

  void numbers(Model& model) {
    Parameters& p = model.parameters;
    const bool masked = flag(!p.mask.empty(), Contexts(kTensorFlag).add(0));
    if (reading_ && masked) p.mask.assign(static_cast<std::size_t>(model.graph.trainable_size), real{1});
    for (const Node& node : model.graph.nodes) {
      std::size_t first = 0;
      if (has_weights(node)) {
        weights(model, node, masked);
        first = 1;
      }
      for (std::size_t i = first; i < node.parameters.size(); ++i) {
        const ParameterInfo& info = node.parameters[i];
        // Grids go with their weights.
        if (&info == grid_scale_of(node) || &info == grid_offset_of(node)) continue;
        const bool partly = masked && info.trainable && pruned(p.mask, info);
        floats(p, info, {.rows = info.size}, partly);
        part(info.name);
      }
    }
  }

  // Whether the tensor has a mask.
  bool pruned(const aligned_vector<real>& mask, const ParameterInfo& info) {
    const auto first = mask.begin() + info.offset;
    const bool any = !reading_ && std::find(first, first + info.size, real{0}) != first + info.size;
    return flag(any, Contexts(kTensorFlag).add(1));
  }

  // One mask bit: true if the weight is kept.
  bool kept(aligned_vector<real>& mask, std::int64_t at, const Surroundings& around) {
    real& bit = mask[static_cast<std::size_t>(at)];
    const bool kept = flag(bit != 0, around.mask_contexts(tensor_));
    if (reading_) bit = kept ? real{1} : real{0};
    return kept;
  }

  void weights(Model& model, const Node& node, bool masked) {
    Parameters& p = model.parameters;
    const ParameterInfo& weight = weight_of(node);
    const bool partly = masked && pruned(p.mask, weight);
    const Window window = window_of(model.graph, node);
    const WeightQuantization& q = node.attributes.quantize;
    if (!q.scheme) {
      floats(p, weight, window, partly);
      part(weight.name);
      return;
    }
    if (q.scheme->codebook) {
      shared(p, node, window, partly);
    } else {
      codes(p, node, window, partly);
    }
  }

  // Weights on grids: all codes, then the grids of those groups that have any.
  void codes(Parameters& p, const Node& node, const Window& window, bool partly) {
    const WeightQuantization& q = node.attributes.quantize;
    const ParameterInfo& weight = weight_of(node);
    const std::int32_t lowest = q.scheme->lowest_code(q.bits);
    std::vector<std::int32_t> codes(static_cast<std::size_t>(weight.size));
    if (!reading_) codes = weight_codes(node, p.value.data());
    std::vector<bool> stored(codes.size(), true);
    ++tensor_;
    Surroundings around(window);
    for (std::int64_t i = 0; i < weight.size; ++i) {
      const auto at = static_cast<std::size_t>(i);
      around.move_to(i);
      stored[at] = !partly || kept(p.mask, weight.offset + i, around);
      if (!stored[at]) {
        around.put(-1);
        continue;
      }
      const auto bits = static_cast<std::uint32_t>(q.bits);
      const std::uint32_t level = coder_.symbol(static_cast<std::uint32_t>(codes[at] - lowest), q.bits,
                                                around.level_contexts(tensor_, bits));
      codes[at] = static_cast<std::int32_t>(level) + lowest;
      if (codes[at] > q.scheme->highest_code(q.bits)) refuse("has a weight that is not on its grid");
      around.put(static_cast<std::int32_t>(level));
    }
    part(weight.name);

    const ParameterInfo& scale = *grid_scale_of(node);
    const ParameterInfo* offset = grid_offset_of(node);
    std::vector<bool> used;
    for (std::int64_t i = 0; i < scale.size; ++i) {
      const WeightGroup group = group_at(q, window.rows, window.row(), i);
      const auto first = stored.begin() + group.begin;
      used.push_back(std::find(first, first + group.size, true) != first + group.size);
    }
    list(p, scale, used, real{1});
    if (offset) list(p, *offset, used, real{0});
    part(scale.name);
    if (!reading_) return;
    for (std::int64_t i = 0; i < scale.size; ++i) {
      const WeightGroup group = group_at(q, window.rows, window.row(), i);
      const Grid grid{q.learned ? std::max(p.value[static_cast<std::size_t>(scale.offset + i)], real(1e-12))
                                : p.value[static_cast<std::size_t>(scale.offset + i)],
                      offset ? p.value[static_cast<std::size_t>(offset->offset + i)] : real{0}};
      for (std::int64_t k = group.begin; k < group.begin + group.size; ++k) {
        const auto at = static_cast<std::size_t>(k);
        if (stored[at]) {
          p.value[static_cast<std::size_t>(weight.offset + k)] =
              number_of(*q.scheme, codes[at], grid, q.bits);
        }
      }
    }
  }

  // Weights that share levels: the levels in use, then for each weight which of them, in ascending order.
  void shared(Parameters& p, const Node& node, const Window& window, bool partly) {
    const ParameterInfo& weight = weight_of(node);
    const ParameterInfo& codebook = *codebook_of(node);
    real* levels = p.value.data() + codebook.offset;
    real* index = p.value.data() + codebook_index_of(node)->offset;
    std::vector<bool> used(static_cast<std::size_t>(codebook.size));
    for (std::int64_t i = 0; !reading_ && i < weight.size; ++i) {
      if (!partly || p.mask[static_cast<std::size_t>(weight.offset + i)] != 0)
        used[static_cast<std::size_t>(index[i])] = true;
    }
    ++tensor_;
    for (std::size_t i = 0; i < used.size(); ++i) {
      used[i] = flag(used[i], Contexts(kUsedLevel).add(i == 0 ? 0 : 1));
    }
    list(p, codebook, used, real{0});
    part(codebook.name);

    std::vector<std::uint32_t> rank(used.size());
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i]) continue;
      const auto at = std::upper_bound(order.begin(), order.end(), i,
                                       [&](std::size_t a, std::size_t b) { return levels[a] < levels[b]; });
      order.insert(at, i);
    }
    for (std::size_t i = 0; i < order.size(); ++i) rank[order[i]] = static_cast<std::uint32_t>(i);
    const int bits = order.size() > 1 ? static_cast<int>(std::bit_width(order.size() - 1)) : 0;

    Surroundings around(window);
    for (std::int64_t i = 0; i < weight.size; ++i) {
      around.move_to(i);
      if (partly && !kept(p.mask, weight.offset + i, around)) {
        around.put(-1);
        if (reading_) index[i] = 0;
        continue;
      }
      const std::uint32_t level =
          coder_.symbol(reading_ ? 0 : rank[static_cast<std::size_t>(index[i])], std::max(bits, 1),
                        around.level_contexts(tensor_, static_cast<std::uint32_t>(bits)));
      if (level >= order.size()) refuse("has a weight whose level is not in its codebook");
      around.put(static_cast<std::int32_t>(level));
      if (!reading_) continue;
      index[i] = static_cast<real>(order[level]);
      p.value[static_cast<std::size_t>(weight.offset + i)] = levels[order[level]];
    }
    part(weight.name);
  }

  void floats(Parameters& p, const ParameterInfo& info, const Window& window, bool partly) {
    ++tensor_;
    begin_floats(p, info, {});
    Surroundings around(window);
    for (std::int64_t i = 0; i < info.size; ++i) {
      if (partly) {
        around.move_to(i);
        const bool stored = kept(p.mask, info.offset + i, around);
        around.put(stored ? 0 : -1);
        if (!stored) continue;
      }
      real32(p.value[static_cast<std::size_t>(info.offset + i)]);
    }
  }

  // The numbers of `info` that are used; the others become `unused`.
  void list(Parameters& p, const ParameterInfo& info, const std::vector<bool>& used, real unused) {
    begin_floats(p, info, used);
    for (std::int64_t i = 0; i < info.size; ++i) {
      real& number = p.value[static_cast<std::size_t>(info.offset + i)];
      if (used[static_cast<std::size_t>(i)]) {
        real32(number);
      } else if (reading_) {
        number = unused;
      }
    }
  }

  // How many of the lowest bits are 0 in all of the tensor's numbers: they are not stored.
  void begin_floats(const Parameters& p, const ParameterInfo& info, const std::vector<bool>& used) {
    std::uint32_t zeros = 23;
    for (std::int64_t i = 0; !reading_ && i < info.size; ++i) {
      if (!used.empty() && !used[static_cast<std::size_t>(i)]) continue;
      const auto number = static_cast<float>(p.value[static_cast<std::size_t>(info.offset + i)]);
      zeros =
          std::min(zeros, static_cast<std::uint32_t>(std::countr_zero(std::bit_cast<std::uint32_t>(number))));
    }
    zero_bits_ = static_cast<int>(coder_.symbol(zeros, 5, Contexts(kZeroBits).add(0)));
    if (zero_bits_ > 23) refuse("has numbers of a form that is not known here; a newer version may read it");
    last_exponent_ = 0;
    ++float_tensor_;
  }

  void real32(real& number) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(number));
    const std::uint32_t exponent =
        coder_.symbol(bits >> 23 & 0xFF, 8,
                      Contexts(kExponent).add(0).add(float_tensor_).add(float_tensor_, last_exponent_));
    last_exponent_ = exponent;
    if (exponent == 255) refuse("has a value that is not a finite number");
    const std::uint32_t sign = static_cast<std::uint32_t>(
        coder_.bit(static_cast<int>(bits >> 31), Contexts(kMantissa).add(0).add(float_tensor_, exponent)));
    std::uint32_t result = sign << 31 | exponent << 23;
    const int stored = 23 - zero_bits_, known = std::min(stored, 3);
    const std::uint32_t mantissa = (bits & 0x7FFFFF) >> zero_bits_;
    std::uint32_t high = 0;
    if (known > 0) {
      high = coder_.symbol(mantissa >> (stored - known), known,
                           Contexts(kMantissa).add(1).add(float_tensor_).add(exponent));
    }
    const int rest = stored - known;
    const std::uint32_t low =
        exponent == 0 ? rest_of_zero(mantissa, rest) : coder_.raw(mantissa & ((1u << rest) - 1), rest);
    result |= (high << rest | low) << zero_bits_;
    if (reading_) number = static_cast<real>(std::bit_cast<float>(result));
  }

  // Of 0 and its smallest neighbours: usually 0.
  std::uint32_t rest_of_zero(std::uint32_t mantissa, int bits) {
    mantissa &= (1u << bits) - 1;
    if (bits == 0 || !flag(mantissa != 0, Contexts(kMantissa).add(2))) return 0;
    return coder_.raw(mantissa, bits);
  }

  // --- the rest

  void labels(std::vector<std::string>& labels, int classes) {
    const bool given = flag(!labels.empty(), Contexts(kLabelFlag).add(0));
    labels.resize(given ? static_cast<std::size_t>(classes) : 0);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::string digits = std::to_string(i);
      if (flag(labels[i] == digits, Contexts(kLabelFlag).add(1))) {
        labels[i] = digits;
      } else {
        text_.code(labels[i]);
      }
    }
  }

  void part(const std::string& name) {
    if (!parts_) return;
    parts_->push_back({name, coder_.position() - position_, coder_.entropy_bytes() - entropy_});
    position_ = coder_.position();
    entropy_ = coder_.entropy_bytes();
  }

  ContextCoder& coder_;
  // Known to the compiler where nothing writes.
  struct Reading {
    bool given;
    constexpr operator bool() const { return kInferenceOnly || given; }
  };

  TextCoder text_;
  const Reading reading_;
  const std::int64_t largest_slab_;
  std::vector<FilePart>* parts_;
  std::int64_t position_ = 0;
  double entropy_ = 0;
  std::uint32_t last_type_ = 63;
  std::uint32_t tensor_ = 0;
  std::uint32_t float_tensor_ = 0;
  std::uint32_t last_exponent_ = 0;
  int zero_bits_ = 0;
};

std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

// Magic, version, checksum (of the payload), length of the payload in groups of 7 bits.
constexpr std::size_t kFixed = sizeof kMagic + 1 + 4;

}  // namespace

bool is_espalier(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= sizeof kMagic && std::equal(std::begin(kMagic), std::end(kMagic), bytes.begin());
}

std::vector<std::uint8_t> save_espalier(const Model& model, std::span<const std::string> labels,
                                        std::string_view pipeline, std::vector<FilePart>* parts) {
  if (!labels.empty() && labels.size() != static_cast<std::size_t>(model.graph.classes)) {
    throw Error(ErrorCode::kArgument, "labels",
                "are " + std::to_string(labels.size()) + ", but the model has " +
                    std::to_string(model.graph.classes) + " classes; give one for each, or none");
  }
  if (pipeline.size() > TextCoder::kLongest) {
    throw Error(ErrorCode::kArgument, "pipeline", "is longer than a megabyte; leave it out");
  }
  ContextCoder coder;
  if (parts) parts->clear();
  EspalierFile file{nullptr, {labels.begin(), labels.end()}, std::string(pipeline)};
  Walk(coder, 0, parts).walk(file, &model);
  const std::vector<std::uint8_t> payload = coder.finish();

  std::vector<std::uint8_t> bytes(std::begin(kMagic), std::end(kMagic));
  bytes.push_back(kVersion);
  const std::uint32_t crc = crc32(payload);
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(crc >> 8 * i));
  std::uint64_t length = payload.size();
  for (; length >= 128; length >>= 7) bytes.push_back(static_cast<std::uint8_t>(length | 128));
  bytes.push_back(static_cast<std::uint8_t>(length));
  const std::size_t header = bytes.size();
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  if (parts) {
    std::int64_t counted = 0;
    for (const FilePart& part : *parts) counted += part.bytes;
    // What the coder adds to end the last number, or leaves out.
    const auto ending = static_cast<std::int64_t>(payload.size()) - counted;
    parts->insert(parts->begin(), {"header", static_cast<std::int64_t>(header) + ending, 0});
  }
  return bytes;
}

EspalierFile load_espalier(const NamedBytes& file) {
  const auto bytes = file.bytes;
  const auto fail = [&](const std::string& message) { throw Error(ErrorCode::kModel, file.name, message); };
  if (!is_espalier(bytes)) fail("is not an .espalier file: it does not begin with \"ESPL\"");
  if (bytes.size() <= kFixed) fail("is cut off: it ends in its header");
  if (bytes[4] != kVersion) {
    fail("is of version " + std::to_string(bytes[4]) + " of the format, but this Espalier reads version " +
         std::to_string(kVersion) + "; use a newer one");
  }
  std::uint32_t crc = 0;
  for (int i = 0; i < 4; ++i) crc |= std::uint32_t{bytes[static_cast<std::size_t>(5 + i)]} << 8 * i;
  std::uint64_t length = 0;
  std::size_t next = kFixed;
  for (int shift = 0;; shift += 7) {
    if (next == bytes.size()) fail("is cut off: it ends in its header");
    if (shift > 49) fail("is damaged: its length makes no sense");
    const std::uint8_t byte = bytes[next++];
    length |= std::uint64_t{byte & 127u} << shift;
    if (byte < 128) break;
  }
  const auto payload = bytes.subspan(next);
  if (payload.size() != length) {
    fail("is " + std::string(payload.size() < length ? "cut off" : "too long") + ": it should have " +
         std::to_string(next + length) + " bytes, but has " + std::to_string(bytes.size()));
  }
  if (crc32(payload) != crc) fail("is damaged: its checksum is wrong; get the file again");
  EspalierFile result;
  try {
    ContextCoder coder(payload);
    Walk(coder, kFewNumbers + kNumbersPerByte * static_cast<std::int64_t>(payload.size()))
        .walk(result, nullptr);
  } catch (const Error& error) {
    fail(std::string("contradicts itself: ") + error.what());
  }
  return result;
}

}  // namespace espalier
