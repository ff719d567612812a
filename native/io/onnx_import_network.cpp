#include "io/onnx_import_network.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_text.h"
#include "graph/assemble.h"

namespace espalier::onnx_import {
namespace {

using onnx::DataType;

// Nodes may share a constant, but each layer has its own: what a small file may become.
constexpr std::size_t kMostNumbers = std::size_t{1} << 26;
constexpr std::int64_t kLargestImage = std::int64_t{1} << 28;

// (pixel / 255 - mean) / deviation = pixel · scale + offset
void set_normalisation(InputInfo& input, const Normalisation& normalisation) {
  const auto plain = [&](std::size_t i) {
    return static_cast<float>(normalisation.scale[i]) == static_cast<float>(1.0 / 255) &&
           normalisation.offset[i] == 0;
  };
  bool all = true;
  for (std::size_t i = 0; i < normalisation.scale.size(); ++i) all &= plain(i);
  if (all) return;
  for (std::size_t i = 0; i < normalisation.scale.size(); ++i) {
    const double deviation = 1 / (255 * normalisation.scale[i]);
    input.standard_deviation.push_back(deviation);
    input.mean.push_back(-normalisation.offset[i] * deviation);
  }
  // Narrower than the engine's own range, because a writer rounds to float32.
  if (!input.is_normalisation_in_range(1e17)) {
    fail("normalises its image with a mean beyond 1e17 or a standard deviation beyond 1e17 or 1e-17");
  }
}

void read_metadata(ModelFile& result, const onnx::File& file) {
  const auto text = [&](const char* key) {
    const auto at = file.metadata.find(key);
    return at == file.metadata.end() ? std::string() : at->second;
  };
  // Other programs have these words too, for what they like.
  const auto parsed = [&](const char* key) -> nlohmann::json {
    try {
      return parse_json(text(key), ErrorCode::kModel, key);
    } catch (const Error&) {
      return nullptr;
    }
  };
  const nlohmann::json labels = parsed("labels");
  if (labels.is_array() && static_cast<int>(labels.size()) == result.model->graph.classes &&
      std::all_of(labels.begin(), labels.end(), [](const nlohmann::json& l) { return l.is_string(); })) {
    result.labels = labels.get<std::vector<std::string>>();
  }
  if (parsed("pipeline").is_object()) result.pipeline = text("pipeline");
}

}  // namespace

void fail(const std::string& message) { throw Error(ErrorCode::kModel, {}, message); }

Network::Network(const onnx::File& read) : file(read) {
  for (const onnx::Tensor& tensor : file.constants) constants[tensor.name] = onnx::constant_of(tensor);
  for (const onnx::Node& node : file.nodes) {
    for (const std::string& input : node.inputs) ++readers[input];
  }
  if (file.outputs.size() != 1) {
    fail("has " + std::to_string(file.outputs.size()) + " outputs; a classifier has one");
  }
  ++readers[file.outputs.front().name];
  add_image();
}

// [N][channels][height][width]; also rows of pixels, which are square images where they can be.
void Network::add_image() {
  const onnx::Value* image = nullptr;
  for (const onnx::Value& input : file.inputs) {
    if (constants.contains(input.name)) continue;
    if (image) fail("has two inputs, \"" + image->name + "\" and \"" + input.name + "\"; one image is read");
    image = &input;
  }
  if (!image) fail("has no input");
  if (image->type != DataType::kFloat) fail("has an input that is not float");
  std::vector<int> extents;
  for (std::size_t i = 1; i < image->dims.size(); ++i) {
    const std::int64_t dim = image->dims[i];
    if (dim < 1 || dim > 1 << 20) {
      fail("has an input \"" + image->name + "\" whose channels, height and width are not fixed sizes");
    }
    extents.push_back(static_cast<int>(dim));
  }
  Shape& shape = graph.input.shape;
  if (extents.size() == 3) {
    shape = {extents[0], extents[1], extents[2]};
  } else if (extents.size() == 2) {
    shape = {1, extents[0], extents[1]};
  } else if (extents.size() == 1) {
    const int side = static_cast<int>(std::lround(std::sqrt(extents[0])));
    shape = side * side == extents[0] ? Shape{1, side, side} : Shape{1, 1, extents[0]};
  } else {
    fail("has an input \"" + image->name + "\" that is not an image [N][channels][height][width]");
  }
  // As read_input in graph/graph.cpp.
  if (shape.channels > 1024 || shape.height > 4096 || shape.width > 4096 ||
      std::int64_t{shape.channels} * shape.pixels() > kLargestImage) {
    fail("has an input of " + to_string(shape) + ", which is larger than an image can be");
  }
  flat_image = extents.size() == 1;
  const auto channels = static_cast<std::size_t>(shape.channels);
  const auto range = file.metadata.find("Image.NominalPixelRange");
  const bool bytes = range != file.metadata.end() && range->second == "NominalRange_0_255";
  normalisation.scale.assign(channels, bytes ? 1 : 1.0 / 255);
  normalisation.offset.assign(channels, 0);
  normalisation.tensor = image->name;
  values[image->name] = {.id = 0, .flat = extents.size() == 1};
}

bool Network::only_reader(const std::string& name) const {
  const auto at = readers.find(name);
  return at != readers.end() && at->second == 1;
}

void Network::count(std::size_t numbers) {
  counted += numbers;
  if (counted > kMostNumbers) fail("has constants of more than 67 million numbers");
}

ModelFile Network::finish() const {
  const auto output = values.find(file.outputs.front().name);
  if (output == values.end()) {
    fail("has an output \"" + file.outputs.front().name + "\" that no node writes");
  }
  if (output->second.is_codes) fail("ends in codes; a DequantizeLinear belongs behind them");
  Graph model_graph;
  model_graph.name = file.name.empty() || file.name.size() > 256 ? "model" : file.name;
  model_graph.input = graph.input;
  set_normalisation(model_graph.input, normalisation);
  if (output->second.id == 0) fail("has no layers between its input and its output");
  const Shape& shape = graph.value_shape(output->second.id);
  model_graph.classes = shape.channels;
  if (shape.pixels() != 1 || model_graph.classes < 2 || model_graph.classes > 65536) {
    fail("gives " + to_string(shape) + ", which is not a list of classes");
  }
  // Only what leads to the output.
  std::vector<char> used(layers.size() + 1);
  used[static_cast<std::size_t>(output->second.id)] = 1;
  for (std::size_t i = layers.size(); i > 0; --i) {
    if (!used[i]) continue;
    for (const int input : layers[i - 1].node.inputs) used[static_cast<std::size_t>(input)] = 1;
  }
  std::vector<int> id(used.size());
  std::vector<const Layer*> kept;
  for (std::size_t i = 1; i < used.size(); ++i) {
    if (!used[i]) continue;
    Node node = layers[i - 1].node;
    for (int& input : node.inputs) input = id[static_cast<std::size_t>(input)];
    add_node(model_graph, std::move(node));
    kept.push_back(&layers[i - 1]);
    id[i] = static_cast<int>(kept.size());
  }
  espalier::finish(model_graph);
  ModelFile result;
  result.model = std::make_unique<Model>(std::move(model_graph));
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const Node& node = result.model->graph.nodes[i];
    for (std::size_t p = 0; p < node.parameters.size(); ++p) {
      const ParameterInfo& info = node.parameters[p];
      const std::vector<float>& numbers = kept[i]->parameters.at(p);
      if (static_cast<std::int64_t>(numbers.size()) != info.size) {
        fail("has " + std::to_string(numbers.size()) + " numbers for \"" + info.name + "\", which needs " +
             std::to_string(info.size));
      }
      std::copy(numbers.begin(), numbers.end(), result.model->parameters.value.begin() + info.offset);
    }
  }
  read_metadata(result, file);
  return result;
}

}  // namespace espalier::onnx_import
