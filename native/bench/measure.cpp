#include "bench/measure.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "bench/recorder.h"
#include "bench/timing.h"
#include "core/random.h"
#include "core/thread_pool.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

// `count` is small enough for the cache.
Dataset random_images(const Graph& graph, std::int64_t count) {
  const Shape& shape = graph.input.shape;
  Dataset dataset{.name = "random", .channels = shape.channels, .height = shape.height, .width = shape.width};
  for (int c = 0; c < graph.classes; ++c) dataset.class_names.push_back(std::to_string(c));
  Random random(1, RandomStream::kDigits);
  for (std::int64_t i = 0; i < count * shape.size(); ++i) {
    dataset.train.images.push_back(static_cast<std::uint8_t>(random.below(256)));
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const auto classes = static_cast<std::uint32_t>(graph.classes);
    dataset.train.labels.push_back(static_cast<std::uint16_t>(random.below(classes)));
  }
  return dataset;
}

// Speeds of `multiply_adds` in `seconds` over `images`.
json speed(double multiply_adds, double seconds, double images, double peak) {
  const double gflops = 2 * multiply_adds / seconds / 1e9;
  return {{"mflop_per_image", 2 * multiply_adds / images / 1e6},
          {"microseconds_per_image", seconds / images * 1e6},
          {"gflops", gflops},
          {"share_of_peak", gflops * 1e9 / peak}};
}

void add_layers(const std::vector<KernelTime>& times, double images, double peak, double share,
                json& result) {
  struct Layer {
    double multiply_adds = 0, seconds = 0;
    json directions = json::array();
  };
  std::vector<std::string> order;
  std::map<std::string, Layer> layers;
  json others = json::array();
  for (const KernelTime& time : times) {
    const double seconds = quantile(time.steps, share);
    if (time.layer.empty()) {
      others.push_back({{"kernel", time.kernel}, {"microseconds_per_image", seconds / images * 1e6}});
      continue;
    }
    if (!layers.contains(time.layer)) order.push_back(time.layer);
    Layer& layer = layers[time.layer];
    const double multiply_adds =
        static_cast<double>(time.multiply_adds) / static_cast<double>(time.steps.size());
    layer.multiply_adds += multiply_adds;
    layer.seconds += seconds;
    json direction = speed(multiply_adds, seconds, images, peak);
    direction["kernel"] = time.kernel;
    layer.directions.push_back(direction);
  }
  result["layers"] = json::array();
  for (const std::string& name : order) {
    const Layer& layer = layers[name];
    json row = speed(layer.multiply_adds, layer.seconds, images, peak);
    row["layer"] = name;
    row["directions"] = layer.directions;
    result["layers"].push_back(row);
  }
  result["others"] = others;
}

}  // namespace

json measure_training(const json& spec, const Kernels& kernels, const MeasureOptions& options) {
  const auto model = Model::create(spec, 1, nullptr);
  const Dataset dataset = random_images(model->graph, 16 * options.batch_size);
  const TrainingConfig config{.epochs = 1000000, .batch_size = options.batch_size, .learning_rate = 1e-4};
  ThreadPool pool(options.threads), one(1);
  Trainer trainer(*model, dataset, config, kernels, pool);
  Recorder recorder(kernels);
  Trainer recorded(*model, dataset, config, recorder.kernels(), one);

  // The dataset is a multiple of the batch, so that all steps are alike.
  constexpr int kWindows = 16;
  constexpr std::int64_t kPeakRounds = 200000;
  const double window = options.seconds / (kWindows + 4);
  std::vector<double> steps, peaks, unused;
  const auto step = [&] { trainer.step(); };
  const auto recorded_step = [&] {
    recorded.step();
    recorder.end_step();
  };
  time_calls(2 * window, unused, step);  // warm: browsers compile twice
  time_calls(2 * window, unused, recorded_step);
  recorder.clear();
  for (int i = 0; i < kWindows; ++i) {
    time_calls(window / 5, peaks, [&] { kernels.multiply_adds(kPeakRounds); });
    time_calls(window * 2 / 5, steps, step);
    time_calls(window * 2 / 5, unused, recorded_step);
  }

  double multiply_adds = 0;
  for (const KernelTime& time : recorder.times()) {
    multiply_adds += static_cast<double>(time.multiply_adds) / static_cast<double>(time.steps.size());
  }
  const double images = options.batch_size;
  const double peak =
      2 * static_cast<double>(kernels.multiply_adds(kPeakRounds)) / quantile(peaks, options.quantile);
  const double speed = images / quantile(steps, options.quantile);
  const double flop_per_image = 2 * multiply_adds / images;
  json result{{"model", model->graph.name},
              {"kernels", kernels.name},
              {"threads", pool.threads()},
              {"batch_size", options.batch_size},
              {"peak_gflops", peak / 1e9},
              {"images_per_second", speed},
              {"mflop_per_image", flop_per_image / 1e6},
              {"gflops", flop_per_image * speed / 1e9},
              {"share_of_peak", flop_per_image * speed / (peak * pool.threads())}};
  add_layers(recorder.times(), images, peak, options.quantile, result);
  return result;
}

}  // namespace espalier
