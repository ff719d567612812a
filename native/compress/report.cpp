// Sizes of models, and the report of a pass as JSON. Its table and CSV are in report_text.cpp.
#include "compress/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json_fields.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr std::int64_t kFloatBits = 32;

std::int64_t bytes_of(std::int64_t bits) { return (bits + 7) / 8; }

// Whether the codes of the layer's weights can say 0.
bool can_store_zeros(const Node& node) {
  const WeightQuantization& q = node.attributes.quantize;
  if (!q.scheme) return true;
  return q.scheme->codebook ? q.pinned_zero : q.scheme->exact_zero;
}

// A tensor of `size` numbers of which the mask keeps `kept`.
std::int64_t stored_bytes(std::int64_t size, std::int64_t kept, std::int64_t bits, bool can_store_zeros) {
  const std::int64_t dense = bytes_of(size * bits);
  if (kept == size) return dense;
  const std::int64_t sparse = bytes_of(kept * bits) + bytes_of(size);
  return can_store_zeros ? std::min(dense, sparse) : sparse;
}

// `effective`: the values with quantized weights.
LayerSize measure_layer(const Node& node, const aligned_vector<real>& effective,
                        const aligned_vector<real>& mask) {
  LayerSize size{.name = node.name, .type = std::string(node.op->name)};
  const bool quantized = node.attributes.quantize.scheme != nullptr;
  for (const ParameterInfo& info : node.parameters) {
    const bool weight = quantized && &info == &weight_of(node);
    const bool grid = &info == grid_scale_of(node) || &info == grid_offset_of(node);
    if (grid && node.attributes.quantize.scheme->codebook && &info == codebook_index_of(node)) {
      continue;  // those are the codes, counted with the weight
    }
    const bool counts = info.trainable && !grid && node.op != &kFakeQuantize;
    const bool masked = counts && !mask.empty();
    std::int64_t kept = info.size;
    std::int64_t nonzeros = 0;
    if (masked) kept = 0;
    for (std::int64_t i = info.offset; counts && i < info.offset + info.size; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const bool alive = mask.empty() || mask[at] != 0;
      kept += masked && alive ? 1 : 0;
      nonzeros += alive && effective[at] != 0 ? 1 : 0;
    }
    if (counts) size.parameters += info.size;
    size.nonzeros += nonzeros;
    if (weight) size.bits = node.attributes.quantize.bits;
    size.bytes +=
        stored_bytes(info.size, kept, weight ? size.bits : kFloatBits, !weight || can_store_zeros(node));
  }
  return size;
}

json row_json(const LayerSize& row) {
  return Fields()("name", row.name)("type", row.type)("parameters", row.parameters)("nonzeros", row.nonzeros)(
             "bits", row.bits)("bytes", row.bytes)("macs", row.macs)
      .take();
}

}  // namespace

json to_json(const ModelSize& size) {
  json layers = json::array();
  for (const LayerSize& layer : size.layers) layers.push_back(row_json(layer));
  return Fields()("layers", std::move(layers))("total", row_json(size.total)).take();
}

json to_json(const Accuracy& accuracy) {
  return Fields()("validation", accuracy.validation)("test", accuracy.test).take();
}

ModelSize measure(const Model& model) {
  ModelSize size;
  size.total.name = "total";
  std::int64_t weights = 0;
  std::int64_t weight_bits = 0;
  const aligned_vector<real>& value = model.parameters.value;
  aligned_vector<real> effective = value;
  for (const Node& node : model.graph.nodes) {
    if (node.attributes.quantize.scheme) fake_quantize_weights(node, value.data(), effective.data());
    LayerSize layer = measure_layer(node, effective, model.parameters.mask);
    layer.macs = node.op->macs ? node.op->macs(node) : 0;
    size.total.macs += layer.macs;
    size.total.bytes += layer.bytes;
    if (layer.parameters == 0) continue;
    size.total.parameters += layer.parameters;
    size.total.nonzeros += layer.nonzeros;
    if (has_weights(node)) {
      weights += weight_of(node).size;
      weight_bits += weight_of(node).size * layer.bits;
    }
    size.layers.push_back(std::move(layer));
  }
  if (weights > 0) size.total.bits = static_cast<int>((weight_bits + weights / 2) / weights);
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

json to_json(const Report& report) {
  Fields fields;
  fields("pass", report.pass)("model", report.model)("seed", report.seed)("before", to_json(report.before))(
      "after", to_json(report.after));
  const auto add = [&](std::string_view name, const std::optional<Accuracy>& accuracy) {
    if (accuracy) fields(name, to_json(*accuracy));
  };
  add("accuracy_before", report.accuracy_before);
  add("accuracy_after", report.accuracy_after);
  add("accuracy_finetuned", report.accuracy_finetuned);
  add("accuracy_control", report.accuracy_control);
  add("source_before", report.source_before);
  add("source_after", report.source_after);
  json notes = json::object();
  for (const auto& [name, text] : report.notes) {
    json& note = notes[name];
    note = note.is_null() ? text : note.get<std::string>() + "; " + text;
  }
  return fields("finetune_epochs", report.finetune_epochs)("revived", report.revived)("notes",
                                                                                      std::move(notes))
      .take();
}

}  // namespace espalier
