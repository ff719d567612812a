// What the package calls (web/package/src/espalier/instance.ts lists the same functions). Coarse calls:
// JSON where it is cold, pointer and length where it is hot. A returned view is of the heap and good
// until the next call. Errors leave as {code, where, sentence}.
#include <emscripten/bind.h>
#include <emscripten/heap.h>
#include <emscripten/val.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <new>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/thread_pool.h"
#include "data/digits.h"
#include "data/load.h"
#include "graph/graph.h"
#include "io/checkpoint.h"
#include "core/json_text.h"
#include "ops/op.h"
#include "train/tables.h"
#include "train/trainer.h"
#include "core/json_fields.h"
#include "wasm/training_run.h"

namespace espalier::wasm {
namespace {

using emscripten::typed_memory_view;
using emscripten::val;
using nlohmann::json;
using Pointer = std::uintptr_t;

// ---- What is alive -------------------------------------------------------------------------------

struct LoadedModel {
  std::unique_ptr<Model> model;
  std::optional<TrainingState> training;  // of a checkpoint, until it is continued
  std::unique_ptr<Predictor> predictor;
  bool weights_moved = false;  // since the predictor looked at them
};

// These keep alive what they work on, whatever the page disposes of in the meantime.
struct Training {
  std::shared_ptr<LoadedModel> model;
  std::shared_ptr<Dataset> dataset;
  TrainingRun run;
};
struct Evaluation {
  std::shared_ptr<LoadedModel> model;
  std::shared_ptr<Dataset> dataset;
  Evaluator evaluator;
};

using Thing = std::variant<std::shared_ptr<Dataset>, std::shared_ptr<LoadedModel>, std::shared_ptr<Training>,
                           std::shared_ptr<Evaluation>>;

struct Engine {
  const Kernels& kernels;
  ThreadPool pool;
  std::map<int, Thing> things;
  int next_handle = 1;
  std::vector<std::uint8_t> bytes;  // what the last returned view shows
  std::vector<real> numbers;
};
std::unique_ptr<Engine> current;

Engine& engine() {
  if (!current) throw Error(ErrorCode::kArgument, "engine", "is not open");
  return *current;
}

template <class T>
int keep(std::shared_ptr<T> thing) {
  const int handle = engine().next_handle++;
  engine().things.emplace(handle, std::move(thing));
  return handle;
}

template <class T>
std::shared_ptr<T> find(int handle, const char* what) {
  const auto found = engine().things.find(handle);
  const auto* thing = found == engine().things.end() ? nullptr : std::get_if<std::shared_ptr<T>>(&found->second);
  if (!thing) throw Error(ErrorCode::kArgument, what, "was disposed of");
  return *thing;
}
auto find_dataset(int handle) { return find<Dataset>(handle, "dataset"); }
auto find_model(int handle) { return find<LoadedModel>(handle, "model"); }

template <class T>
T* address(Pointer pointer) {
  return reinterpret_cast<T*>(pointer);
}

val bytes_view(std::vector<std::uint8_t> bytes) {
  engine().bytes = std::move(bytes);
  return val(typed_memory_view(engine().bytes.size(), engine().bytes.data()));
}

val numbers_view(std::vector<real> numbers) {
  engine().numbers = std::move(numbers);
  return val(typed_memory_view(engine().numbers.size(), engine().numbers.data()));
}

template <class Shape>
val tensor_view(const Shape& shape, std::vector<real> numbers) {
  val tensor = val::object();
  tensor.set("shape", json(shape).dump());
  tensor.set("data", numbers_view(std::move(numbers)));
  return tensor;
}

// ---- The engine ----------------------------------------------------------------------------------

// Refuses kernels that do not give the known answers.
std::string open_engine(int threads) {
  const Kernels& kernels = select_kernels("auto");
  current.reset(new Engine{.kernels = kernels, .pool = ThreadPool(threads)});
  return Fields()("version", ESPALIER_VERSION)
      ("kernels", kernels.name)
      ("threads", current->pool.threads())
      ("lanes", kernels.lanes).dump();
}

void close_engine() { current.reset(); }

double heap_bytes() { return static_cast<double>(emscripten_get_heap_size()); }

template <class Row>
json rows(std::span<const Row> table) {
  json list = json::array();
  for (const Row& row : table) list.push_back(Fields()("name", row.name)("summary", row.summary).take());
  return list;
}

json preset_rows() {
  json list = json::array();
  for (const Preset& preset : presets()) {
    json spec = parse_json(preset.spec, ErrorCode::kSpec, "preset");
    json summary = spec["description"];
    list.push_back(Fields()("name", preset.name)("summary", std::move(summary))("spec", std::move(spec)).take());
  }
  return list;
}

json augmentation_rows() {
  json list = json::array();
  for (const AugmentationType& type : augmentation_types()) {
    list.push_back(Fields()("name", type.name)
                   ("summary", type.summary)
                   ("unit", type.unit)
                   ("defaultAmount", type.default_amount)
                   ("maxAmount", type.max_amount)
                   .take());
  }
  return list;
}

std::string catalog() {
  return Fields()("presets", preset_rows())
      ("layers", layer_catalog())
      ("optimizers", rows(optimizer_types()))
      ("schedules", rows(schedule_types()))
      ("losses", rows(loss_types()))
      ("augmentations", augmentation_rows()).dump();
}

std::string schema() { return spec_schema().dump(); }

// Room in the heap for the package to fill.
val reserve(int bytes) {
  void* memory = std::malloc(static_cast<std::size_t>(std::max(bytes, 1)));
  if (!memory) throw std::bad_alloc();
  return val(typed_memory_view(static_cast<std::size_t>(bytes), static_cast<std::uint8_t*>(memory)));
}

void release(Pointer pointer) { std::free(address<void>(pointer)); }

void dispose(int handle) { engine().things.erase(handle); }

// ---- Datasets ------------------------------------------------------------------------------------

Dataset dataset_of(const json& description, const std::vector<NamedBytes>& parts) {
  const std::string kind = description.at("kind");
  if (kind == "synthetic") {
    return synthetic_digits(description.at("train"), description.at("test"), description.at("seed"));
  }
  if (kind == "idx") {
    const NamedBytes none{};
    Dataset dataset = parts.size() == 2 ? load_idx(parts[0], parts[1], none, none)
                                        : load_idx(parts.at(0), parts.at(1), parts.at(2), parts.at(3));
    if (description.value("transposed", false)) transpose_images(dataset);
    return dataset;
  }
  if (kind == "cifar10") return load_cifar10(std::span(parts).first(parts.size() - 1), parts.back());
  const NamedBytes& labels = parts.at(1);
  return load_images(description.at("name"), description.at("classNames"), description.at("channels"),
                     description.at("height"), description.at("width"), parts.at(0).bytes,
                     {reinterpret_cast<const std::uint16_t*>(labels.bytes.data()), labels.bytes.size() / 2});
}

// Files.ts says what is in the description. The parts' bytes are copied.
int create_dataset(const std::string& text) {
  const json description = parse_json(text, ErrorCode::kArgument, "dataset");
  std::vector<NamedBytes> parts;
  for (const json& part : description.value("parts", json::array())) {
    parts.push_back({part.at("name"),
                     {address<const std::uint8_t>(part.at("pointer")), part.at("bytes").get<std::size_t>()}});
  }
  auto dataset = std::make_shared<Dataset>(dataset_of(description, parts));
  if (dataset->validation.count() == 0) split_validation(*dataset);
  if (description.contains("name")) dataset->name = description.at("name");
  return keep(std::move(dataset));
}

std::string dataset_info(int handle) {
  const auto dataset = find_dataset(handle);
  return Fields()("name", dataset->name)
      ("channels", dataset->channels)
      ("height", dataset->height)
      ("width", dataset->width)
      ("classNames", dataset->class_names)
      ("counts", Fields()("train", dataset->train.count())
                 ("validation", dataset->validation.count())
                 ("test", dataset->test.count())
                 .take()).dump();
}

const Split& split_of(const Dataset& dataset, const std::string& name) {
  if (name == "train") return dataset.train;
  if (name == "validation") return dataset.validation;
  if (name == "test") return dataset.test;
  throw Error(ErrorCode::kArgument, "split", "must be train, validation or test, found \"" + name + "\"");
}

val read_images(int handle, const std::string& split_name, Pointer indices, int count) {
  const auto dataset = find_dataset(handle);
  const Split& split = split_of(*dataset, split_name);
  const auto size = static_cast<std::size_t>(dataset->image_size());
  std::vector<std::uint8_t> pixels;
  static std::vector<std::uint16_t> labels;
  labels.clear();
  pixels.reserve(size * static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const std::uint32_t index = address<const std::uint32_t>(indices)[i];
    if (index >= split.labels.size()) {
      throw Error(ErrorCode::kArgument, "indices",
                  std::to_string(index) + " is not below " + std::to_string(split.labels.size()) +
                      ", the number of images of the " + split_name + " split");
    }
    const std::uint8_t* image = split.images.data() + index * size;
    pixels.insert(pixels.end(), image, image + size);
    labels.push_back(split.labels[index]);
  }
  val batch = val::object();
  batch.set("pixels", bytes_view(std::move(pixels)));
  batch.set("labels", typed_memory_view(labels.size(), labels.data()));
  return batch;
}

// ---- Models --------------------------------------------------------------------------------------

int keep_model(std::unique_ptr<Model> model, std::optional<TrainingState> training = {}) {
  return keep(std::make_shared<LoadedModel>(LoadedModel{std::move(model), std::move(training), nullptr}));
}

// `spec_text` is a spec or a preset's name, as JSON; dataset 0 is none.
int create_model(const std::string& spec_text, double seed, int dataset_handle) {
  const auto dataset = dataset_handle ? find_dataset(dataset_handle) : nullptr;
  json spec = parse_json(spec_text, ErrorCode::kSpec, "spec");
  if (spec.is_string()) {
    const std::string name = spec;
    const Preset* preset = find_preset(name);
    spec = preset && !dataset ? parse_json(preset->spec, ErrorCode::kSpec, name)
           : dataset ? preset_spec(name, dataset->channels, dataset->height, dataset->width, dataset->classes())
                     : preset_spec(name, 1, 28, 28, 10);
  }
  return keep_model(Model::create(spec, static_cast<std::uint64_t>(seed), dataset.get()));
}

int load_model(Pointer pointer, int bytes) {
  const NamedBytes file{"model file", {address<const std::uint8_t>(pointer), static_cast<std::size_t>(bytes)}};
  Checkpoint checkpoint = load_checkpoint(file);
  return keep_model(std::move(checkpoint.model), std::move(checkpoint.training));
}

std::string model_spec(int handle) { return to_spec(find_model(handle)->model->graph).dump(); }

std::string extent_text(int height, int width) { return std::to_string(height) + "x" + std::to_string(width); }

// "5x5, stride 1, padding 2" from the fields that the layer has.
std::string detail(const Node& node, const json& layer) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const Field& field : node.op->fields) {
    const std::string name(field.name);
    const json& value = layer.at(name);
    if (name == "kernel") {
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

double plan_bytes(const Graph& graph, const PlanOptions& options) {
  const Plan plan = make_plan(graph, engine().kernels.lanes, options);
  return static_cast<double>(plan.arena_size) * sizeof(real);
}

std::string inspect(int handle) {
  const Graph& graph = find_model(handle)->model->graph;
  const int threads = engine().pool.threads();
  const json spec = to_spec(graph);
  json layers = json::array();
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    std::vector<std::string> inputs;
    for (const int input : node.inputs) {
      inputs.push_back(input == 0 ? "input" : graph.nodes[static_cast<std::size_t>(input - 1)].name);
    }
    const Shape& shape = node.out_shape;
    layers.push_back(Fields()("name", node.name)
                     ("type", node.op->name)
                     ("inputs", inputs)
                     ("shape", std::vector{shape.channels, shape.height, shape.width})
                     ("parameters", node.parameter_count())
                     ("macs", node.op->macs ? node.op->macs(node) : 0)
                     ("detail", detail(node, spec["layers"][i]))
                     .take());
  }
  json tensors = json::array();
  for (const ParameterInfo* info : graph.parameters()) {
    tensors.push_back(Fields()("name", info->name)("shape", info->shape).take());
  }
  return Fields()("name", graph.name)
      ("spec", spec)
      ("parameters", graph.parameter_count())
      ("macs", graph.macs())
      ("trainingBytes", plan_bytes(graph, {.training = true, .threads = threads}))
      ("inferenceBytes", plan_bytes(graph, {.threads = threads}))
      ("layers", layers)
      ("tensors", tensors).dump();
}

Predictor& predictor_of(LoadedModel& model) {
  if (!model.predictor) {
    model.predictor = std::make_unique<Predictor>(*model.model, engine().kernels, engine().pool);
  } else if (model.weights_moved) {
    model.predictor->prepare();
  }
  model.weights_moved = false;
  return *model.predictor;
}

// Checks that `bytes` are `count` images; -1: any number of whole ones.
int image_count(const Model& model, int bytes, int count) {
  const int size = model.graph.input.shape.size();
  if (count < 0 ? bytes % size == 0 : bytes == count * size) return bytes / size;
  throw Error(ErrorCode::kArgument, "pixels",
              "has " + std::to_string(bytes) + " bytes" + (count < 0 ? "" : " for " + std::to_string(count)) +
                  "; the model takes images of " + to_string(model.graph.input.shape) + ", " +
                  std::to_string(size) + " bytes each");
}

val predict(int handle, Pointer pixels, int bytes, int wanted) {
  const auto model = find_model(handle);
  const int count = image_count(*model->model, bytes, wanted);
  std::vector<real> probabilities(static_cast<std::size_t>(count * model->model->graph.classes));
  predictor_of(*model).predict(address<const std::uint8_t>(pixels), count, probabilities.data());
  return numbers_view(std::move(probabilities));
}

val activations(int handle, Pointer pixels, int bytes, const std::string& layer) {
  const auto model = find_model(handle);
  image_count(*model->model, bytes, 1);
  Shape shape;
  std::vector<real> values = predictor_of(*model).activation(address<const std::uint8_t>(pixels), layer, shape);
  return tensor_view(std::vector{shape.channels, shape.height, shape.width}, std::move(values));
}

val tensor(int handle, const std::string& name) {
  const auto model = find_model(handle);
  for (const ParameterInfo* info : model->model->graph.parameters()) {
    if (info->name != name) continue;
    const real* first = model->model->parameters.value.data() + info->offset;
    return tensor_view(info->shape, {first, first + info->size});
  }
  throw Error(ErrorCode::kArgument, name, "is not a tensor of the model");
}

val weights(int handle) { return bytes_view(weight_bytes(*find_model(handle)->model)); }

val save(int handle) { return bytes_view(save_model(*find_model(handle)->model)); }

// ---- Work in slices ------------------------------------------------------------------------------

int keep_training(std::shared_ptr<LoadedModel> model, std::shared_ptr<Dataset> dataset,
                  const TrainingConfig& config) {
  Model& weights = *model->model;
  const Dataset& data = *dataset;
  return keep(std::shared_ptr<Training>(new Training{
      std::move(model), std::move(dataset), TrainingRun(weights, data, config, engine().kernels, engine().pool)}));
}

int start_training(int model_handle, int dataset_handle, const std::string& config) {
  return keep_training(find_model(model_handle), find_dataset(dataset_handle),
                       training_config(parse_json(config, ErrorCode::kArgument, "config")));
}

int resume_training(int model_handle, int dataset_handle) {
  const auto model = find_model(model_handle);
  if (!model->training) {
    throw Error(ErrorCode::kArgument, "model", "has no training to continue; load a file of checkpoint()");
  }
  const int handle = keep_training(model, find_dataset(dataset_handle), model->training->config);
  resume(find<Training>(handle, "training")->run.trainer(), *model->training, "model file");
  model->training.reset();
  return handle;
}

std::string run_training(int handle, double milliseconds, double steps) {
  const auto training = find<Training>(handle, "training");
  training->model->weights_moved = true;
  return training->run.run(milliseconds, static_cast<std::int64_t>(steps));
}

std::string finish_training(int handle, bool aborted) {
  return find<Training>(handle, "training")->run.finish(aborted);
}

val checkpoint(int handle) {
  const auto training = find<Training>(handle, "training");
  return bytes_view(save_model(*training->model->model, &training->run.trainer()));
}

int start_evaluation(int model_handle, int dataset_handle, const std::string& split) {
  const auto model = find_model(model_handle);
  const auto dataset = find_dataset(dataset_handle);
  return keep(std::shared_ptr<Evaluation>(new Evaluation{
      model, dataset,
      Evaluator(*model->model, *dataset, split_of(*dataset, split), engine().kernels, engine().pool)}));
}

// The share that is done.
double run_evaluation(int handle, double milliseconds) {
  const auto evaluation = find<Evaluation>(handle, "evaluation");
  Evaluator& evaluator = evaluation->evaluator;
  const auto begin = std::chrono::steady_clock::now();
  const std::chrono::duration<double, std::milli> slice(milliseconds);
  while (evaluator.advance()) {
    if (std::chrono::steady_clock::now() - begin >= slice) return double(evaluator.done()) / evaluator.total();
  }
  return 1;
}

val evaluation_result(int handle) {
  const EvaluationResult& result = find<Evaluation>(handle, "evaluation")->evaluator.result();
  const auto view = [](const auto& numbers) { return typed_memory_view(numbers.size(), numbers.data()); };
  val evaluation = val::object();
  evaluation.set("summary",
                 Fields()("count", result.count)("accuracy", result.accuracy)("loss", result.loss).dump());
  evaluation.set("confusion", view(result.confusion));
  evaluation.set("predictions", view(result.predictions));
  evaluation.set("confidences", view(result.confidences));
  return evaluation;
}

// ---- Exports -------------------------------------------------------------------------------------

[[noreturn]] void throw_to_caller(ErrorCode code, const std::string& where, const std::string& sentence) {
  val error = val::object();
  error.set("code", std::string(to_string(code)));
  error.set("where", where);
  error.set("sentence", sentence);
  error.throw_();
  std::abort();
}

template <auto function>
struct Guarded;
template <class Result, class... Arguments, Result (*function)(Arguments...)>
struct Guarded<function> {
  static Result call(Arguments... arguments) {
    try {
      return function(static_cast<Arguments&&>(arguments)...);
    } catch (const Error& error) {
      throw_to_caller(error.code(), error.where(), error.message());
    } catch (const std::bad_alloc&) {
      throw_to_caller(ErrorCode::kUnsupported, "memory", "there is not enough of it; use less data or a smaller batch");
    } catch (const std::exception& error) {
      throw_to_caller(ErrorCode::kArgument, "", error.what());
    }
  }
};

#define ESPALIER_EXPORT(name) emscripten::function(#name, &Guarded<&name>::call)

}  // namespace

EMSCRIPTEN_BINDINGS(espalier) {
  ESPALIER_EXPORT(open_engine);
  ESPALIER_EXPORT(close_engine);
  ESPALIER_EXPORT(heap_bytes);
  ESPALIER_EXPORT(catalog);
  ESPALIER_EXPORT(schema);
  ESPALIER_EXPORT(reserve);
  ESPALIER_EXPORT(release);
  ESPALIER_EXPORT(dispose);
  ESPALIER_EXPORT(create_dataset);
  ESPALIER_EXPORT(dataset_info);
  ESPALIER_EXPORT(read_images);
  ESPALIER_EXPORT(create_model);
  ESPALIER_EXPORT(load_model);
  ESPALIER_EXPORT(model_spec);
  ESPALIER_EXPORT(inspect);
  ESPALIER_EXPORT(predict);
  ESPALIER_EXPORT(activations);
  ESPALIER_EXPORT(tensor);
  ESPALIER_EXPORT(weights);
  ESPALIER_EXPORT(save);
  ESPALIER_EXPORT(start_training);
  ESPALIER_EXPORT(resume_training);
  ESPALIER_EXPORT(run_training);
  ESPALIER_EXPORT(finish_training);
  ESPALIER_EXPORT(checkpoint);
  ESPALIER_EXPORT(start_evaluation);
  ESPALIER_EXPORT(run_evaluation);
  ESPALIER_EXPORT(evaluation_result);
}

}  // namespace espalier::wasm
