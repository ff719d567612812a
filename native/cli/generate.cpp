// espalier generate: the built-in digits as the four IDX files of MNIST.
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/common.h"
#include "core/error.h"
#include "data/digits.h"
#include "data/load.h"

namespace espalier::cli {
namespace {

struct GenerateOptions {
  int count = 10000;
  int test = 2000;
  std::uint64_t seed = 1;
  std::string out;
};

void write_split(const Split& split, const Dataset& dataset, const std::filesystem::path& folder,
                 const std::string& prefix) {
  write_file((folder / (prefix + "-images-idx3-ubyte")).string(),
             write_idx_images(split, dataset.channels, dataset.height, dataset.width));
  write_file((folder / (prefix + "-labels-idx1-ubyte")).string(), write_idx_labels(split));
}

int run(const GenerateOptions& options) {
  if (options.out.empty())
    throw Error(ErrorCode::kArgument, "--out", "is missing; give a folder to write to");
  Dataset dataset = synthetic_digits(options.count, options.test, options.seed);
  // Whoever reads the files cuts the validation images off again.
  dataset.train.images.insert(dataset.train.images.end(), dataset.validation.images.begin(),
                              dataset.validation.images.end());
  dataset.train.labels.insert(dataset.train.labels.end(), dataset.validation.labels.begin(),
                              dataset.validation.labels.end());
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) throw Error(ErrorCode::kIo, options.out, "cannot be made: " + error.message());
  write_split(dataset.train, dataset, options.out, "train");
  write_split(dataset.test, dataset, options.out, "t10k");
  std::cout << "wrote " << with_commas(dataset.train.count()) << " training and "
            << with_commas(dataset.test.count()) << " test images to " << options.out << '\n';
  return kDone;
}

}  // namespace

Command add_generate(CLI::App& espalier) {
  CLI::App* app =
      espalier.add_subcommand("generate", "Write built-in handwritten-looking digits as IDX files");
  const auto options = std::make_shared<GenerateOptions>();
  app->add_option("--count", options->count, "Training images, those for validation included")
      ->check(from_to(1, 1000000))
      ->capture_default_str()
      ->type_name("N");
  app->add_option("--test", options->test, "Test images")
      ->check(from_to(1, 1000000))
      ->capture_default_str()
      ->type_name("N");
  app->add_option("--seed", options->seed, "Another seed draws other digits")
      ->capture_default_str()
      ->type_name("N");
  app->add_option("--out", options->out, "The folder; it is made when it does not exist")->type_name("DIR");
  app->footer(
      "Example:\n"
      "  espalier generate --count 6000 --test 1000 --out digits\n"
      "  espalier train --data digits --model small");
  return {app, [options] { return run(*options); }};
}

}  // namespace espalier::cli
