// ONNX nodes as a graph and its parameters: a row of kOperators for each operator. Quantized weights and
// features come back as grids, constants on the way from the image to the first layer as its normalisation.
#include <string_view>

#include "core/error.h"
#include "io/onnx.h"
#include "io/onnx_file.h"
#include "io/onnx_import_network.h"
#include "io/onnx_import_node.h"
#include "io/onnx_import_operators.h"

namespace espalier {
namespace onnx_import {
namespace {

constexpr std::int64_t kOldestOpset = 7;

struct Operator {
  std::string_view name;
  void (*read)(NodeImport& node);
};
constexpr Operator kOperators[] = {
    {"Add", read_sum},
    {"AveragePool", read_average_pool},
    {"BatchNormalization", read_batch_norm},
    {"Clip", read_clip},
    {"Concat", read_concat},
    {"Constant", read_constant},
    {"Conv", read_conv},
    {"DequantizeLinear", read_dequantize},
    {"Div", read_div},
    {"Dropout", read_identity},
    {"Flatten", read_flatten},
    {"Gemm", read_gemm},
    {"GlobalAveragePool", read_global_average},
    {"Identity", read_identity},
    {"LeakyRelu", read_leaky_relu},
    {"LogSoftmax", read_softmax},
    {"MatMul", read_matmul},
    {"MaxPool", read_max_pool},
    {"Mul", read_mul},
    {"QuantizeLinear", read_quantize},
    {"ReduceMean", read_reduce_mean},
    {"Relu", read_relu},
    {"Reshape", read_reshape},
    {"Sigmoid", read_sigmoid},
    {"Softmax", read_softmax},
    {"Squeeze", read_squeeze},
    {"Sub", read_sub},
    {"Sum", read_sum},
    {"Tanh", read_tanh},
};

void add(const onnx::Node& node, Network& network) {
  NodeImport in(node, network);
  if (!node.domain.empty() && node.domain != "ai.onnx") {
    in.refuse(" of the domain \"" + node.domain + "\", which the engine does not have");
  }
  for (const Operator& row : kOperators) {
    if (row.name != node.op) continue;
    return row.read(in);
  }
  in.refuse(", which the engine does not have");
}

ModelFile read(const onnx::File& file) {
  if (file.opset < kOldestOpset) {
    fail("is written for operator set " + std::to_string(file.opset) + "; the oldest that is read is " +
         std::to_string(kOldestOpset));
  }
  Network network(file);
  for (const onnx::Node& node : file.nodes) add(node, network);
  return network.finish();
}

}  // namespace
}  // namespace onnx_import

ModelFile load_onnx(const NamedBytes& file) {
  const onnx::File read = onnx::read(file);
  try {
    return onnx_import::read(read);
  } catch (const Error& error) {
    if (error.where().empty()) throw Error(error.code(), file.name, error.message());
    throw Error(ErrorCode::kModel, file.name,
                std::string("has a network that is not valid: ") + error.what());
  }
}

}  // namespace espalier
