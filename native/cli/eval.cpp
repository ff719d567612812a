// espalier eval: accuracy, loss and confusions of a model file on a dataset.
#include <algorithm>
#include <iomanip>
#include <iostream>

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
  const Stopwatch stopwatch;
  const EvaluationResult result = evaluate(model, dataset, split, kernels, pool);
  const double seconds = stopwatch.seconds();
  if (!options.json) {
    print_table(result, dataset, options.split);
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
                     {"seconds", seconds},
                     {"images_per_second", result.count / std::max(seconds, 1e-9)},
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
  options->engine.add_to(*app);
  app->add_flag("--json", options->json, "Print one JSON object instead of a table");
  app->footer(
      "Examples:\n"
      "  espalier eval small.safetensors --data mnist\n"
      "  espalier eval small.safetensors --data mnist --split validation --json");
  return {app, [options] { return run(*options); }};
}

}  // namespace espalier::cli
