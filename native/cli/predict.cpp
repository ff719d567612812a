// espalier predict: the probabilities of one image's classes.
#include <algorithm>
#include <iomanip>
#include <iostream>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/terminal.h"
#include "core/error.h"
#include "data/load.h"
#include "train/trainer.h"

namespace espalier::cli {
namespace {

struct PredictOptions {
  std::string model;
  std::string image;
  std::string data;
  int index = 0;
  CLI::Option* index_given = nullptr;
  bool invert = false;
  bool json = false;
  EngineOptions engine;
};

struct Subject {
  std::string name;
  std::vector<std::uint8_t> pixels;  // [channels][height][width], the model's
  std::vector<std::string> class_names;
  int label = -1;  // known for a dataset's image
};

// The mean of the source pixels below each pixel, by the area they share.
std::vector<std::uint8_t> resized(const Image& image, int height, int width) {
  if (image.height == height && image.width == width) return image.pixels;
  std::vector<std::uint8_t> out;
  out.reserve(static_cast<std::size_t>(image.channels) * static_cast<std::size_t>(height * width));
  const double step_y = static_cast<double>(image.height) / height;
  const double step_x = static_cast<double>(image.width) / width;
  const auto shared = [](int pixel, double begin, double end) {
    return std::max(0.0, std::min(pixel + 1.0, end) - std::max<double>(pixel, begin));
  };
  for (int c = 0; c < image.channels; ++c) {
    const std::uint8_t* plane =
        image.pixels.data() + static_cast<std::ptrdiff_t>(c) * image.height * image.width;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const double top = y * step_y, bottom = top + step_y, left = x * step_x, right = left + step_x;
        double sum = 0, area = 0;
        for (int sy = static_cast<int>(top); sy < image.height && sy < bottom; ++sy) {
          for (int sx = static_cast<int>(left); sx < image.width && sx < right; ++sx) {
            const double weight = shared(sy, top, bottom) * shared(sx, left, right);
            sum += weight * plane[sy * image.width + sx];
            area += weight;
          }
        }
        out.push_back(static_cast<std::uint8_t>(sum / area + 0.5));
      }
    }
  }
  return out;
}

Subject from_file(const PredictOptions& options, const Graph& graph) {
  const Shape& shape = graph.input.shape;
  if (shape.channels != 1 && shape.channels != 3) {
    throw Error(ErrorCode::kUnsupported, options.image,
                "cannot be shown to a model of " + to_string(shape) + " images; a PNG has 1 or 3 channels");
  }
  Subject subject{.name = options.image,
                  .pixels = resized(read_png(options.image, shape.channels), shape.height, shape.width),
                  .class_names = {}};
  for (int c = 0; c < graph.classes; ++c) subject.class_names.push_back(std::to_string(c));
  return subject;
}

Subject from_dataset(const PredictOptions& options, const ModelFile& file) {
  const std::uint64_t seed = file.training ? file.training->config.seed : TrainingConfig{}.seed;
  const Dataset dataset = open_dataset(options.data, seed);
  check_fits(file.model->graph, dataset);
  if (options.index < 0 || options.index >= dataset.test.count()) {
    throw Error(ErrorCode::kArgument, "--index",
                "must be from 0 to " + std::to_string(dataset.test.count() - 1) + ", found " +
                    std::to_string(options.index));
  }
  const auto at = static_cast<std::size_t>(options.index);
  const std::ptrdiff_t size = dataset.image_size();
  const auto first = dataset.test.images.begin() + options.index * size;
  return {.name = options.data + " test image " + std::to_string(options.index),
          .pixels = {first, first + size},
          .class_names = dataset.class_names,
          .label = dataset.test.labels[at]};
}

void print_bars(const Subject& subject, const std::vector<real>& probabilities, std::size_t best) {
  std::cout << subject.name << ": " << subject.class_names[best] << " ("
            << percent(double{probabilities[best]}) << ")";
  if (subject.label >= 0)
    std::cout << ", labelled " << subject.class_names[static_cast<std::size_t>(subject.label)];
  std::cout << '\n';
  std::size_t width = 1;
  for (const std::string& name : subject.class_names) width = std::max(width, name.size());
  for (std::size_t c = 0; c < probabilities.size(); ++c) {
    const double share = double{probabilities[c]};
    const int length = static_cast<int>(share * 40 + 0.5);
    std::cout << "  " << std::left << std::setw(static_cast<int>(width)) << subject.class_names[c]
              << std::right << std::setw(9) << percent(share) << (length > 0 ? "  " : "") << bar(1, length)
              << '\n';
  }
}

int run(const PredictOptions& options) {
  if (options.image.empty() == options.data.empty()) {
    throw Error(ErrorCode::kArgument, "IMAGE.png", "or --data with --index is needed, and not both");
  }
  if (options.data.empty() && options.index_given->count() > 0) {
    throw Error(ErrorCode::kArgument, "--index", "needs --data");
  }
  const ModelFile file = open_model(options.model);
  const Model& model = *file.model;
  Subject subject = options.image.empty() ? from_dataset(options, file) : from_file(options, model.graph);
  if (options.invert) {
    for (std::uint8_t& pixel : subject.pixels) pixel = static_cast<std::uint8_t>(255 - pixel);
  }
  ThreadPool pool(1);
  Predictor predictor(model, options.engine.select(), pool);
  std::vector<real> probabilities(static_cast<std::size_t>(model.graph.classes));
  predictor.predict(subject.pixels.data(), 1, probabilities.data());
  const auto best = static_cast<std::size_t>(std::max_element(probabilities.begin(), probabilities.end()) -
                                             probabilities.begin());
  if (options.json) {
    using nlohmann::json;
    const bool labelled = subject.label >= 0;
    std::cout << dump({{"image", subject.name},
                       {"predicted", best},
                       {"class", subject.class_names[best]},
                       {"confidence", probabilities[best]},
                       {"label", labelled ? json(subject.label) : json(nullptr)},
                       {"classes", subject.class_names},
                       {"probabilities", probabilities}},
                      2)
              << '\n';
  } else {
    print_bars(subject, probabilities, best);
  }
  return kDone;
}

}  // namespace

Command add_predict(CLI::App& espalier) {
  CLI::App* app = espalier.add_subcommand("predict", "Show a model one image");
  const auto options = std::make_shared<PredictOptions>();
  app->add_option("MODEL", options->model, "A model file")->required();
  app->add_option("IMAGE.png", options->image, "A picture; it is resized to the model's input");
  add_data_option(*app, options->data);
  options->index_given = app->add_option("--index", options->index, "Which of the dataset's test images")
                             ->capture_default_str()
                             ->type_name("N");
  app->add_flag("--invert", options->invert, "Swap light and dark (MNIST's digits are white on black)");
  options->engine.add_to(*app);
  app->add_flag("--json", options->json, "Print one JSON object instead of bars");
  app->footer(
      "Examples:\n"
      "  espalier predict small.safetensors digit.png --invert\n"
      "  espalier predict small.safetensors --data mnist --index 7");
  return {app, [options] { return run(*options); }};
}

}  // namespace espalier::cli
