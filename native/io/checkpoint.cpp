#include "io/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_text.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr const char* kSpecKey = "espalier.spec";
constexpr const char* kTrainingKey = "espalier.training";
constexpr const char* kLabelsKey = "espalier.labels";
constexpr const char* kPipelineKey = "espalier.pipeline";
constexpr std::string_view kOptimizerPrefix = "optimizer.";
constexpr std::string_view kMaskPrefix = "mask.";

[[noreturn]] void fail(const std::string& file, const std::string& message) {
  throw Error(ErrorCode::kModel, file, message);
}

std::string moment_name(int moment, const ParameterInfo& info) {
  return std::string(kOptimizerPrefix) + "moment" + std::to_string(moment + 1) + "." + info.name;
}

std::vector<std::int64_t> shape_of(const ParameterInfo& info) {
  return {info.shape.begin(), info.shape.end()};
}

Tensor take(const std::string& name, const ParameterInfo& info, const aligned_vector<real>& slab) {
  const auto first = slab.begin() + info.offset;
  return {name, shape_of(info), std::vector<float>(first, first + info.size)};
}

// The tensor `name`, proved to fit `info`.
const Tensor& fitting(const TensorFile& tensors, const std::string& name, const ParameterInfo& info,
                      const std::string& file) {
  const Tensor* tensor = tensors.find(name);
  const std::string wanted = shape_text(shape_of(info));
  if (!tensor)
    fail(file, "has no tensor \"" + name + "\" of shape " + wanted + "; it belongs to another model");
  if (tensor->shape != shape_of(info)) {
    fail(file, "has the tensor \"" + name + "\" with shape " + shape_text(tensor->shape) +
                   ", but the model needs " + wanted + "; it belongs to another model");
  }
  for (const float value : tensor->values) {
    if (!std::isfinite(value)) fail(file, "has a value in \"" + name + "\" that is not a finite number");
  }
  return *tensor;
}

void put(const Tensor& tensor, const ParameterInfo& info, aligned_vector<real>& slab) {
  std::copy(tensor.values.begin(), tensor.values.end(), slab.begin() + info.offset);
}

// Before anything is allocated for the graph: its tensors are all in the file, and no others.
void check_tensors(const TensorFile& tensors, const Graph& graph, const std::string& file) {
  const auto parameters = graph.parameters();
  for (const ParameterInfo* info : parameters) fitting(tensors, info->name, *info, file);
  for (const Tensor& tensor : tensors.tensors) {
    if (tensor.name.starts_with(kOptimizerPrefix) || tensor.name.starts_with(kMaskPrefix)) continue;
    const auto same = [&](const ParameterInfo* info) { return info->name == tensor.name; };
    if (std::none_of(parameters.begin(), parameters.end(), same)) {
      fail(file, "has a tensor \"" + tensor.name + "\" of shape " + shape_text(tensor.shape) +
                     " that the model does not have; it belongs to another model");
    }
  }
}

void put_weights(const TensorFile& tensors, Model& model) {
  for (const ParameterInfo* info : model.graph.parameters()) {
    put(*tensors.find(info->name), *info, model.parameters.value);
  }
}

std::string mask_name(const ParameterInfo& info) { return std::string(kMaskPrefix) + info.name; }

// Masks of the tensors that have one; pruned weights are 0.
void put_masks(const TensorFile& tensors, Model& model, const std::string& file) {
  auto& mask = model.parameters.mask;
  for (const ParameterInfo* info : model.graph.parameters()) {
    if (!info->trainable || !tensors.find(mask_name(*info))) continue;
    const Tensor& tensor = fitting(tensors, mask_name(*info), *info, file);
    for (const float kept : tensor.values) {
      if (kept != 0 && kept != 1)
        fail(file, "has a value in \"" + tensor.name + "\" that is neither 0 nor 1");
    }
    if (mask.empty()) mask.assign(static_cast<std::size_t>(model.graph.trainable_size), real{1});
    put(tensor, *info, mask);
  }
  for (std::size_t i = 0; i < mask.size(); ++i) model.parameters.value[i] *= mask[i];
}

Graph read_graph(const TensorFile& tensors, const std::string& file) {
  const auto spec = tensors.metadata.find(kSpecKey);
  if (spec == tensors.metadata.end()) {
    fail(file, std::string("has no \"") + kSpecKey + "\" in its metadata, so it is not an Espalier model");
  }
  const json parsed = parse_json(spec->second, ErrorCode::kModel, file + " (spec)");
  try {
    return compile(parsed);
  } catch (const Error& error) {
    fail(file, std::string("has a spec that is not valid: ") + error.what());
  }
}

json to_json(const Trainer& trainer) {
  return {{"config", to_json(trainer.config())},
          {"step", trainer.step_count()},
          {"training_images", trainer.training_images()},
          {"total_steps", trainer.total_steps()}};
}

std::vector<std::string> read_labels(const TensorFile& tensors, int classes, const std::string& file) {
  const auto text = tensors.metadata.find(kLabelsKey);
  if (text == tensors.metadata.end()) return {};
  const json list = parse_json(text->second, ErrorCode::kModel, file + " (labels)");
  std::vector<std::string> labels;
  for (const json& label : list) {
    if (list.is_array() && label.is_string()) labels.push_back(label.get<std::string>());
  }
  if (labels.size() != list.size() || labels.size() != static_cast<std::size_t>(classes)) {
    fail(file + " (labels)", "must be a list of " + std::to_string(classes) + " texts");
  }
  return labels;
}

TrainingState read_training(const std::string& text, const TensorFile& tensors, const Graph& graph,
                            const std::string& file) {
  const std::string where = file + " (training)";
  const json object = parse_json(text, ErrorCode::kModel, where);
  const auto count = [&](const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number_integer() || found->get<double>() < 0 ||
        found->get<double>() > 1e12) {
      fail(where, std::string("has no whole number \"") + key + "\"");
    }
    return found->get<std::int64_t>();
  };
  if (!object.is_object() || !object.contains("config")) fail(where, "has no \"config\"");
  TrainingState state;
  try {
    state.config = training_config(object["config"]);
  } catch (const Error& error) {
    fail(where, std::string("is not valid: ") + error.what());
  }
  state.step = count("step");
  state.training_images = count("training_images");
  state.total_steps = count("total_steps");
  const int batch = state.config.batch_size;
  const std::int64_t steps = (state.training_images + batch - 1) / batch * state.config.epochs;
  if (steps == 0 || state.total_steps != steps || state.step > steps) {
    fail(where, "contradicts itself: step " + std::to_string(state.step) + " of " +
                    std::to_string(state.total_steps) + " in " + std::to_string(state.config.epochs) +
                    " epochs of " + std::to_string(state.training_images) + " images");
  }
  if (state.finished()) return state;
  const int moments = find_optimizer(state.config.optimizer).moments;
  for (int i = 0; i < moments; ++i) {
    auto& slab = state.moments.emplace_back(static_cast<std::size_t>(graph.trainable_size));
    for (const ParameterInfo* info : graph.parameters()) {
      if (!info->trainable) continue;
      put(fitting(tensors, moment_name(i, *info), *info, file), *info, slab);
    }
  }
  return state;
}

}  // namespace

std::vector<std::uint8_t> save_model(const Model& model, const Trainer* trainer,
                                     std::span<const std::string> labels, std::string_view pipeline) {
  TensorFile file;
  file.metadata = {{"format", "pt"}, {kSpecKey, to_spec(model.graph).dump()}};
  if (!labels.empty()) {
    json list = json::array();
    for (const std::string& label : labels) list.push_back(label);
    file.metadata[kLabelsKey] = list.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  if (!pipeline.empty()) file.metadata[kPipelineKey] = pipeline;
  const auto parameters = model.graph.parameters();
  for (const ParameterInfo* info : parameters) {
    file.tensors.push_back(take(info->name, *info, model.parameters.value));
  }
  const auto& mask = model.parameters.mask;
  for (const ParameterInfo* info : parameters) {
    if (mask.empty() || !info->trainable) continue;
    Tensor tensor = take(mask_name(*info), *info, mask);
    const auto pruned = [](float kept) { return kept == 0; };
    if (std::any_of(tensor.values.begin(), tensor.values.end(), pruned))
      file.tensors.push_back(std::move(tensor));
  }
  if (trainer) {
    file.metadata[kTrainingKey] = to_json(*trainer).dump();
    for (int i = 0; !trainer->done() && i < trainer->moment_count(); ++i) {
      for (const ParameterInfo* info : parameters) {
        if (info->trainable) file.tensors.push_back(take(moment_name(i, *info), *info, trainer->moments(i)));
      }
    }
  }
  return write_safetensors(file);
}

Checkpoint load_checkpoint(const NamedBytes& file) {
  const TensorFile tensors = read_safetensors(file);
  Graph graph = read_graph(tensors, file.name);
  check_tensors(tensors, graph, file.name);
  Checkpoint checkpoint;
  if (const auto training = tensors.metadata.find(kTrainingKey); training != tensors.metadata.end()) {
    checkpoint.training = read_training(training->second, tensors, graph, file.name);
  }
  checkpoint.labels = read_labels(tensors, graph.classes, file.name);
  if (const auto pipeline = tensors.metadata.find(kPipelineKey); pipeline != tensors.metadata.end()) {
    checkpoint.pipeline = pipeline->second;
  }
  checkpoint.model = std::make_unique<Model>(std::move(graph));
  put_weights(tensors, *checkpoint.model);
  put_masks(tensors, *checkpoint.model, file.name);
  return checkpoint;
}

std::unique_ptr<Model> load_model(const NamedBytes& file) { return load_checkpoint(file).model; }

void load_weights(const NamedBytes& file, Model& model) {
  const TensorFile tensors = read_safetensors(file);
  check_tensors(tensors, model.graph, file.name);
  put_weights(tensors, model);
  model.parameters.mask.clear();
  put_masks(tensors, model, file.name);
}

void resume(Trainer& trainer, const TrainingState& state, const std::string& name) {
  if (trainer.training_images() != state.training_images || trainer.total_steps() != state.total_steps) {
    throw Error(ErrorCode::kData, name,
                "was begun on " + std::to_string(state.training_images) + " training images, but here are " +
                    std::to_string(trainer.training_images()) + "; resume on the same data");
  }
  if (!state.finished()) {
    for (int i = 0; i < trainer.moment_count(); ++i) {
      trainer.moments(i) = state.moments.at(static_cast<std::size_t>(i));
    }
  }
  trainer.restore(state.step);
}

std::vector<std::uint8_t> weight_bytes(const Model& model) {
  std::vector<std::uint8_t> bytes;
  for (const ParameterInfo* info : model.graph.parameters()) {
    const Tensor tensor = take(info->name, *info, model.parameters.value);
    const auto* first = reinterpret_cast<const std::uint8_t*>(tensor.values.data());
    bytes.insert(bytes.end(), first, first + tensor.values.size() * sizeof(float));
  }
  return bytes;
}

}  // namespace espalier
