#include "compress/distill.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/config_fields.h"
#include "core/error.h"
#include "core/json_fields.h"
#include "core/json_text.h"
#include "train/copy.h"
#include "train/layers.h"

namespace espalier {
namespace {

using nlohmann::json;

[[noreturn]] void fail_hint(const std::string& message) {
  throw Error(ErrorCode::kArgument, "hint", message);
}

json input_of(const Graph& graph) { return to_spec(graph)["input"]; }

const Node& layer_named(const Graph& graph, const std::string& name, const char* whose) {
  for (const Node& node : graph.nodes) {
    if (node.name == name) return node;
  }
  fail_hint("names the " + std::string(whose) + "'s layer \"" + name + "\", which \"" + graph.name +
            "\" does not have; its layers are " + names_of(graph.nodes));
}

// The layers that `last` needs, `last` itself included, each with its inputs written out.
json layers_up_to(const Graph& graph, const Node& last) {
  std::vector<bool> needed(graph.nodes.size(), false);
  needed[last.index] = true;
  for (std::size_t n = last.index + 1; n-- > 0;) {
    if (!needed[n]) continue;
    for (const int input : graph.nodes[n].inputs) {
      if (input > 0) needed[static_cast<std::size_t>(input - 1)] = true;
    }
  }
  json all = to_spec(graph)["layers"];
  json layers = json::array();
  for (std::size_t n = 0; n <= last.index; ++n) {
    if (!needed[n]) continue;
    json inputs = json::array();
    for (const int input : graph.nodes[n].inputs) {
      inputs.push_back(input == 0 ? "input" : graph.nodes[static_cast<std::size_t>(input - 1)].name);
    }
    all[n]["inputs"] = std::move(inputs);
    layers.push_back(std::move(all[n]));
  }
  return layers;
}

std::unique_ptr<Model> make_part(const Model& whole, json layers, int outputs, std::uint64_t seed) {
  layers.push_back(Fields()("type", "flatten")("name", "hint_outputs").take());
  const json spec = Fields()("name", whole.graph.name)("input", input_of(whole.graph))("classes", outputs)(
                        "layers", std::move(layers))
                        .take();
  std::unique_ptr<Model> part = Model::create(spec, seed, nullptr);
  copy_parameters(whole, *part);
  return part;
}

bool means_a_layer(const std::string& pattern, const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [&](const Node& node) { return names_layer(pattern, node.name); });
}

}  // namespace

std::unique_ptr<Model> make_student(const std::string& student, const Model& teacher, std::uint64_t seed) {
  if (student.empty()) {
    throw Error(ErrorCode::kArgument, "student",
                "is missing; name a preset (" + names_of(presets()) + ") or give a spec");
  }
  const Preset* preset = find_preset(student);
  if (!preset && student[0] != '{') {
    throw Error(ErrorCode::kArgument, "student",
                "is \"" + student + "\", but must be a spec or one of the presets " + names_of(presets()));
  }
  json spec = parse_json(preset ? preset->spec : std::string_view(student), ErrorCode::kSpec, "student");
  spec["input"] = input_of(teacher.graph);
  spec["classes"] = teacher.graph.classes;
  return Model::create(spec, seed, nullptr);
}

Hint make_hint(const std::string& text, const Model& student, const Model& teacher, std::uint64_t seed) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) {
    fail_hint("must be the student's layer=the teacher's layer, found \"" + text + "\"");
  }
  const Node& guided = layer_named(student.graph, text.substr(0, equals), "student");
  const Node& hint = layer_named(teacher.graph, text.substr(equals + 1), "teacher");
  const Shape from = guided.out_shape, to = hint.out_shape;
  if (from.height < to.height || from.width < to.width) {
    fail_hint("compares the student's \"" + guided.name + "\" of " + to_string(from) +
              " with the teacher's larger \"" + hint.name + "\" of " + to_string(to) +
              "; choose an earlier layer of the student or a later one of the teacher");
  }
  constexpr int kMostOutputs = 65536;
  if (to.size() > kMostOutputs) {
    fail_hint("names the teacher's \"" + hint.name + "\" of " + to_string(to) +
              ", which is more than 65536 numbers; choose a later layer");
  }
  const auto has_weights = [](const Graph& graph, const Node& last) {
    return std::any_of(graph.nodes.begin(), graph.nodes.begin() + last.index + 1,
                       [](const Node& node) { return node.parameter_count() > 0; });
  };
  if (!has_weights(student.graph, guided) || !has_weights(teacher.graph, hint)) {
    fail_hint("names a layer that no layer with weights leads to; choose later layers");
  }

  json layers = layers_up_to(student.graph, guided);
  json kernel = json::array();
  kernel.push_back(from.height - to.height + 1);
  kernel.push_back(from.width - to.width + 1);
  layers.push_back(Fields()("type", "conv")("name", "hint_regressor")("out_channels", to.channels)(
                       "kernel", std::move(kernel))
                       .take());
  Hint result;
  result.student = make_part(student, std::move(layers), to.size(), seed);
  result.teacher = make_part(teacher, layers_up_to(teacher.graph, hint), to.size(), seed);
  return result;
}

TrainingConfig config_for_part(const TrainingConfig& config, const Graph& graph) {
  TrainingConfig part = config;
  std::erase_if(part.freeze, [&](const std::string& pattern) { return !means_a_layer(pattern, graph); });
  std::erase_if(part.layer_rates, [&](const std::string& text) {
    return !means_a_layer(text.substr(0, text.find('=')), graph);
  });
  return part;
}

}  // namespace espalier
