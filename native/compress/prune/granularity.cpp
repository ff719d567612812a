#include "compress/prune/granularity.h"

#include <algorithm>
#include <numeric>

#include "compress/prune/criterion.h"
#include "core/error.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

// Sets that only grow together.
class DisjointSets {
 public:
  explicit DisjointSets(int count) : parent_(static_cast<std::size_t>(count)) {
    std::iota(parent_.begin(), parent_.end(), 0);
  }
  int find(int i) {
    while (parent_[static_cast<std::size_t>(i)] != i) {
      int& parent = parent_[static_cast<std::size_t>(i)];
      parent = parent_[static_cast<std::size_t>(parent)];
      i = parent;
    }
    return i;
  }
  // The smaller one stands for both.
  void join(int a, int b) {
    a = find(a);
    b = find(b);
    parent_[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
  }

 private:
  std::vector<int> parent_;
};

bool is_depthwise(const Node& node) {
  return node.op == &kConv && node.attributes.groups > 1 &&
         node.attributes.groups == node.in_shape().channels;
}

// Which channels of a graph's values are one: the same number, scaled, rectified, pooled, added.
class Channels {
 public:
  explicit Channels(const Graph& graph) : first_(first_channels(graph)), sets_(first_.back()) {
    for (const Node& node : graph.nodes) {
      const int out = static_cast<int>(node.index) + 1;
      int concatenated = 0;
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const int in = node.inputs[i];
        const int channels = node.in_shapes[i].channels;
        for (int c = 0; c < channels; ++c) {
          if (node.op == &kConcat) {
            join(out, concatenated + c, in, c);
          } else if (node.op == &kFlatten) {
            const int pixels = node.in_shape().pixels();
            for (int p = 0; p < pixels; ++p) join(out, c * pixels + p, in, c);
          } else if (is_depthwise(node)) {
            const int copies = node.out_shape.channels / channels;
            for (int o = c * copies; o < (c + 1) * copies; ++o) join(out, o, in, c);
          } else if (!has_weights(node)) {
            join(out, c, in, c);
          }
        }
        concatenated += channels;
      }
    }
  }

  int count() const { return first_.back(); }
  int find(int value, int channel) { return sets_.find(first_[static_cast<std::size_t>(value)] + channel); }

 private:
  static std::vector<int> first_channels(const Graph& graph) {
    std::vector<int> first{0};
    for (int value = 0; value <= static_cast<int>(graph.nodes.size()); ++value) {
      first.push_back(first.back() + graph.value_shape(value).channels);
    }
    return first;
  }
  void join(int value, int channel, int other_value, int other_channel) {
    sets_.join(first_[static_cast<std::size_t>(value)] + channel,
               first_[static_cast<std::size_t>(other_value)] + other_channel);
  }

  std::vector<int> first_;  // by value
  DisjointSets sets_;
};

struct ChannelUnit {
  std::vector<std::int32_t> weights;
  std::vector<std::int32_t> layer;
  std::vector<std::int32_t> extras;
};

PruneUnits channel_units(const Graph& graph, const std::vector<bool>& layers) {
  Channels channels(graph);
  std::vector<bool> stays(static_cast<std::size_t>(channels.count()), false);
  const auto stay = [&](int value, int channel) {
    stays[static_cast<std::size_t>(channels.find(value, channel))] = true;
  };
  const auto of = [](int index) { return static_cast<std::size_t>(index); };
  for (int c = 0; c < graph.input.shape.channels; ++c) stay(0, c);
  const int last = static_cast<int>(graph.nodes.size());
  for (int c = 0; c < graph.value_shape(last).channels; ++c) stay(last, c);
  for (const Node& node : graph.nodes) {
    if (!has_weights(node) || is_depthwise(node) || layers[node.index]) continue;
    for (int c = 0; c < node.out_shape.channels; ++c) stay(static_cast<int>(node.index) + 1, c);
  }

  std::vector<ChannelUnit> units;
  std::vector<int> unit_of(stays.size(), -1);
  for (const Node& node : graph.nodes) {
    if (!has_weights(node)) continue;
    const ParameterInfo& weight = weight_of(node);
    const int rows = node.out_shape.channels;
    const auto row = static_cast<std::int32_t>(weight.size / rows);
    for (int r = 0; r < rows; ++r) {
      const int set = channels.find(static_cast<int>(node.index) + 1, r);
      if (stays[of(set)]) continue;
      if (unit_of[of(set)] < 0) {
        unit_of[of(set)] = static_cast<int>(units.size());
        units.emplace_back();
      }
      ChannelUnit& unit = units[of(unit_of[of(set)])];
      const auto begin = static_cast<std::int32_t>(weight.offset) + r * row;
      for (std::int32_t i = begin; i < begin + row; ++i) unit.weights.push_back(i);
      unit.layer.insert(unit.layer.end(), of(row), static_cast<std::int32_t>(node.index));
      if (const ParameterInfo* bias = bias_of(node)) {
        unit.extras.push_back(static_cast<std::int32_t>(bias->offset) + r);
      }
    }
  }
  for (const Node& node : graph.nodes) {
    if (node.op != &kBatchNorm) continue;
    for (int c = 0; c < node.out_shape.channels; ++c) {
      const int unit = unit_of[of(channels.find(static_cast<int>(node.index) + 1, c))];
      if (unit < 0) continue;
      for (const std::size_t parameter : {0u, 1u}) {
        units[of(unit)].extras.push_back(static_cast<std::int32_t>(node.parameters[parameter].offset) + c);
      }
    }
  }

  // Layers that share a unit share a pool.
  DisjointSets pools(last);
  for (const ChannelUnit& unit : units) {
    for (const std::int32_t layer : unit.layer) pools.join(unit.layer.front(), layer);
  }
  PruneUnits result;
  for (const ChannelUnit& unit : units) {
    result.weights.insert(result.weights.end(), unit.weights.begin(), unit.weights.end());
    result.layer.insert(result.layer.end(), unit.layer.begin(), unit.layer.end());
    result.extras.insert(result.extras.end(), unit.extras.begin(), unit.extras.end());
    result.end_unit(pools.find(unit.layer.front()));
  }
  return result;
}

// The weights of one layer, `length` neighbours at a time.
void add_rows(const Node& node, std::int64_t length, PruneUnits& units) {
  const ParameterInfo& weight = weight_of(node);
  for (std::int64_t i = 0; i < weight.size; ++i) {
    units.weights.push_back(static_cast<std::int32_t>(weight.offset + i));
    units.layer.push_back(static_cast<std::int32_t>(node.index));
    if ((i + 1) % length == 0) units.end_unit(static_cast<int>(node.index));
  }
}

void add_groups(const Node& node, int of, PruneUnits& units) {
  const ParameterInfo& weight = weight_of(node);
  const std::int64_t rows = weight.shape[0], inputs = weight.shape[1];
  const std::int64_t taps = weight.size / (rows * inputs);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t input = 0; input < inputs; ++input) {
        if (input % of == 0) units.first_group.push_back(static_cast<std::int64_t>(units.count()));
        const std::int64_t at = weight.offset + (row * inputs + input) * taps + tap;
        units.weights.push_back(static_cast<std::int32_t>(at));
        units.layer.push_back(static_cast<std::int32_t>(node.index));
        units.end_unit(static_cast<int>(node.index));
      }
    }
  }
}

[[noreturn]] void refuse(const std::string& text) {
  throw Error(ErrorCode::kArgument, "granularity",
              "must be weight, row, channel or N:M with 1 <= N < M <= 64 (\"2:4\"), found \"" + text + "\"");
}

// A number of at most two digits at the beginning of `text`, which loses it.
int take_number(std::string_view& text, const std::string& whole) {
  int number = 0;
  std::size_t digits = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    number = number * 10 + (text[digits] - '0');
    if (digits == 2) refuse(whole);
  }
  if (digits == 0) refuse(whole);
  text.remove_prefix(digits);
  return number;
}

}  // namespace

PruneGranularity parse_granularity(const std::string& text) {
  using Kind = PruneGranularity::Kind;
  if (text == "weight") return {.kind = Kind::kWeight};
  if (text == "row") return {.kind = Kind::kRow};
  if (text == "channel") return {.kind = Kind::kChannel};
  std::string_view rest = text;
  const int keep = take_number(rest, text);
  if (rest.empty() || rest.front() != ':') refuse(text);
  rest.remove_prefix(1);
  const int of = take_number(rest, text);
  if (!rest.empty() || keep < 1 || keep >= of || of > 64) refuse(text);
  return {.kind = Kind::kNOfM, .keep = keep, .of = of};
}

PruneUnits make_units(const Graph& graph, const PruneGranularity& granularity,
                      const std::vector<bool>& layers) {
  using Kind = PruneGranularity::Kind;
  if (granularity.kind == Kind::kChannel) return channel_units(graph, layers);
  PruneUnits units;
  for (const Node& node : graph.nodes) {
    if (!has_weights(node) || !layers[node.index]) continue;
    switch (granularity.kind) {
      case Kind::kNOfM:
        add_groups(node, granularity.of, units);
        break;
      case Kind::kRow:
        add_rows(node, node.attributes.kernel.width, units);
        break;
      default:
        add_rows(node, 1, units);
        break;
    }
  }
  if (granularity.kind == Kind::kNOfM) {
    units.first_group.push_back(static_cast<std::int64_t>(units.count()));
  }
  return units;
}

}  // namespace espalier
