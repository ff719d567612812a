// In four steps over the channels of all values (graph/node.h: 0 is the image, i + 1 the output of node i):
//
//   tie       channels that must stay or go together become one class (union-find)
//   constant  in the order of execution: which channels are constant, and what they are
//   use       from the outputs back: which channels are read and cannot be had as a constant. Their classes
//   are
//             kept, and what shapes demand beyond them.
//   rebuild   the spec with fewer channels, compiled again; parameters are copied, constants join the biases
#include "compress/slim.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/math.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

// A convolution's or dense layer's weight as [rows][columns][taps]. A row reads the columns of its group;
// the taps of a dense layer are its input's pixels.
struct Matrix {
  int rows = 0;
  int columns = 0;
  int taps = 0;
  int groups = 1;
  bool padded = false;  // some output sees zeros around the image

  int group_of(int row) const { return row / (rows / groups); }
};

bool sees_padding(const Node& node) {
  const Attributes& a = node.attributes;
  const Shape &in = node.in_shape(), &out = node.out_shape;
  const int bottom = (out.height - 1) * a.stride.height + (a.kernel.height - 1) * a.dilation.height;
  const int right = (out.width - 1) * a.stride.width + (a.kernel.width - 1) * a.dilation.width;
  return a.padding.top > 0 || a.padding.left > 0 || bottom >= in.height + a.padding.top ||
         right >= in.width + a.padding.left;
}

Matrix matrix_of(const Node& node) {
  const Shape& in = node.in_shape();
  const Attributes& a = node.attributes;
  if (node.op == &kDense)
    return {.rows = node.out_shape.channels, .columns = in.channels, .taps = in.pixels()};
  return {.rows = node.out_shape.channels,
          .columns = in.channels / a.groups,
          .taps = a.kernel.height * a.kernel.width,
          .groups = a.groups,
          .padded = sees_padding(node)};
}

// What layers compute with: fake_quantize(mask · value), as in graph/executor.cpp.
aligned_vector<real> effective_parameters(const Model& model) {
  aligned_vector<real> effective = model.parameters.value;
  const auto& mask = model.parameters.mask;
  const auto apply_mask = [&] {
    for (std::size_t i = 0; i < mask.size(); ++i) effective[i] *= mask[i];
  };
  apply_mask();
  for (const Node& node : model.graph.nodes) {
    if (!node.attributes.quantize.scheme) continue;
    fake_quantize_weights(node, model.parameters.value.data(), effective.data());
  }
  apply_mask();
  return effective;
}

real activation_of(const Node& node, real x) {
  if (node.op == &kRelu) return std::max(x, real{0});
  if (node.op == &kRelu6) return std::min(std::max(x, real{0}), real{6});
  if (node.op == &kLeakyRelu) return x > 0 ? x : x * static_cast<real>(node.attributes.slope);
  if (node.op == &kTanh) return static_cast<real>(1 - 2 / (math::exp(2 * static_cast<double>(x)) + 1));
  if (node.op == &kSigmoid) return static_cast<real>(1 / (1 + math::exp(-static_cast<double>(x))));
  return x;  // pools, dropout, flatten
}

// ops/fake_quantize.cpp; rounds half to even.
real fake_quantized(const Node& node, const real* effective, real x) {
  const real scale = std::max(effective[node.parameters[0].offset], real(1e-12));
  const real zero_point = effective[node.parameters[1].offset];
  const auto highest = static_cast<real>((1 << node.attributes.bits) - 1);
  return std::nearbyint(std::min(std::max(x / scale, -zero_point), highest - zero_point)) * scale;
}

// Batch norm in inference, as x · scale + shift.
struct Affine {
  real scale;
  real shift;
};
Affine batch_norm_of(const Node& node, const real* effective, int channel) {
  const auto parameter = [&](std::size_t i) {
    return static_cast<double>(effective[node.parameters[i].offset + channel]);
  };
  const double scale = parameter(0) / math::sqrt(parameter(3) + node.attributes.epsilon);
  return {static_cast<real>(scale), static_cast<real>(parameter(1) - parameter(2) * scale)};
}

class Slimmer {
 public:
  explicit Slimmer(const Model& model)
      : model_(model), graph_(model.graph), effective_(effective_parameters(model)) {
    int channels = 0;
    for (int value = 0; value <= last_value(); ++value) {
      first_.push_back(channels);
      channels += graph_.value_shape(value).channels;
    }
    const auto count = static_cast<std::size_t>(channels);
    parent_.resize(count);
    std::iota(parent_.begin(), parent_.end(), 0);
    known_.resize(count);
    constant_.resize(count);
    used_.resize(count);
    kept_.resize(count);
  }

  std::unique_ptr<Model> run() {
    for (const Node& node : graph_.nodes) tie(node);
    for (const Node& node : graph_.nodes) find_constants(node);
    mark_kept();
    return rebuild();
  }

 private:
  int last_value() const { return static_cast<int>(graph_.nodes.size()); }
  static int output_of(const Node& node) { return static_cast<int>(node.index) + 1; }
  // A channel of a value as an index into the vectors below.
  int unit(int value, int channel) const { return first_[static_cast<std::size_t>(value)] + channel; }
  int channels(int value) const { return graph_.value_shape(value).channels; }

  // ---- tie

  int class_of(int u) {
    while (parent_[at(u)] != u) u = parent_[at(u)] = parent_[at(parent_[at(u)])];
    return u;
  }
  void join(int a, int b) { parent_[at(class_of(a))] = class_of(b); }

  // Visits (input, output, channel of the output) where a layer hands channels on one by one.
  template <class Visit>
  void for_each_tie(const Node& node, Visit&& visit) const {
    int offset = 0;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const int pixels = node.op == &kFlatten ? node.in_shape().pixels() : 1;
      const int count = node.in_shapes[i].channels * pixels;
      for (int c = 0; c < count; ++c) {
        visit(unit(node.inputs[i], c / pixels), unit(output_of(node), offset + c), offset + c);
      }
      if (node.op == &kConcat) offset += count;
    }
  }
  void tie(const Node& node) {
    if (!has_weights(node)) for_each_tie(node, [&](int in, int out, int) { join(in, out); });
  }

  // ---- constant

  bool is_zero(const Node& node, const Matrix& matrix, int row, int column) const {
    const real* weight = weights(node, matrix, row, column);
    return std::all_of(weight, weight + matrix.taps, [](real w) { return w == 0; });
  }
  const real* weights(const Node& node, const Matrix& matrix, int row, int column) const {
    return effective_.data() + weight_of(node).offset +
           (std::int64_t{row} * matrix.columns + column) * matrix.taps;
  }
  // The channel that a row's column reads.
  int read_by(const Node& node, const Matrix& matrix, int row, int column) const {
    return unit(node.inputs[0], matrix.group_of(row) * matrix.columns + column);
  }
  bool joins_bias(const Matrix& matrix, int u) const {
    return known_[at(u)] && (!matrix.padded || constant_[at(u)] == 0);
  }
  // What the column adds to the row's bias where it reads a constant.
  double share_of_bias(const Node& node, const Matrix& matrix, int row, int column) const {
    const real* weight = weights(node, matrix, row, column);
    return std::accumulate(weight, weight + matrix.taps, 0.0) *
           constant_[at(read_by(node, matrix, row, column))];
  }

  void set_constant(int u, real x) {
    known_[at(u)] = true;
    constant_[at(u)] = x;
  }

  void find_constants(const Node& node) {
    if (has_weights(node)) return find_constant_rows(node);
    if (node.op == &kConcat || node.op == &kFlatten) {
      for_each_tie(node, [&](int in, int out, int) {
        if (known_[at(in)]) set_constant(out, constant_[at(in)]);
      });
      return;
    }
    const int out = output_of(node);
    for (int c = 0; c < channels(out); ++c) {
      bool known = true;
      real x = 0;
      for (const int input : node.inputs) {  // more than one: a sum
        known = known && known_[at(unit(input, c))];
        x += constant_[at(unit(input, c))];
      }
      if (node.op == &kBatchNorm) {
        const Affine affine = batch_norm_of(node, effective_.data(), c);
        known = known || affine.scale == 0;
        x = x * affine.scale + affine.shift;
      } else if (node.op == &kFakeQuantize) {
        x = fake_quantized(node, effective_.data(), x);
      } else {
        x = activation_of(node, x);
      }
      if (known) set_constant(unit(out, c), x);
    }
  }

  void find_constant_rows(const Node& node) {
    const Matrix matrix = matrix_of(node);
    const ParameterInfo* bias = bias_of(node);
    for (int row = 0; row < matrix.rows; ++row) {
      bool known = true;
      double x = bias ? effective_[at(bias->offset + row)] : real{0};
      for (int column = 0; known && column < matrix.columns; ++column) {
        if (is_zero(node, matrix, row, column)) continue;
        known = joins_bias(matrix, read_by(node, matrix, row, column));
        x += share_of_bias(node, matrix, row, column);
      }
      if (known) set_constant(unit(output_of(node), row), static_cast<real>(x));
    }
  }

  // ---- use

  void mark_kept() {
    const auto use_all = [&](int value) {
      for (int c = 0; c < channels(value); ++c) used_[at(unit(value, c))] = true;
    };
    use_all(last_value());
    for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) use_inputs(*node);
    use_all(0);
    for (std::size_t u = 0; u < used_.size(); ++u) {
      if (used_[u]) kept_[at(class_of(static_cast<int>(u)))] = true;
    }
    while (complete()) {
    }
  }

  // From the outputs that are used to what they are made of.
  void use_inputs(const Node& node) {
    const int out = output_of(node);
    if (has_weights(node)) {
      const Matrix matrix = matrix_of(node);
      for (int row = 0; row < matrix.rows; ++row) {
        if (!used_[at(unit(out, row))]) continue;
        for (int column = 0; column < matrix.columns; ++column) {
          const int in = read_by(node, matrix, row, column);
          if (!joins_bias(matrix, in) && !is_zero(node, matrix, row, column)) used_[at(in)] = true;
        }
      }
      return;
    }
    for_each_tie(node, [&](int in, int to, int channel) {
      const bool ignored =
          node.op == &kBatchNorm && batch_norm_of(node, effective_.data(), channel).scale == 0;
      if (used_[at(to)] && !ignored) used_[at(in)] = true;
    });
  }

  // What shapes and grids demand beyond that; nobody reads it. True if something more is kept.
  bool complete() {
    bool more = false;
    for (int value = last_value(); value > 0; --value) {
      const Node& node = graph_.nodes[at(value - 1)];
      more = keep_one(value) || more;
      if (!has_weights(node)) continue;
      const Matrix matrix = matrix_of(node);
      if (matrix.groups > 1) more = even_groups(node, matrix) || more;
      if (grids_fit(node, matrix)) continue;
      for (int c = 0; c < channels(node.inputs[0]); ++c) keep(unit(node.inputs[0], c));
      more = true;
    }
    return more;
  }

  bool kept(int u) { return kept_[at(class_of(u))]; }
  void keep(int u) { kept_[at(class_of(u))] = true; }

  bool keep_one(int value) {
    for (int c = 0; c < channels(value); ++c) {
      if (kept(unit(value, c))) return false;
    }
    keep(unit(value, 0));
    return true;
  }

  std::vector<int> kept_of(int value, int begin, int end) {
    std::vector<int> list;
    for (int c = begin; c < end; ++c) {
      if (kept(unit(value, c))) list.push_back(c);
    }
    return list;
  }
  std::vector<int> kept_of(int value) { return kept_of(value, 0, channels(value)); }

  // Groups that stay have as many inputs and outputs as the largest of them.
  bool even_groups(const Node& node, const Matrix& matrix) {
    const auto counts = [&](int value) {
      std::vector<int> result;
      const int size = channels(value) / matrix.groups;
      for (int g = 0; g < matrix.groups; ++g) {
        result.push_back(static_cast<int>(kept_of(value, g * size, (g + 1) * size).size()));
      }
      return result;
    };
    const int sides[] = {node.inputs[0], output_of(node)};
    const std::vector<int> of_side[] = {counts(sides[0]), counts(sides[1])};
    for (int side = 0; side < 2; ++side) {
      const std::vector<int>& count = of_side[side];
      const int wanted = std::max(1, *std::max_element(count.begin(), count.end()));
      const int size = channels(sides[side]) / matrix.groups;
      for (int g = 0; g < matrix.groups; ++g) {
        if (count[at(g)] == wanted || of_side[0][at(g)] + of_side[1][at(g)] == 0) continue;
        for (int c = g * size; c < (g + 1) * size; ++c) {
          if (kept(unit(sides[side], c))) continue;
          keep(unit(sides[side], c));
          return true;
        }
      }
    }
    return false;
  }

  // Whether weights that share a grid along their row still do so once inputs are removed.
  bool grids_fit(const Node& node, const Matrix& matrix) {
    const WeightQuantization& q = node.attributes.quantize;
    if (!q.scheme || q.scheme->codebook || q.granularity != Granularity::kGroup) return true;
    for (int g = 0; g < matrix.groups; ++g) {
      int position = 0, grid = 0;
      for (const int c : kept_of(node.inputs[0], g * matrix.columns, (g + 1) * matrix.columns)) {
        for (int tap = 0; tap < matrix.taps; ++tap, ++position) {
          const int old_grid = ((c - g * matrix.columns) * matrix.taps + tap) / q.group_size;
          if (position % q.group_size == 0) grid = old_grid;
          if (grid != old_grid) return false;
        }
      }
    }
    return true;
  }

  // ---- rebuild

  std::unique_ptr<Model> rebuild() {
    json spec = to_spec(graph_);
    std::vector<std::vector<double>> shares;  // by node and row that stays: what joins its bias
    for (const Node& node : graph_.nodes) {
      shares.push_back(has_weights(node) ? new_shares(node) : std::vector<double>());
      if (!has_weights(node)) continue;
      json& layer = spec["layers"][node.index];
      layer[node.op == &kDense ? "units" : "out_channels"] = kept_of(output_of(node)).size();
      if (node.op == &kConv) layer["groups"] = kept_groups(node);
      const bool joins =
          std::any_of(shares.back().begin(), shares.back().end(), [](double x) { return x != 0; });
      layer["bias"] = node.attributes.bias || joins;
    }
    auto slimmed = std::make_unique<Model>(compile(spec));
    auto& mask = slimmed->parameters.mask;
    if (!model_.parameters.mask.empty()) mask.assign(at(slimmed->graph.trainable_size), real{1});
    for (const Node& node : graph_.nodes) {
      const Node& to = slimmed->graph.nodes[node.index];
      for (const ParameterInfo& info : node.parameters) {
        const auto same = [&](const ParameterInfo& other) { return other.name == info.name; };
        copy(info, sources(node, info), *std::find_if(to.parameters.begin(), to.parameters.end(), same),
             slimmed->parameters);
      }
      if (has_weights(node)) add_to_bias(to, shares[node.index], slimmed->parameters);
    }
    if (std::all_of(mask.begin(), mask.end(), [](real m) { return m != 0; })) mask.clear();
    return slimmed;
  }

  int kept_groups(const Node& node) {
    const Matrix matrix = matrix_of(node);
    int count = 0, last = -1;
    for (const int row : kept_of(output_of(node))) {
      count += matrix.group_of(row) != last ? 1 : 0;
      last = matrix.group_of(row);
    }
    return count;
  }

  std::vector<double> new_shares(const Node& node) {
    const Matrix matrix = matrix_of(node);
    std::vector<double> shares;
    for (const int row : kept_of(output_of(node))) {
      double& share = shares.emplace_back(0);
      for (int column = 0; column < matrix.columns; ++column) {
        if (!kept(read_by(node, matrix, row, column))) share += share_of_bias(node, matrix, row, column);
      }
    }
    return shares;
  }

  static void add_to_bias(const Node& to, const std::vector<double>& shares, Parameters& parameters) {
    const ParameterInfo* bias = bias_of(to);
    for (std::size_t row = 0; bias && row < shares.size(); ++row) {
      if (shares[row] == 0) continue;
      const std::size_t i = at(bias->offset) + row;
      parameters.value[i] = static_cast<real>(parameters.value[i] + shares[row]);
      if (!parameters.mask.empty()) parameters.mask[i] = 1;
    }
  }

  // For each number of the new parameter, which one of the old it was.
  std::vector<std::int64_t> sources(const Node& node, const ParameterInfo& info) {
    std::vector<std::int64_t> list;
    const auto all = [&] {
      list.resize(at(info.size));
      std::iota(list.begin(), list.end(), std::int64_t{0});
    };
    const std::vector<int> rows = kept_of(output_of(node));
    if (!has_weights(node)) {
      if (node.op == &kBatchNorm) {
        list.assign(rows.begin(), rows.end());
      } else {
        all();
      }
      return list;
    }
    const Matrix matrix = matrix_of(node);
    const WeightQuantization& q = node.attributes.quantize;
    const bool grid = &info == grid_scale_of(node) || &info == grid_offset_of(node);
    const bool weight = &info == &weight_of(node) || (grid && q.scheme->codebook && info.shape.size() > 1);
    if (weight || (grid && !q.scheme->codebook && q.granularity == Granularity::kGroup)) {
      // One number for each weight, or for each group_size neighbours of a row.
      const int together = weight ? 1 : q.group_size;
      const std::int64_t row_size = (std::int64_t{matrix.columns} * matrix.taps + together - 1) / together;
      for (const int row : rows) {
        const int first = matrix.group_of(row) * matrix.columns;
        int position = 0;
        for (const int c : kept_of(node.inputs[0], first, first + matrix.columns)) {
          for (int tap = 0; tap < matrix.taps; ++tap, ++position) {
            if (position % together != 0) continue;
            list.push_back(row * row_size + ((c - first) * matrix.taps + tap) / together);
          }
        }
      }
    } else if (grid && (q.scheme->codebook || q.granularity == Granularity::kTensor)) {
      all();
    } else {
      list.assign(rows.begin(), rows.end());  // one number for each row
    }
    return list;
  }

  void copy(const ParameterInfo& from, const std::vector<std::int64_t>& source, const ParameterInfo& to,
            Parameters& parameters) const {
    const auto& mask = model_.parameters.mask;
    for (std::size_t i = 0; i < source.size(); ++i) {
      const std::size_t old_at = at(from.offset + source[i]), new_at = at(to.offset) + i;
      parameters.value[new_at] = model_.parameters.value[old_at];
      if (!to.trainable || mask.empty()) continue;
      parameters.mask[new_at] = mask[old_at];
      parameters.value[new_at] *= mask[old_at];
    }
  }

  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  const Model& model_;
  const Graph& graph_;
  const aligned_vector<real> effective_;
  std::vector<int> first_;  // by value, its first channel in the vectors that follow
  std::vector<int> parent_;
  std::vector<bool> known_;  // to be constant, namely
  std::vector<real> constant_;
  std::vector<bool> used_;  // someone reads it, so its numbers must be right
  std::vector<bool> kept_;  // by class
};

}  // namespace

std::unique_ptr<Model> slim(const Model& model) { return Slimmer(model).run(); }

}  // namespace espalier
