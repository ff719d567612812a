#include "ops/weights.h"

#include <algorithm>

#include "core/math.h"
#include "ops/configure.h"

namespace espalier {
namespace {

std::int64_t rows_of(const Node& node) { return weight_of(node).shape[0]; }
std::int64_t row_of(const Node& node) { return weight_of(node).size / rows_of(node); }

Grid grid_at(const Node& node, const real* value, std::int64_t group) {
  const ParameterInfo* offset = grid_offset_of(node);
  const real scale = value[grid_scale_of(node)->offset + group];
  // A learned scale that has run below zero would turn the grid around.
  constexpr real kSmallest = real(1e-12);
  const bool learned = node.attributes.quantize.learned;
  return {learned ? std::max(scale, kSmallest) : scale, offset ? value[offset->offset + group] : real{0}};
}

template <class Visit>
void for_each_group(const Node& node, Visit&& visit) {
  const WeightQuantization& q = node.attributes.quantize;
  const std::int64_t rows = rows_of(node), row = row_of(node), count = group_count(q, rows, row);
  for (std::int64_t i = 0; i < count; ++i) visit(group_at(q, rows, row, i));
}

std::span<const real> numbers(const Node& node, const real* slab, const WeightGroup& group) {
  return {slab + weight_of(node).offset + group.begin, static_cast<std::size_t>(group.size)};
}

}  // namespace

void add_weights(Node& node, std::vector<int> shape, int fan_in) {
  const int rows = shape[0];
  add_parameter(node, "weight", shape, Initializer::kUniform, fan_in);
  const std::int64_t row = node.parameters.back().size / rows;
  if (node.attributes.bias) add_parameter(node, "bias", {rows}, Initializer::kZero);

  const WeightQuantization& q = node.attributes.quantize;
  if (!q.scheme) return;
  if (q.bits < q.scheme->min_bits || q.bits > q.scheme->max_bits) {
    const std::string from = std::to_string(q.scheme->min_bits), to = std::to_string(q.scheme->max_bits);
    spec_error(node, "quantize",
               "asks for " + std::to_string(q.bits) + " bits, but \"" + std::string(q.scheme->name) +
                   "\" takes " + (from == to ? "exactly " + from : from + " to " + to));
  }
  if (q.scheme->codebook) {
    add_parameter(node, "weight_codebook", {1 << q.bits}, Initializer::kZero, 1, q.learned);
    node.parameters.back().decays = false;
    add_parameter(node, "weight_index", std::move(shape), Initializer::kZero, 1, false);
    return;
  }
  if (q.learned && !q.scheme->learnable) {
    spec_error(node, "quantize",
               "asks for learned scales, which \"" + std::string(q.scheme->name) + "\" does not have");
  }
  const int groups = static_cast<int>(group_count(q, rows, row));
  add_parameter(node, "weight_scale", {groups}, Initializer::kOne, 1, q.learned);
  node.parameters.back().decays = false;
  if (!q.scheme->offset.empty()) {
    add_parameter(node, "weight_offset", {groups}, Initializer::kZero, 1, false);
  }
}

const ParameterInfo* grid_scale_of(const Node& node) {
  if (!node.attributes.quantize.scheme) return nullptr;
  return &node.parameters[node.attributes.bias ? 2 : 1];
}

const ParameterInfo* grid_offset_of(const Node& node) {
  const ParameterInfo* scale = grid_scale_of(node);
  return scale && scale != &node.parameters.back() ? scale + 1 : nullptr;
}

std::int64_t group_count(const WeightQuantization& q, std::int64_t rows, std::int64_t row) {
  switch (q.granularity) {
    case Granularity::kTensor:
      return 1;
    case Granularity::kChannel:
      return rows;
    case Granularity::kGroup:
      return rows * ((row + q.group_size - 1) / q.group_size);
  }
  return 1;
}

WeightGroup group_at(const WeightQuantization& q, std::int64_t rows, std::int64_t row, std::int64_t index) {
  switch (q.granularity) {
    case Granularity::kTensor:
      return {index, 0, rows * row};
    case Granularity::kChannel:
      return {index, index * row, row};
    case Granularity::kGroup: {
      const std::int64_t pieces = (row + q.group_size - 1) / q.group_size;
      const std::int64_t first = index % pieces * q.group_size;
      return {index, index / pieces * row + first, std::min<std::int64_t>(q.group_size, row - first)};
    }
  }
  return {};
}

void fit_weights(const Node& node, RangeMethod method, real* value) {
  fit_weights(node, method, value, 0, group_count(node));
}

void fit_weights(const Node& node, RangeMethod method, real* value, std::int64_t begin, std::int64_t end) {
  const WeightQuantization& q = node.attributes.quantize;
  if (q.scheme->codebook) return;
  const ParameterInfo* offset = grid_offset_of(node);
  for (std::int64_t i = begin; i < end; ++i) {
    const WeightGroup group = group_at(q, rows_of(node), row_of(node), i);
    const Grid grid = q.scheme->fit(numbers(node, value, group), q.bits, method);
    value[grid_scale_of(node)->offset + i] = grid.scale;
    if (offset) value[offset->offset + i] = grid.offset;
  }
}

std::int64_t group_count(const Node& node) {
  return group_count(node.attributes.quantize, rows_of(node), row_of(node));
}

std::int64_t groups_at_once(const Node& node) {
  return std::max<std::int64_t>(1, kWeightsAtOnce * group_count(node) / weight_of(node).size);
}

void fake_quantize_weights(const Node& node, const real* value, real* effective) {
  const WeightQuantization& q = node.attributes.quantize;
  real* out = effective + weight_of(node).offset;
  if (q.scheme->codebook) {
    const real* codebook = value + codebook_of(node)->offset;
    const real* index = value + codebook_index_of(node)->offset;
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) out[i] = codebook[static_cast<int>(index[i])];
    return;
  }
  for_each_group(node, [&](const WeightGroup& group) {
    q.scheme->fake_quantize(numbers(node, value, group), grid_at(node, value, group.index), q.bits,
                            out + group.begin);
  });
}

void quantized_weight_gradient(const Node& node, const real* value, const real* mask, real* gradient) {
  const WeightQuantization& q = node.attributes.quantize;
  real* weight = gradient + weight_of(node).offset;
  if (q.learned && mask) {
    const real* kept = mask + weight_of(node).offset;
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) weight[i] *= kept[i];
  }
  if (q.scheme->codebook) {
    if (q.learned) {
      real* levels = gradient + codebook_of(node)->offset;
      const real* index = value + codebook_index_of(node)->offset;
      std::fill_n(levels, codebook_of(node)->size, real{0});
      for (std::int64_t i = 0; i < weight_of(node).size; ++i) levels[static_cast<int>(index[i])] += weight[i];
      if (q.pinned_zero) levels[0] = 0;
    }
    std::fill_n(weight, weight_of(node).size, real{0});
    return;
  }
  for_each_group(node, [&](const WeightGroup& group) {
    const double sum = q.scheme->backward(numbers(node, value, group), grid_at(node, value, group.index),
                                          q.bits, weight + group.begin);
    if (!q.learned) return;
    // LSQ, section 2.2: keeps the scale's step in proportion to its weights' steps.
    const double factor = 1 / math::sqrt(static_cast<double>(group.size) * q.scheme->highest_code(q.bits));
    gradient[grid_scale_of(node)->offset + group.index] = static_cast<real>(sum * factor);
  });
}

std::vector<std::int32_t> weight_codes(const Node& node, const real* value) {
  const WeightQuantization& q = node.attributes.quantize;
  std::vector<std::int32_t> codes(static_cast<std::size_t>(weight_of(node).size));
  if (q.scheme->codebook) {
    const real* index = value + codebook_index_of(node)->offset;
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int32_t>(index[i]);
    return codes;
  }
  for_each_group(node, [&](const WeightGroup& group) {
    q.scheme->quantize(numbers(node, value, group), grid_at(node, value, group.index), q.bits,
                       codes.data() + group.begin);
  });
  return codes;
}

void set_weight_codes(const Node& node, std::span<const std::int32_t> codes, real* value) {
  const WeightQuantization& q = node.attributes.quantize;
  real* weight = value + weight_of(node).offset;
  std::vector<real> numbers(codes.size());
  for_each_group(node, [&](const WeightGroup& group) {
    const auto begin = static_cast<std::size_t>(group.begin), size = static_cast<std::size_t>(group.size);
    q.scheme->dequantize(codes.subspan(begin, size), grid_at(node, value, group.index), q.bits,
                         numbers.data() + begin);
  });
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (weight[i] != 0) weight[i] = numbers[i];
  }
}

}  // namespace espalier
