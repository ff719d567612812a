// The ONNX reader: any bytes are a model or an Error; what is read is written and read again.
#include <nlohmann/json.hpp>

#include "compress/fold_batch_norm.h"
#include "compress/quantize/rewrite.h"
#include "core/error.h"
#include "io/onnx.h"
#include "ops/op.h"
#include "ops/weights.h"
#include "seeds.h"

using namespace espalier;

namespace {

nlohmann::json every_layer() {
  return nlohmann::json::parse(R"({
    "input": {"channels": 2, "height": 4, "width": 4, "mean": [0.5, 0.25], "standard_deviation": [0.25, 0.5]},
    "classes": 2,
    "layers": [
      {"type": "conv", "out_channels": 2, "kernel": 3, "padding": "same", "groups": 2},
      {"type": "batch_norm", "name": "b"},
      {"type": "relu6", "name": "r"},
      {"type": "conv", "name": "c", "out_channels": 2, "kernel": [1, 2], "padding": [0, 1, 0, 0]},
      {"type": "leaky_relu", "name": "l"},
      {"type": "add", "name": "a", "inputs": ["r", "l"]},
      {"type": "concat", "name": "k", "inputs": ["a", "r"]},
      {"type": "max_pool", "kernel": 2, "stride": 1, "padding": [0, 0, 1, 1]},
      {"type": "tanh"},
      {"type": "avg_pool", "kernel": 2},
      {"type": "sigmoid"},
      {"type": "global_avg_pool"},
      {"type": "dropout"},
      {"type": "flatten"},
      {"type": "dense", "units": 3, "bias": false},
      {"type": "relu"},
      {"type": "dense", "units": "classes"}
    ]})");
}

std::vector<std::vector<std::uint8_t>> seeds() {
  const std::vector<std::string> labels{"no", "1"};
  std::vector<std::vector<std::uint8_t>> seeds;
  const auto model = Model::create(every_layer(), 1, nullptr);
  seeds.push_back(save_onnx(*model, {.labels = labels, .pipeline = R"({"passes":[]})"}));
  // 8-bit weights and features, 4-bit weights, 3-bit features.
  const auto folded = fold_batch_norm(*model);
  for (const auto [weight_bits, feature_bits] : {std::pair{8, 8}, {4, 8}, {8, 3}, {8, 0}}) {
    std::vector<WeightQuantization> weights(folded->graph.nodes.size());
    for (WeightQuantization& q : weights) q = {.scheme = &kSymmetric, .bits = weight_bits};
    const auto quantized = rewritten(*folded, quantized_spec(folded->graph, weights, feature_bits, false));
    real* value = quantized->parameters.value.data();
    for (const Node& node : quantized->graph.nodes) {
      if (node.op == &kFakeQuantize) value[node.parameters[0].offset] = real(8) / (1 << feature_bits);
      if (has_weights(node)) fit_weights(node, RangeMethod::kMinMax, value);
    }
    seeds.push_back(save_onnx(*quantized, {}));
  }
  return seeds;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  write_seeds_if_asked(*argc, *argv, seeds);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const ModelFile file = load_onnx({"fuzzed", {data, size}});
    const auto again = save_onnx(*file.model, {.labels = file.labels, .pipeline = file.pipeline});
    (void)load_onnx({"again", again});
  } catch (const Error& error) {
    const bool known = error.code() == ErrorCode::kModel || error.code() == ErrorCode::kUnsupported;
    if (!known || error.where() != "fuzzed") std::abort();
  }
  return 0;
}
