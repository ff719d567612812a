// Models with another spec: what the passes that rewrite a graph have in common.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "train/trainer.h"

namespace espalier {

// The spec with the "inputs" of every layer written out, so that layers can be taken out and put in.
nlohmann::json explicit_spec(const Graph& graph);

// Compiles `spec`; every tensor of `model` that the result has with the same name and size is copied, and
// with it its mask.
std::unique_ptr<Model> rewritten(const Model& model, const nlohmann::json& spec);

// The values that become codes when features are quantized: the image, and what conv, dense, sums and means
// (every layer whose result is a new number) give, behind the rectifier where that is its only reader. Pools
// of maxima and reshapes keep numbers on their grid; the outputs stay float.
std::vector<int> quantized_values(const Graph& graph);

// The spec with a "quantize" field for each layer (a null scheme: none) and, where `activation_bits` is not
// 0, a fake_quantize layer behind each of quantized_values(). `learned`: of those layers.
nlohmann::json quantized_spec(const Graph& graph, std::span<const WeightQuantization> weights,
                              int activation_bits, bool learned);

// The layer that gives a value, or "input".
std::string value_name(const Graph& graph, int value);

// The fake_quantize layer that quantized_spec() puts behind a value.
std::string quantizer_name(const Graph& graph, int value);

// Whether any weights or features are quantized.
bool is_quantized(const Graph& graph);

}  // namespace espalier
