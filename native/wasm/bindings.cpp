// What the package calls (web/package/src/espalier/instance.ts lists the same functions). Coarse calls:
// JSON where it is cold, pointer and length where it is hot. A returned view is of the heap and good
// until the next call. Errors leave as {code, where, sentence}.
#include <emscripten/bind.h>
#include <emscripten/heap.h>
#include <emscripten/val.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/measure_file.h"
#include "compress/finetune.h"
#include "core/error.h"
#include "core/json_fields.h"
#include "core/json_text.h"
#include "data/digits.h"
#include "data/load.h"
#include "data/subset.h"
#include "graph/graph.h"
#include "io/checkpoint.h"
#include "io/model_file.h"
#include "train/trainer.h"
#include "wasm/describe.h"
#include "wasm/engine.h"
#include "wasm/guard.h"

namespace espalier::wasm {
namespace {

using emscripten::typed_memory_view;
using emscripten::val;
using nlohmann::json;
using Pointer = std::uintptr_t;

template <class T>
T* address(Pointer pointer) {
  return reinterpret_cast<T*>(pointer);
}

constexpr double kMaxSeed = 9007199254740991;  // the largest whole number that JavaScript counts to

std::uint64_t whole(double value, const char* where, double maximum) {
  if (value >= 0 && value <= maximum && value == std::floor(value)) return static_cast<std::uint64_t>(value);
  throw Error(ErrorCode::kArgument, where,
              "must be a whole number from 0 to " + std::to_string(static_cast<std::uint64_t>(maximum)));
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
  return Fields()("version", ESPALIER_VERSION)("kernels", kernels.name)("threads", current->pool.threads())(
             "lanes", kernels.lanes)
      .dump();
}

void close_engine() { current.reset(); }

double heap_bytes() { return static_cast<double>(emscripten_get_heap_size()); }

std::string catalog() { return describe_catalog(); }

std::string schema() { return spec_schema().dump(); }

// Room in the heap for the package to fill.
val reserve(std::size_t bytes) {
  void* memory = std::malloc(std::max(bytes, std::size_t{1}));
  if (!memory) throw std::bad_alloc();
  return val(typed_memory_view(bytes, static_cast<std::uint8_t*>(memory)));
}

void release(Pointer pointer) { std::free(address<void>(pointer)); }

void dispose(int handle) { engine().things.erase(handle); }

// ---- Datasets ------------------------------------------------------------------------------------

Dataset dataset_of(const json& description, const std::vector<NamedBytes>& parts) {
  const std::string kind = description.at("kind");
  if (kind == "synthetic") {
    constexpr double kMaxDigits = 1e6;
    const auto count = [&](const char* name) {
      return static_cast<int>(whole(description.at(name), name, kMaxDigits));
    };
    return synthetic_digits(count("train"), count("test"), whole(description.at("seed"), "seed", kMaxSeed),
                            engine().pool);
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

std::string dataset_info(int handle) { return describe(*find_dataset(handle)); }

// `classes` as in "0-4,7"; empty: all. `per_class` 0: all training images.
int subset_dataset(int handle, const std::string& classes, double per_class, double seed) {
  auto dataset = std::make_shared<Dataset>(*find_dataset(handle));
  const std::uint64_t count = whole(per_class, "perClass", std::numeric_limits<int>::max());
  const std::uint64_t chosen = whole(seed, "seed", kMaxSeed);
  if (!classes.empty()) select_classes(*dataset, parse_classes(classes));
  if (count > 0) limit_per_class(*dataset, static_cast<int>(count), chosen);
  return keep(std::move(dataset));
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

int keep_model(std::unique_ptr<Model> model, std::optional<TrainingState> training = {},
               std::vector<std::string> labels = {}, std::string pipeline = {}) {
  return keep(std::make_shared<LoadedModel>(LoadedModel{.model = std::move(model),
                                                        .training = std::move(training),
                                                        .predictor = nullptr,
                                                        .labels = std::move(labels),
                                                        .pipeline = std::move(pipeline)}));
}

// `spec_text` is a spec or a preset's name, as JSON; dataset 0 is none.
int create_model(const std::string& spec_text, double seed, int dataset_handle) {
  const auto dataset = dataset_handle ? find_dataset(dataset_handle) : nullptr;
  json spec = parse_json(spec_text, ErrorCode::kSpec, "spec");
  if (spec.is_string()) {
    const std::string name = spec;
    const Preset* preset = find_preset(name);
    spec = preset && !dataset ? parse_json(preset->spec, ErrorCode::kSpec, name)
           : dataset
               ? preset_spec(name, dataset->channels, dataset->height, dataset->width, dataset->classes())
               : preset_spec(name, 1, 28, 28, 10);
  }
  return keep_model(Model::create(spec, whole(seed, "seed", kMaxSeed), dataset.get()));
}

int load_model(Pointer pointer, int bytes) {
  ModelFile file = load_model_file(
      {"model file", {address<const std::uint8_t>(pointer), static_cast<std::size_t>(bytes)}});
  return keep_model(std::move(file.model), std::move(file.training), std::move(file.labels),
                    std::move(file.pipeline));
}

// {"spec", "labels", "pipeline": JSON text}
std::string model_info(int handle) {
  const auto model = find_model(handle);
  return Fields()("spec", to_spec(model->model->graph))("labels", model->labels)("pipeline", model->pipeline)
      .dump();
}

std::string inspect(int handle) {
  return describe(find_model(handle)->model->graph, engine().kernels.lanes, engine().pool.threads());
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
int image_count(const Graph& graph, int bytes, int count) {
  const int size = graph.input.shape.size();
  if (count < 0 ? bytes % size == 0 : bytes == count * size) return bytes / size;
  throw Error(ErrorCode::kArgument, "pixels",
              "has " + std::to_string(bytes) + " bytes" + (count < 0 ? "" : " for " + std::to_string(count)) +
                  "; the model takes images of " + to_string(graph.input.shape) + ", " +
                  std::to_string(size) + " bytes each");
}

// Of a model or a packed one.
val predict(int handle, Pointer pixels, int bytes, int wanted) {
  const auto packed = find_any<PackedModel>(handle);
  const auto model = packed ? nullptr : find_model(handle);
  const Graph& graph = packed ? packed->graph() : model->model->graph;
  const int count = image_count(graph, bytes, wanted);
  const auto* images = address<const std::uint8_t>(pixels);
  std::vector<real>& probabilities = engine().numbers;
  probabilities.resize(static_cast<std::size_t>(count * graph.classes));
  if (packed) {
    packed->predict(images, count, probabilities.data());
  } else {
    predictor_of(*model).predict(images, count, probabilities.data());
  }
  return val(typed_memory_view(probabilities.size(), probabilities.data()));
}

val activations(int handle, Pointer pixels, int bytes, const std::string& layer) {
  const auto model = find_model(handle);
  image_count(model->model->graph, bytes, 1);
  Shape shape;
  std::vector<real> values =
      predictor_of(*model).activation(address<const std::uint8_t>(pixels), layer, shape);
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

// `notes`: {"labels", "pipeline": JSON text} in place of the model's own. {"bytes", "parts"}.
val save_as(int handle, const std::string& format, const std::string& notes_text) {
  const auto model = find_model(handle);
  const json notes = parse_json(notes_text, ErrorCode::kArgument, "notes");
  const std::vector<std::string> labels = notes.value("labels", model->labels);
  const std::string pipeline = notes.value("pipeline", model->pipeline);
  std::vector<FilePart> parts;
  val file = val::object();
  file.set("bytes", bytes_view(find_file_format(format).save(
                        *model->model, {.labels = labels, .pipeline = pipeline, .parts = &parts})));
  json rows = json::array();
  for (const FilePart& part : parts) {
    rows.push_back(
        Fields()("name", part.name)("bytes", part.bytes)("entropyBytes", part.entropy_bytes).take());
  }
  file.set("parts", rows.dump());
  return file;
}

// ---- Packed models -------------------------------------------------------------------------------

int pack_model(int handle, const std::string& runtime, const std::string& format) {
  if (runtime != "packed" && runtime != "reference") {
    throw Error(ErrorCode::kArgument, "runtime", "must be packed or reference, found \"" + runtime + "\"");
  }
  const RuntimeOptions options{.reference = runtime == "reference", .format = format};
  return keep(
      std::make_shared<PackedModel>(*find_model(handle)->model, engine().kernels, engine().pool, options));
}

// {"layers": LayerExecution[], "bytes"}
std::string packed_info(int handle) {
  const auto packed = find_packed(handle);
  json layers = json::array();
  for (const LayerExecution& layer : packed->layers()) layers.push_back(to_json(layer));
  return Fields()("layers", std::move(layers))("bytes", packed->bytes()).dump();
}

int start_timing(int model, int dataset) {
  return keep(run_timing(find_packed(model), find_dataset(dataset)));
}

// ---- Work in slices ------------------------------------------------------------------------------

int keep_training(std::shared_ptr<LoadedModel> model, std::shared_ptr<Dataset> dataset,
                  const TrainingConfig& config) {
  Model& weights = *model->model;
  const Dataset& data = *dataset;
  return keep(std::shared_ptr<Training>(
      new Training{std::move(model), std::move(dataset),
                   TrainingRun(weights, data, config, engine().kernels, engine().pool)}));
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

// Of a model or a packed one.
int start_evaluation(int model_handle, int dataset_handle, const std::string& split_name) {
  const auto dataset = find_dataset(dataset_handle);
  const Split& split = split_of(*dataset, split_name);
  // Made in its place: evaluators do not move.
  if (const auto packed = find_any<PackedModel>(model_handle)) {
    return keep(std::shared_ptr<Evaluation>(new Evaluation{
        packed, dataset,
        AnyEvaluator(std::in_place_type<PackedEvaluator>, *packed, *dataset, split, engine().pool)}));
  }
  const auto model = find_model(model_handle);
  return keep(std::shared_ptr<Evaluation>(
      new Evaluation{model, dataset,
                     AnyEvaluator(std::in_place_type<Evaluator>, *model->model, *dataset, split,
                                  engine().kernels, engine().pool)}));
}

// The share that is done.
double run_evaluation(int handle, double milliseconds) {
  const auto evaluation = find<Evaluation>(handle, "evaluation");
  const auto begin = std::chrono::steady_clock::now();
  const std::chrono::duration<double, std::milli> slice(milliseconds);
  return std::visit(
      [&](auto& evaluator) {
        while (evaluator.advance()) {
          if (std::chrono::steady_clock::now() - begin >= slice)
            return double(evaluator.done()) / evaluator.total();
        }
        return 1.0;
      },
      evaluation->evaluator);
}

val evaluation_result(int handle) {
  const EvaluationResult& result =
      std::visit([](auto& evaluator) -> const EvaluationResult& { return evaluator.result(); },
                 find<Evaluation>(handle, "evaluation")->evaluator);
  const auto view = [](const auto& numbers) { return typed_memory_view(numbers.size(), numbers.data()); };
  val evaluation = val::object();
  evaluation.set("summary",
                 Fields()("count", result.count)("accuracy", result.accuracy)("loss", result.loss).dump());
  evaluation.set("confusion", view(result.confusion));
  evaluation.set("predictions", view(result.predictions));
  evaluation.set("confidences", view(result.confidences));
  return evaluation;
}

// Handles of models and datasets that a pass may do without are 0; the model itself where there is a source
// to make one from. Every model is copied: the originals stay
// as they are, and may be used meanwhile.
int start_pass(const std::string& name, int model_handle, int dataset_handle, const std::string& options,
               const std::string& training, bool measure, int source_handle, int source_dataset_handle,
               int early_handle) {
  const auto model = [](int handle) { return handle ? copy_of(*find_model(handle)->model) : nullptr; };
  const auto dataset = [](int handle) { return handle ? find_dataset(handle) : nullptr; };
  return keep(run_pass(
      find_pass(name),
      PassInput{.model = source_handle ? model(model_handle) : copy_of(*find_model(model_handle)->model),
                .dataset = find_dataset(dataset_handle),
                .source = model(source_handle),
                .source_dataset = dataset(source_dataset_handle),
                .early = model(early_handle)},
      parse_json(options, ErrorCode::kArgument, "options"),
      training_config(parse_json(training, ErrorCode::kArgument, "training")), measure, engine().kernels,
      engine().pool));
}

// `pipeline` is one, or a built-in one's name, as JSON.
int start_pipeline(int model, int dataset, const std::string& pipeline, double seed, bool measure) {
  return keep(run_pipeline(copy_of(*find_model(model)->model), find_dataset(dataset),
                           parse_json(pipeline, ErrorCode::kArgument, "pipeline"),
                           whole(seed, "seed", kMaxSeed), measure, engine().kernels, engine().pool));
}

// `sweep`: {"grid", "lines", "origin", "shard", "seed"}
int start_sweep(int model, int dataset, const std::string& text) {
  json sweep = parse_json(text, ErrorCode::kArgument, "sweep");
  SweepInput input{.grid = std::move(sweep["grid"]),
                   .lines = std::move(sweep["lines"].get_ref<json::array_t&>()),
                   .origin = std::move(sweep["origin"]),
                   .shard = parse_shard(sweep["shard"].get<std::string>()),
                   .seed = whole(sweep["seed"], "seed", kMaxSeed)};
  return keep(run_sweep(copy_of(*find_model(model)->model), find_dataset(dataset), std::move(input),
                        engine().kernels, engine().pool));
}

std::string run_work(int handle, double milliseconds) {
  return find<WorkRun>(handle, "work")->run(milliseconds);
}

// What it gave; "model" is a handle, if it made one.
std::string finish_work(int handle) {
  WorkResult result = find<WorkRun>(handle, "work")->take();
  if (result.model) {
    result.values["model"] =
        keep_model(std::move(result.model), {}, std::move(result.labels), std::move(result.pipeline));
  }
  return result.values.dump();
}

// ---- Exports -------------------------------------------------------------------------------------

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
  ESPALIER_EXPORT(subset_dataset);
  ESPALIER_EXPORT(read_images);
  ESPALIER_EXPORT(create_model);
  ESPALIER_EXPORT(load_model);
  ESPALIER_EXPORT(model_info);
  ESPALIER_EXPORT(inspect);
  ESPALIER_EXPORT(predict);
  ESPALIER_EXPORT(activations);
  ESPALIER_EXPORT(tensor);
  ESPALIER_EXPORT(weights);
  ESPALIER_EXPORT(save_as);
  ESPALIER_EXPORT(pack_model);
  ESPALIER_EXPORT(packed_info);
  ESPALIER_EXPORT(start_timing);
  ESPALIER_EXPORT(start_training);
  ESPALIER_EXPORT(resume_training);
  ESPALIER_EXPORT(run_training);
  ESPALIER_EXPORT(finish_training);
  ESPALIER_EXPORT(checkpoint);
  ESPALIER_EXPORT(start_evaluation);
  ESPALIER_EXPORT(run_evaluation);
  ESPALIER_EXPORT(evaluation_result);
  ESPALIER_EXPORT(start_pass);
  ESPALIER_EXPORT(start_pipeline);
  ESPALIER_EXPORT(start_sweep);
  ESPALIER_EXPORT(run_work);
  ESPALIER_EXPORT(finish_work);
}

}  // namespace espalier::wasm
