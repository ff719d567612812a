#include "compress/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/json_fields.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

bool counts(const ParameterInfo& info) {
  const auto is = [&](std::string_view end) { return info.name.ends_with(end); };
  return info.trainable && !is(".weight_scale") && !is(".weight_codebook") && !is(".scale");
}

LayerSize measure_layer(const Model& model, const Node& node) {
  LayerSize size{.name = node.name, .type = std::string(node.op->name)};
  size.macs = node.op->macs ? node.op->macs(node) : 0;
  const auto& mask = model.parameters.mask;
  const auto& value = model.parameters.value;
  const bool quantized = node.attributes.quantize.scheme != nullptr;
  for (const ParameterInfo& info : node.parameters) {
    const auto first = static_cast<std::size_t>(info.offset), count = static_cast<std::size_t>(info.size);
    std::int64_t kept = info.size;
    std::int64_t nonzeros = 0;
    if (counts(info)) {
      size.parameters += info.size;
      if (!mask.empty())
        kept = std::count_if(mask.begin() + info.offset, mask.begin() + info.offset + info.size,
                             [](real m) { return m != 0; });
      for (std::size_t i = first; i < first + count; ++i) {
        nonzeros += value[i] != 0 && (mask.empty() || mask[i] != 0) ? 1 : 0;
      }
      size.nonzeros += nonzeros;
    }
    const bool codes = quantized && &info == &weight_of(node);
    if (quantized && info.name.ends_with(".weight_index")) continue;  // those are the codes
    const std::int64_t bits = codes ? node.attributes.quantize.bits : 32;
    const std::int64_t dense = (info.size * bits + 7) / 8;
    const std::int64_t sparse = (kept * bits + 7) / 8 + (info.size + 7) / 8;
    size.bytes += kept < info.size ? std::min(dense, sparse) : dense;
    if (codes) size.bits = static_cast<int>(bits);
  }
  return size;
}

}  // namespace

ModelSize measure(const Model& model) {
  ModelSize size;
  size.total.name = "total";
  double weight_bits = 0;
  std::int64_t weights = 0;
  for (const Node& node : model.graph.nodes) {
    LayerSize layer = measure_layer(model, node);
    size.total.macs += layer.macs;
    if (node.parameters.empty()) continue;
    size.total.parameters += layer.parameters;
    size.total.nonzeros += layer.nonzeros;
    size.total.bytes += layer.bytes;
    if (layer.parameters > 0) {
      weight_bits += static_cast<double>(layer.bits) * static_cast<double>(layer.parameters);
      weights += layer.parameters;
    }
    size.layers.push_back(std::move(layer));
  }
  size.total.bits =
      weights > 0 ? static_cast<int>(std::lround(weight_bits / static_cast<double>(weights))) : 32;
  return size;
}

std::int64_t revived_weights(const Model& model) {
  const auto& mask = model.parameters.mask;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    count += mask[i] == 0 && model.parameters.value[i] != 0 ? 1 : 0;
  }
  return count;
}

}  // namespace espalier
