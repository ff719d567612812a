// espalier eval: accuracy, loss and confusions of a model file on a dataset, in the form in which it is
// stored, and what that form is.
#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>

#include "bench/measure_file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "core/error.h"
#include "train/trainer.h"

namespace espalier::cli {
namespace {

struct EvalOptions {
  std::string model;
  DataOptions data;
  std::string split = "test";
  std::string runtime = "packed";
  std::string weight_format;
  std::string logits;
  std::uint64_t seed = 0;
  CLI::Option* seed_given = nullptr;
  bool json = false;
  EngineOptions engine;
};

const Split& find_split(const Dataset& dataset, const std::string& name) {
  return name == "train" ? dataset.train : name == "validation" ? dataset.validation : dataset.test;
}

// Correct ones among the images of one class, and what its others are taken for most often.
struct ClassResult {
  std::uint32_t images = 0;
  std::uint32_t correct = 0;
  std::uint32_t mistaken = 0;
  int mistaken_for = -1;
};

ClassResult class_result(const EvaluationResult& result, int label, int classes) {
  ClassResult row;
  for (int predicted = 0; predicted < classes; ++predicted) {
    const std::uint32_t count = result.confusion[static_cast<std::size_t>(label * classes + predicted)];
    row.images += count;
    if (predicted == label) {
      row.correct = count;
    } else if (count > row.mistaken) {
      row.mistaken = count;
      row.mistaken_for = predicted;
    }
  }
  return row;
}

constexpr std::string_view kRuntimes[] = {"packed", "reference", "float"};

// What ran, and what it gave.
struct Execution {
  EvaluationResult result;
  double seconds = 0;
  double microseconds = 0;  // for each image, on one thread
  std::int64_t weight_bytes = 0;
  std::vector<LayerExecution> layers;
};

// The outputs of all images as a NumPy file, [images][classes] of float32.
void save_logits(const std::string& path, PackedModel& model, const Split& split) {
  const int count = split.count(), classes = model.graph().classes;
  std::vector<real> logits(static_cast<std::size_t>(count) * static_cast<std::size_t>(classes));
  model.infer(split.images.data(), count, logits.data());
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(count) + ", " +
                       std::to_string(classes) + "), }";
  constexpr std::size_t kHeaderEnd = 128, kLengthEnd = 10;
  header.resize(kHeaderEnd - kLengthEnd - 1, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size());
  bytes += '\0';
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(real));
  save(path, {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

Execution execute(const EvalOptions& options, const Model& model, const Dataset& dataset, const Split& split,
                  const Kernels& kernels, ThreadPool& pool) {
  Execution execution;
  const Stopwatch stopwatch;
  if (options.runtime == "float") {
    execution.result = evaluate(model, dataset, split, kernels, pool);
    execution.seconds = stopwatch.seconds();
    ThreadPool one(1);
    Predictor predictor(model, kernels, one);
    std::vector<real> probabilities;
    execution.microseconds = microseconds_per_image(dataset, [&](const std::uint8_t* images, int count) {
      probabilities.resize(static_cast<std::size_t>(count * model.graph.classes));
      predictor.predict(images, count, probabilities.data());
    });
    return execution;
  }
  const RuntimeOptions runtime{.reference = options.runtime == "reference", .format = options.weight_format};
  PackedModel packed(model, kernels, pool, runtime);
  PackedEvaluator evaluator(packed, dataset, split, pool);
  while (evaluator.advance()) {
  }
  execution.result = evaluator.result();
  execution.seconds = stopwatch.seconds();
  execution.weight_bytes = packed.bytes();
  execution.layers.assign(packed.layers().begin(), packed.layers().end());
  if (!options.logits.empty()) save_logits(options.logits, packed, split);
  execution.microseconds = microseconds_per_image(dataset, blocks_of(packed));
  return execution;
}

nlohmann::json layers_json(const Execution& execution) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerExecution& layer : execution.layers) layers.push_back(to_json(layer));
  return layers;
}

void print_layers(const Execution& execution) {
  if (execution.layers.empty()) return;
  std::size_t name = 5, format = 6;
  for (const LayerExecution& layer : execution.layers) {
    name = std::max(name, layer.layer.size());
    format = std::max(format, layer.format.size());
  }
  std::cout << '\n'
            << std::left << std::setw(static_cast<int>(name)) << "layer" << "  "
            << std::setw(static_cast<int>(format)) << "format" << std::right << std::setw(12) << "bytes"
            << std::setw(10) << "non-zero" << '\n';
  for (const LayerExecution& layer : execution.layers) {
    std::cout << std::left << std::setw(static_cast<int>(name)) << layer.layer << "  "
              << std::setw(static_cast<int>(format)) << layer.format << std::right << std::setw(12)
              << with_commas(layer.bytes) << std::setw(10) << percent(layer.density)
              << (layer.why.empty() ? "" : "  " + layer.why) << '\n';
  }
}

void print_table(const EvaluationResult& result, const Dataset& dataset, const std::string& split) {
  std::cout << split << " accuracy " << fixed(100 * result.accuracy, 2) << " %, loss "
            << fixed(result.loss, 4) << ", " << with_commas(result.count) << " images\n\n";
  std::size_t width = 5;
  for (const std::string& name : dataset.class_names) width = std::max(width, name.size());
  std::cout << std::left << std::setw(static_cast<int>(width)) << "class"
            << "  accuracy  images  most often taken for\n";
  for (int label = 0; label < dataset.classes(); ++label) {
    const ClassResult row = class_result(result, label, dataset.classes());
    std::cout << std::left << std::setw(static_cast<int>(width))
              << dataset.class_names[static_cast<std::size_t>(label)] << std::right << std::setw(10)
              << (row.images > 0 ? percent(static_cast<double>(row.correct) / row.images) : "-")
              << std::setw(8) << row.images;
    if (row.mistaken > 0) {
      std::cout << "  " << dataset.class_names[static_cast<std::size_t>(row.mistaken_for)] << " ("
                << row.mistaken << ")";
    }
    std::cout << '\n';
  }
}

int run(const EvalOptions& options) {
  if (!options.logits.empty() && options.runtime == "float") {
    throw Error(ErrorCode::kArgument, "--logits", "needs --runtime packed or reference");
  }
  check_can_save(options.logits);
  const ModelFile file = open_model(options.model);
  const Model& model = *file.model;
  std::uint64_t seed = TrainingConfig{}.seed;
  if (file.training) seed = file.training->config.seed;
  if (options.seed_given->count() > 0) seed = options.seed;
  const Dataset dataset = options.data.open(seed);
  check_fits(model.graph, dataset);
  const Split& split = find_split(dataset, options.split);
  if (split.count() == 0)
    throw Error(ErrorCode::kData, options.data.data, "has no " + options.split + " images to evaluate on");

  const Kernels& kernels = options.engine.select();
  ThreadPool pool(options.engine.threads);
  const Execution execution = execute(options, model, dataset, split, kernels, pool);
  const EvaluationResult& result = execution.result;
  const std::int64_t file_bytes = static_cast<std::int64_t>(std::filesystem::file_size(options.model));
  if (!options.json) {
    print_table(result, dataset, options.split);
    print_layers(execution);
    std::cout << '\n' << options.model << ": " << file.format << ", " << with_commas(file_bytes) << " bytes";
    std::cout << ", " << fixed(execution.microseconds, 1) << " us an image on one thread\n";
    return kDone;
  }
  const int classes = dataset.classes();
  nlohmann::json confusion = nlohmann::json::array();
  for (int label = 0; label < classes; ++label) {
    const auto row = result.confusion.begin() + static_cast<std::ptrdiff_t>(label) * classes;
    confusion.push_back(std::vector<std::uint32_t>(row, row + classes));
  }
  std::cout << dump({{"model", model.graph.name},
                     {"file", options.model},
                     {"data", options.data.data},
                     {"split", options.split},
                     {"images", result.count},
                     {options.split + "_accuracy", result.accuracy},
                     {"accuracy", result.accuracy},
                     {"loss", result.loss},
                     {"classes", dataset.class_names},
                     {"confusion", confusion},
                     {"parameters", model.graph.parameter_count()},
                     {"kernels", kernels.name},
                     {"threads", pool.threads()},
                     {"runtime", options.runtime},
                     {"format", file.format},
                     {"file_bytes", file_bytes},
                     {"weight_bytes", execution.weight_bytes},
                     {"microseconds_per_image", execution.microseconds},
                     {"layers", layers_json(execution)},
                     {"seconds", execution.seconds},
                     {"images_per_second", result.count / std::max(execution.seconds, 1e-9)},
                     {"weights_sha256", sha256_hex(weight_bytes(model))}},
                    2)
            << '\n';
  return kDone;
}

}  // namespace

Command add_eval(CLI::App& espalier) {
  CLI::App* app = espalier.add_subcommand("eval", "Evaluate a model file on a dataset");
  const auto options = std::make_shared<EvalOptions>();
  app->add_option("MODEL", options->model, "A model file")->required();
  options->data.add_to(*app);
  app->add_option("--split", options->split, "test, validation or train")
      ->check(CLI::Validator(
          [](const std::string& name) {
            const bool known = name == "test" || name == "validation" || name == "train";
            return known ? "" : "must be test, validation or train, found \"" + name + "\"";
          },
          ""))
      ->capture_default_str()
      ->type_name("NAME");
  options->seed_given =
      app->add_option("--seed", options->seed, "Seed of synthetic data; default: that of the training")
          ->type_name("N");
  app->add_option(
         "--runtime", options->runtime,
         "packed: in the form that is stored; reference: the same arithmetic as plain loops; float: the "
         "graph as it trains")
      ->check(CLI::Validator(
          [](const std::string& name) {
            const bool known =
                std::find(std::begin(kRuntimes), std::end(kRuntimes), name) != std::end(kRuntimes);
            return known ? "" : "must be packed, reference or float, found \"" + name + "\"";
          },
          ""))
      ->capture_default_str()
      ->type_name("NAME");
  app->add_option("--weight-format", options->weight_format,
                  "Hold weights in this format of the packed runtime wherever it can")
      ->type_name("NAME");
  app->add_option("--logits", options->logits,
                  "Also write the outputs of all images, [images][classes], as a NumPy file")
      ->type_name("FILE.npy");
  options->engine.add_to(*app);
  app->add_flag("--json", options->json, "Print one JSON object instead of a table");
  app->footer(
      "Examples:\n"
      "  espalier eval small.safetensors --data mnist\n"
      "  espalier eval small.safetensors --data mnist --split validation --json\n"
      "  espalier eval int8.espalier --data mnist --runtime reference\n"
      "  espalier eval model.onnx --data mnist --logits logits.npy");
  return {app, [options] { return run(*options); }};
}

}  // namespace espalier::cli
