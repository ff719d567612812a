#include "wasm/describe.h"

#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "compress/pass.h"
#include "compress/pipeline.h"
#include "compress/prune/criterion.h"
#include "core/json_fields.h"
#include "core/json_text.h"
#include "data/augment.h"
#include "graph/plan.h"
#include "io/model_file.h"
#include "ops/op.h"
#include "quantize/scheme.h"
#include "runtime/format.h"
#include "train/tables.h"

namespace espalier {
namespace {

using nlohmann::json;

template <class Row>
const Row& row_of(const Row& row) {
  return row;
}
template <class Row>
const Row& row_of(const Row* const& row) {
  return *row;
}

// Of tables of rows, and of pointers to rows.
template <class Entry>
json rows(std::span<const Entry> table) {
  json list = json::array();
  for (const Entry& entry : table) {
    const auto& row = row_of(entry);
    list.push_back(Fields()("name", row.name)("summary", row.summary).take());
  }
  return list;
}

json preset_rows() {
  json list = json::array();
  for (const Preset& preset : presets()) {
    json spec = parse_json(preset.spec, ErrorCode::kSpec, "preset");
    json summary = spec["description"];
    list.push_back(
        Fields()("name", preset.name)("summary", std::move(summary))("spec", std::move(spec)).take());
  }
  return list;
}

json augmentation_rows() {
  json list = json::array();
  for (const AugmentationType& type : augmentation_types()) {
    list.push_back(Fields()("name", type.name)("summary", type.summary)("unit", type.unit)(
                       "defaultAmount", type.default_amount)("maxAmount", type.max_amount)
                       .take());
  }
  return list;
}

json pass_rows() {
  json list = json::array();
  for (const PassType* pass : pass_types()) {
    list.push_back(Fields()("name", pass->name)("summary", pass->summary)("fields", pass->defaults()).take());
  }
  return list;
}

json scheme_rows() {
  json list = json::array();
  for (const QuantizationScheme* scheme : quantization_schemes()) {
    list.push_back(
        Fields()("name", scheme->name)("summary", scheme->summary)("minBits", scheme->min_bits)(
            "maxBits", scheme->max_bits)("learnable", scheme->learnable)("exactZero", scheme->exact_zero)
            .take());
  }
  return list;
}

json pipeline_rows() {
  json list = json::array();
  for (const NamedPipeline& row : named_pipelines()) {
    json pipeline = parse_json(row.json, ErrorCode::kArgument, "pipeline");
    json summary = pipeline["summary"];
    list.push_back(
        Fields()("name", row.name)("summary", std::move(summary))("pipeline", std::move(pipeline)).take());
  }
  return list;
}

json file_format_rows() {
  json list = json::array();
  for (const FileFormat& format : file_formats()) {
    list.push_back(Fields()("name", format.name)("summary", format.summary)("extension", format.extension)(
                       "readable", format.recognises != nullptr)
                       .take());
  }
  return list;
}

std::string extent_text(int height, int width) {
  return std::to_string(height) + "x" + std::to_string(width);
}

// "5x5, stride 1, padding 2" from the fields that the layer has.
std::string detail(const Node& node, const json& layer) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const Field& field : node.op->fields) {
    const std::string name(field.name);
    if (!layer.contains(name)) continue;
    const json& value = layer[name];
    if (name == "quantize") {
      const WeightQuantization& quantize = node.attributes.quantize;
      add(std::string(quantize.scheme->name) + " weights of " + std::to_string(quantize.bits) + " bits");
    } else if (name == "kernel") {
      add(extent_text(node.attributes.kernel.height, node.attributes.kernel.width));
    } else if (value.is_boolean()) {
      if (!value.get<bool>()) add("no " + name);
    } else if (!((name == "dilation" || name == "groups") && value == 1) && name != "out_channels" &&
               name != "units") {
      add(name + " " + value.dump());
    }
  }
  return text;
}

double plan_bytes(const Graph& graph, int lanes, const PlanOptions& options) {
  const Plan plan = make_plan(graph, lanes, options);
  return static_cast<double>(plan.arena_size) * sizeof(real);
}

}  // namespace

std::string describe_catalog() {
  return Fields()("presets", preset_rows())("layers", layer_catalog())("optimizers", rows(optimizer_types()))(
             "schedules", rows(schedule_types()))("losses", rows(loss_types()))(
             "augmentations", augmentation_rows())("passes", pass_rows())("schemes", scheme_rows())(
             "criteria", rows(criteria()))("pipelines", pipeline_rows())("fileFormats", file_format_rows())(
             "weightFormats", rows(weight_formats()))
      .dump();
}

std::string describe(const Dataset& dataset) {
  return Fields()("name", dataset.name)("channels", dataset.channels)("height", dataset.height)(
             "width", dataset.width)("classNames", dataset.class_names)(
             "counts", Fields()("train", dataset.train.count())("validation", dataset.validation.count())(
                           "test", dataset.test.count())
                           .take())
      .dump();
}

std::string describe(const Graph& graph, int lanes, int threads) {
  const json spec = to_spec(graph);
  json layers = json::array();
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    std::vector<std::string> inputs;
    for (const int input : node.inputs) {
      inputs.push_back(input == 0 ? "input" : graph.nodes[static_cast<std::size_t>(input - 1)].name);
    }
    const Shape& shape = node.out_shape;
    layers.push_back(
        Fields()("name", node.name)("type", node.op->name)("inputs", inputs)(
            "shape", std::vector{shape.channels, shape.height, shape.width})(
            "parameters", node.parameter_count())("macs", node.op->macs ? node.op->macs(node) : 0)(
            "detail", detail(node, spec["layers"][i]))
            .take());
  }
  json tensors = json::array();
  for (const ParameterInfo* info : graph.parameters()) {
    tensors.push_back(Fields()("name", info->name)("shape", info->shape).take());
  }
  return Fields()("name", graph.name)("spec", spec)("parameters", graph.parameter_count())(
             "macs", graph.macs())("trainingBytes",
                                   plan_bytes(graph, lanes, {.training = true, .threads = threads}))(
             "inferenceBytes", plan_bytes(graph, lanes, {.threads = threads}))("layers", layers)("tensors",
                                                                                                 tensors)
      .dump();
}

}  // namespace espalier
