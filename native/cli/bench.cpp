// espalier bench: images per second of whole training steps, and every kernel's share of the peak.
#include <iomanip>
#include <iostream>

#include "bench/measure.h"
#include "bench/measure_inference.h"
#include "bench/measure_sparse.h"
#include "cli/command.h"
#include "cli/common.h"

namespace espalier::cli {
namespace {

struct BenchOptions {
  std::string model = "lenet5";
  MeasureOptions measure;
  EngineOptions engine;
  bool inference = false;
  bool formats = false;
  bool break_even = false;
  bool sparse = false;
  bool json = false;
};

void print_row(const std::string& name, const nlohmann::json& row, std::size_t width) {
  std::cout << std::left << std::setw(static_cast<int>(width)) << name << std::right << std::setw(10)
            << fixed(row["microseconds_per_image"], 2);
  if (row.contains("gflops")) {
    std::cout << std::setw(11) << fixed(row["gflops"], 1) << std::setw(10) << percent(row["share_of_peak"]);
  }
  std::cout << '\n';
}

void print_table(const nlohmann::json& result) {
  const int threads = result["threads"];
  std::cout << result["model"].get<std::string>() << ", " << result["kernels"].get<std::string>() << ", "
            << threads << (threads == 1 ? " thread" : " threads") << ", batch " << result["batch_size"]
            << ": " << with_commas(static_cast<std::int64_t>(result["images_per_second"])) << " images/s, "
            << fixed(result["gflops"], 1) << " GFLOP/s, " << percent(result["share_of_peak"])
            << " of the peak (" << fixed(result["peak_gflops"], 1) << " GFLOP/s a thread)\n";
  std::size_t width = 24;
  for (const auto& layer : result["layers"]) {
    width = std::max(width, layer["layer"].get_ref<const std::string&>().size() + 2);
  }
  std::cout << "\n"
            << std::left << std::setw(static_cast<int>(width)) << "one thread, by kernel" << std::right
            << std::setw(10) << "us/image" << std::setw(11) << "GFLOP/s" << std::setw(10) << "of peak"
            << '\n';
  for (const auto& layer : result["layers"]) {
    print_row(layer["layer"], layer, width);
    for (const auto& row : layer["directions"])
      print_row("  " + row["kernel"].get<std::string>(), row, width);
  }
  for (const auto& row : result["others"]) print_row(row["kernel"], row, width);
}

void print_inference(const nlohmann::json& r) {
  const auto row = [&](const char* name, const nlohmann::json& microseconds) {
    std::cout << std::left << std::setw(34) << name << std::right << std::setw(10) << fixed(microseconds, 2)
              << '\n';
  };
  std::cout << r["model"].get<std::string>() << ", " << r["kernels"].get<std::string>() << ", "
            << r["integer_kernels"].get<std::string>() << ": int8 runs " << fixed(r["speedup"], 2)
            << " times as fast as float at batch " << r["batch_size"] << "\n\n";
  std::cout << std::left << std::setw(34) << "" << "  us/image\n";
  row("float", r["float_microseconds"]);
  row("int8", r["int8_microseconds"]);
  row("float, an image by itself", r["single_float_microseconds"]);
  row("int8, an image by itself", r["single_int8_microseconds"]);
  for (const auto& layer : r["layers"]) {
    row(("  int8 " + layer["layer"].get<std::string>()).c_str(), layer["microseconds_per_image"]);
  }
}

void print_formats(const nlohmann::json& r) {
  std::cout << r["model"].get<std::string>() << ", " << r["kernels"].get<std::string>() << ", "
            << r["integer_kernels"].get<std::string>() << ", batch " << r["batch_size"] << "\n\n"
            << std::left << std::setw(30) << "" << "  us/image  speedup        KB   formats\n";
  std::cout << std::setw(30) << "float" << std::right << std::setw(10) << fixed(r["float_microseconds"], 2)
            << '\n';
  for (const auto& row : r["rows"]) {
    std::cout << std::left << std::setw(30) << row["name"].get<std::string>() << std::right << std::setw(10)
              << fixed(row["microseconds"], 2) << std::setw(8) << fixed(row["speedup"], 2) << 'x'
              << std::setw(10) << fixed(row["bytes"].get<double>() / 1024, 1) << "   "
              << row["formats"].get<std::string>() << '\n';
  }
}

void print_break_even(const nlohmann::json& r) {
  std::cout << r["model"].get<std::string>() << ", " << r["kernels"].get<std::string>() << ", "
            << r["integer_kernels"].get<std::string>()
            << ": share of the groups of four weights left, how many times as fast as int8\n";
  const auto print = [](const nlohmann::json& layers) {
    for (const auto& layer : layers) {
      std::cout << "  " << std::left << std::setw(15) << layer["layer"].get<std::string>() << std::right;
      for (const auto& row : layer["rows"]) {
        const double ratio =
            row["dense_microseconds"].get<double>() / row["sparse_microseconds"].get<double>();
        std::cout << "  " << percent(row["share"]) << ": " << fixed(ratio, 2);
      }
      std::cout << '\n';
    }
  };
  print(r["layers"]);
  std::cout << "An image by itself:\n";
  print(r["single_layers"]);
}

void print_sparse(const nlohmann::json& r) {
  const auto row = [](const std::string& name, const nlohmann::json& time, const nlohmann::json& speedup) {
    std::cout << std::left << std::setw(34) << name << std::right << std::setw(10) << fixed(time, 2)
              << std::setw(9) << fixed(speedup, 2) << "x\n";
  };
  const auto zeros = [](const nlohmann::json& r) { return percent(r["sparsity"]) + " zeros"; };
  std::cout << r["model"].get<std::string>() << ", " << r["kernels"].get<std::string>() << ", batch "
            << r["batch_size"] << "\n\n"
            << std::left << std::setw(34) << "inference" << "  us/image  speedup\n";
  row("dense", r["dense_microseconds"], 1);
  for (const auto& s : r["sparse"]) row(zeros(s), s["microseconds"], s["speedup"]);
  row("half of the channels", r["slimmed"]["microseconds"], r["slimmed"]["speedup"]);
  std::cout << "an image by itself\n";
  row("dense", r["dense_single_microseconds"], 1);
  for (const auto& s : r["sparse"]) row(zeros(s), s["single_microseconds"], s["single_speedup"]);
  std::cout << "a step of fine-tuning\n";
  for (const auto& s : r["training"]) row(zeros(s), s["microseconds_per_image"], s["speedup"]);
}

int run(const BenchOptions& options) {
  const nlohmann::json spec = open_spec(options.model, nullptr, "MODEL");
  MeasureOptions measure = options.measure;
  measure.threads = options.engine.threads;
  const auto measured = options.inference    ? measure_inference
                        : options.formats    ? measure_formats
                        : options.break_even ? measure_break_even
                        : options.sparse     ? measure_sparse
                                             : measure_training;
  const nlohmann::json result = measured(spec, options.engine.select(), measure);
  if (options.json) {
    std::cout << dump(result, 2) << '\n';
  } else if (options.inference) {
    print_inference(result);
  } else if (options.formats) {
    print_formats(result);
  } else if (options.break_even) {
    print_break_even(result);
  } else if (options.sparse) {
    print_sparse(result);
  } else {
    print_table(result);
  }
  return kDone;
}

}  // namespace

Command add_bench(CLI::App& espalier) {
  CLI::App* app =
      espalier.add_subcommand("bench", "Measure how fast a model trains here, and where time goes");
  const auto options = std::make_shared<BenchOptions>();
  options->engine.threads = 1;
  app->add_option("MODEL", options->model, "A preset or the path of a JSON spec")->capture_default_str();
  app->add_option("--batch", options->measure.batch_size, "Images of a step")
      ->check(from_to(1, 4096))
      ->capture_default_str()
      ->type_name("N");
  app->add_option("--seconds", options->measure.seconds, "How long to measure")
      ->check(CLI::Range(0.1, 600.0))
      ->capture_default_str()
      ->type_name("N");
  app->add_option("--quantile", options->measure.quantile,
                  "Of the times of many steps: 0.5 is the median, less looks through a busy machine")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->type_name("Q");
  app->add_flag("--inference", options->inference,
                "Measure inference, 8 bits beside floats, instead of training");
  app->add_flag("--formats", options->formats, "Measure inference in every weight format, on one thread")
      ->excludes("--inference");
  app->add_flag("--break-even", options->break_even,
                "Measure from which share of weights on the sparse format is faster")
      ->excludes("--inference", "--formats");
  app->add_flag("--sparse", options->sparse,
                "Measure what pruned weights and channels gain, in inference and in training");
  options->engine.add_to(*app);
  app->add_flag("--json", options->json, "Print one JSON object instead of a table");
  app->footer(
      "Examples:\n"
      "  espalier bench\n"
      "  espalier bench resnet --kernels plain --seconds 10\n"
      "  espalier bench small --threads 2 --json\n"
      "  espalier bench lenet5 --formats\n"
      "  espalier bench lenet5 --sparse --seconds 10");
  return {app, [options] { return run(*options); }};
}

}  // namespace espalier::cli
