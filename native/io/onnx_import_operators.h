// How ONNX's operators are read: a function for each, which gives the network a layer, a constant or nothing.
// The table of them is in onnx_import.cpp.
#pragma once

#include "io/onnx_import_node.h"

namespace espalier::onnx_import {

// A bias has the product of two scales, which must not be rounded to 0.
constexpr float kLeastScale = 1e-18f;

// ---- onnx_import_weights.cpp

void read_conv(NodeImport& node);
void read_gemm(NodeImport& node);
void read_matmul(NodeImport& node);
void read_batch_norm(NodeImport& node);
// One for each of the `rows` outputs.
std::vector<float> bias_of_constant(const NodeImport& node, const Constant& c, std::size_t rows);

// ---- onnx_import_layers.cpp

void read_max_pool(NodeImport& node);
void read_average_pool(NodeImport& node);
void read_global_average(NodeImport& node);
void read_reduce_mean(NodeImport& node);
void read_relu(NodeImport& node);
void read_leaky_relu(NodeImport& node);
void read_tanh(NodeImport& node);
void read_sigmoid(NodeImport& node);
void read_clip(NodeImport& node);
void read_flatten(NodeImport& node);
void read_reshape(NodeImport& node);
void read_squeeze(NodeImport& node);
void read_concat(NodeImport& node);
void read_constant(NodeImport& node);
void read_identity(NodeImport& node);
void read_softmax(NodeImport& node);
// Strides, dilations and padding; the kernel is known.
void window(const NodeImport& node, Attributes& a, const Shape& in);

// ---- onnx_import_quantized.cpp

void read_quantize(NodeImport& node);
void read_dequantize(NodeImport& node);
// A Clip from one level of x's grid to another, which leaves fewer bits of it; false if it is none.
bool clip_to_bits(NodeImport& node, const Value& x, float low, float high);

// ---- onnx_import_sums.cpp

void read_sum(NodeImport& node);
void read_sub(NodeImport& node);
void read_mul(NodeImport& node);
void read_div(NodeImport& node);

}  // namespace espalier::onnx_import
