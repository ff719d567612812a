// QuantizeLinear and DequantizeLinear: features on grids, and constants that were made of codes.
#include "io/onnx_import_operators.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace espalier::onnx_import {
namespace {

using onnx::DataType;

CodeGrid grid_of_inputs(const NodeImport& node) {
  CodeGrid grid;
  grid.scale = node.scalar(1);
  if (!(grid.scale >= kLeastScale) || !std::isfinite(grid.scale))
    node.contradicts("whose scale is not above 1e-18");
  const Constant* zero_point = node.maybe_constant(2);
  const DataType type = zero_point ? zero_point->type : DataType::kUint8;
  const bool half = type == DataType::kUint4 || type == DataType::kInt4;
  if (!half && type != DataType::kUint8 && type != DataType::kInt8) {
    node.refuse(", whose codes are neither 8 nor 4 bits");
  }
  grid.highest = half ? 15 : 255;
  const int shift = type == DataType::kInt8 ? 128 : type == DataType::kInt4 ? 8 : 0;
  grid.zero_point = (zero_point ? static_cast<int>(node.scalar(2)) : 0) + shift;
  return grid;
}

Constant dequantized(const NodeImport& node) {
  Constant c = node.constant(0);
  if (!is_integer(c.type)) node.contradicts("of a constant that is not integers");
  if (node.whole("block_size", 0) != 0) node.refuse(" in blocks, which is not read");
  Constant::Codes q;
  q.type = c.type;
  for (const float x : c.numbers) q.codes.push_back(static_cast<std::int32_t>(x));
  for (const std::int64_t x : c.wholes) {
    node.require(std::abs(x) <= std::numeric_limits<std::int32_t>::max(),
                 "of a code that has more than 32 bits");
    q.codes.push_back(static_cast<std::int32_t>(x));
  }
  q.scales = node.constant(1).numbers;
  const std::size_t groups = q.scales.size();
  q.zero_points.assign(groups, 0);
  if (const Constant* zero_point = node.maybe_constant(2)) {
    const std::size_t size = std::max(zero_point->numbers.size(), zero_point->wholes.size());
    node.require(size == groups, "with another number of zero points than of scales");
    for (std::size_t i = 0; i < zero_point->numbers.size(); ++i) {
      q.zero_points[i] = static_cast<std::int32_t>(zero_point->numbers[i]);
    }
    for (const std::int64_t x : zero_point->wholes) {
      if (x != 0) node.refuse(", whose zero points are not 0");
    }
  }
  for (const float scale : q.scales)
    node.require(std::isfinite(scale) && scale > 0, "whose scale is not above 0");
  std::int64_t after = 1, extent = 1;
  if (groups != 1) {
    q.axis = node.whole("axis", 1);
    const auto rank = static_cast<std::int64_t>(c.dims.size());
    if (q.axis < 0) q.axis += rank;
    node.require(q.axis >= 0 && q.axis < rank &&
                     c.dims[static_cast<std::size_t>(q.axis)] == static_cast<std::int64_t>(groups),
                 "with another number of scales than its axis has");
    extent = static_cast<std::int64_t>(groups);
    for (std::size_t i = static_cast<std::size_t>(q.axis) + 1; i < c.dims.size(); ++i) after *= c.dims[i];
  }
  node.require(groups > 0, "without a scale");
  c.numbers.resize(q.codes.size());
  for (std::size_t i = 0; i < q.codes.size(); ++i) {
    const auto group = static_cast<std::size_t>(static_cast<std::int64_t>(i) / after % extent);
    c.numbers[i] = static_cast<float>(q.codes[i] - q.zero_points[group]) * q.scales[group];
  }
  c.quantized = std::move(q);
  c.wholes.clear();
  c.type = DataType::kFloat;
  return c;
}

}  // namespace

// Codes on a grid. A grid that the numbers are on already adds nothing.
void read_quantize(NodeImport& node) {
  const CodeGrid grid = grid_of_inputs(node);
  Value v = node.value(0);
  node.require(!v.is_codes, "of codes");
  const bool fits = v.grid && v.grid->scale == grid.scale && v.grid->zero_point == grid.zero_point &&
                    v.grid->highest <= grid.highest;
  v.alone = false;
  if (!fits) {
    Attributes attributes;
    attributes.bits = grid.highest == 255 ? 8 : 4;
    v.id =
        node.append(kFakeQuantize, {v}, attributes, {{grid.scale}, {static_cast<float>(grid.zero_point)}}).id;
    v.grid = grid;
    v.alone = node.network().only_reader(node.output_name());
  }
  v.is_codes = true;
  node.set(v);
}

void read_dequantize(NodeImport& node) {
  if (node.maybe_constant(0)) return node.set_constant(dequantized(node));
  Value v = node.value(0);
  node.require(v.is_codes, "of numbers that no QuantizeLinear made");
  CodeGrid grid = grid_of_inputs(node);
  // A grid of fewer bits was found by its clip.
  grid.highest = v.grid ? v.grid->highest : grid.highest;
  if (!v.grid || *v.grid != grid)
    node.refuse(", whose scale and zero point are not those of its QuantizeLinear");
  v.is_codes = false;
  v.alone = v.alone && node.network().only_reader(node.output_name());
  node.set(v);
}

bool clip_to_bits(NodeImport& node, const Value& x, float low, float high) {
  const auto level = [&](int code) { return static_cast<float>(code - x.grid->zero_point) * x.grid->scale; };
  if (low != level(0)) return false;
  for (int bits = 1; bits < 8; ++bits) {
    const int highest = (1 << bits) - 1;
    if (highest >= x.grid->highest || high != level(highest) || x.grid->zero_point > highest) continue;
    Attributes attributes;
    attributes.bits = bits;
    Value out = x;
    out.grid->highest = highest;
    out.alone = false;
    if (x.alone) {  // the quantizer of all bits was there for this one
      node.network().layers[static_cast<std::size_t>(x.id - 1)].node.attributes.bits = bits;
    } else {
      out.id = node.append(kFakeQuantize, {x}, attributes,
                           {{out.grid->scale}, {static_cast<float>(out.grid->zero_point)}})
                   .id;
    }
    node.set(out);
    return true;
  }
  return false;
}

}  // namespace espalier::onnx_import
