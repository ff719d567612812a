// Layers with weights: quantized ones come back as grids.
#include "io/onnx_import_operators.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "ops/weights.h"

namespace espalier::onnx_import {
namespace {

using onnx::DataType;

// [rows][row] of weights as they are in the engine, with the grid that their codes are on, if the scheme
// "symmetric" has it: one scale for each row or for all.
struct Weights {
  std::vector<float> numbers;
  WeightQuantization quantization;
  std::vector<float> scales;
};
Weights weights_of(const NodeImport& node, const Constant& c, std::size_t rows, bool transposed) {
  Weights w;
  const std::size_t row = c.numbers.size() / std::max<std::size_t>(rows, 1);
  const auto at = [&](std::size_t i) { return transposed ? i % row * rows + i / row : i; };
  w.numbers.resize(c.numbers.size());
  for (std::size_t i = 0; i < w.numbers.size(); ++i) {
    w.numbers[i] = c.numbers[at(i)];
    node.require(std::isfinite(w.numbers[i]), "with a weight that is not a finite number");
  }
  if (!c.quantized || c.quantized->type == DataType::kInt32) return w;
  const Constant::Codes& q = *c.quantized;
  std::int32_t largest = 1;
  for (std::size_t i = 0; i < q.codes.size(); ++i) largest = std::max(largest, std::abs(q.codes[i]));
  const bool centred =
      std::all_of(q.zero_points.begin(), q.zero_points.end(), [](std::int32_t z) { return z == 0; });
  const bool by_row = q.scales.size() == rows && q.axis == (transposed ? 1 : 0);
  if (!centred || largest > 127 || !(by_row || q.scales.size() == 1)) return w;
  if (*std::min_element(q.scales.begin(), q.scales.end()) < kLeastScale) return w;
  w.quantization.scheme = &kSymmetric;
  w.quantization.bits = 2;
  while (kSymmetric.highest_code(w.quantization.bits) < largest) ++w.quantization.bits;
  w.quantization.granularity = q.scales.size() == rows ? Granularity::kChannel : Granularity::kTensor;
  w.scales = q.scales;
  return w;
}

std::optional<std::vector<float>> bias_input(const NodeImport& node, std::size_t i, std::size_t rows) {
  if (!node.has_input(i)) return std::nullopt;
  return bias_of_constant(node, node.constant(i), rows);
}

Value add_weighted(NodeImport& node, const OpType& op, const Value& x, Attributes attributes, Weights weights,
                   std::optional<std::vector<float>> bias) {
  attributes.bias = bias.has_value();
  attributes.quantize = weights.quantization;
  std::vector<std::vector<float>> parameters{std::move(weights.numbers)};
  if (bias) parameters.push_back(std::move(*bias));
  if (weights.quantization.scheme) parameters.push_back(std::move(weights.scales));
  return node.append(op, {x}, attributes, std::move(parameters));
}

void dense(NodeImport& node, bool transposed, bool with_bias) {
  const Constant& w = node.constant(1);
  node.require(w.dims.size() == 2 && !w.numbers.empty(), "whose weights are not a matrix");
  const Value x = node.flattened(node.value(0));
  const std::size_t rows = static_cast<std::size_t>(w.dim(transposed ? 1 : 0));
  node.require(w.dim(transposed ? 0 : 1) == node.shape_of(x).size(),
               "whose weights are for another number of inputs");
  Attributes a;
  a.units = node.small(w.dim(transposed ? 1 : 0));
  node.set(add_weighted(node, kDense, x, a, weights_of(node, w, rows, transposed),
                        with_bias ? bias_input(node, 2, rows) : std::nullopt));
}

}  // namespace

std::vector<float> bias_of_constant(const NodeImport& node, const Constant& c, std::size_t rows) {
  node.require(c.numbers.size() == rows || c.numbers.size() == 1,
               "whose bias has another size than its outputs");
  std::vector<float> bias = c.numbers;
  bias.resize(rows, bias[0]);
  for (const float b : bias) node.require(std::isfinite(b), "with a bias that is not a finite number");
  return bias;
}

void read_conv(NodeImport& node) {
  const Value x = node.value(0);
  const Constant& w = node.constant(1);
  node.require(w.dims.size() == 4 && !w.numbers.empty(), "that is not a convolution in two dimensions");
  Attributes a;
  a.out_channels = node.small(w.dim(0));
  a.kernel = node.pair(node.wholes("kernel_shape", {w.dim(2), w.dim(3)}));
  node.require(a.kernel.height == w.dim(2) && a.kernel.width == w.dim(3), "whose kernel is not its weights'");
  a.groups = node.small(node.whole("group", 1));
  node.require(a.groups >= 1 && w.dim(1) * a.groups == node.shape_of(x).channels,
               "whose weights are for another number of channels");
  window(node, a, node.shape_of(x));
  const auto rows = static_cast<std::size_t>(w.dim(0));
  node.set(add_weighted(node, kConv, x, a, weights_of(node, w, rows, false), bias_input(node, 2, rows)));
}

// y = x · B + C, and the same with B transposed.
void read_gemm(NodeImport& node) {
  if (node.number("alpha", 1) != 1 || node.number("beta", 1) != 1 || node.whole("transA", 0) != 0) {
    node.refuse(", whose alpha, beta or transA are not the usual ones");
  }
  dense(node, node.whole("transB", 0) == 0, node.has_input(2));
}

void read_matmul(NodeImport& node) { dense(node, true, false); }

void read_batch_norm(NodeImport& node) {
  if (node.whole("training_mode", 0) != 0) node.refuse(" in training mode; export the model for inference");
  const Value x = node.value(0);
  Attributes a;
  a.epsilon = node.number("epsilon", 1e-5);
  a.momentum = std::clamp(decimal_of(static_cast<float>(1 - node.number("momentum", 0.9))), 0.0, 1.0);
  std::vector<std::vector<float>> parameters;
  for (std::size_t i = 1; i <= 4; ++i) {
    const Constant& c = node.constant(i);
    node.require(static_cast<int>(c.numbers.size()) == node.shape_of(x).channels,
                 "for another number of channels");
    for (const float number : c.numbers) {
      node.require(std::isfinite(number) && (i < 4 || number >= 0), "with a number that cannot be");
    }
    parameters.push_back(c.numbers);
  }
  node.require(a.epsilon >= 1e-12 && a.epsilon <= 1, "whose epsilon cannot be");
  node.set(node.append(kBatchNorm, {x}, a, std::move(parameters)));
}

}  // namespace espalier::onnx_import
