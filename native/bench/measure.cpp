#include "bench/measure.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "bench/recorder.h"
#include "core/random.h"
#include "core/thread_pool.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr int kWindows = 7;
constexpr std::int64_t kImages = 1024;  // few enough to stay in the cache

Dataset random_images(const Graph& graph) {
  const Shape& shape = graph.input.shape;
  Dataset dataset{.name = "random", .channels = shape.channels, .height = shape.height, .width = shape.width};
  for (int c = 0; c < graph.classes; ++c) dataset.class_names.push_back(std::to_string(c));
  Random random(1, RandomStream::kDigits);
  for (std::int64_t i = 0; i < kImages * shape.size(); ++i) {
    dataset.train.images.push_back(static_cast<std::uint8_t>(random.below(256)));
  }
  for (std::int64_t i = 0; i < kImages; ++i) {
    const auto classes = static_cast<std::uint32_t>(graph.classes);
    dataset.train.labels.push_back(static_cast<std::uint16_t>(random.below(classes)));
  }
  return dataset;
}

double measure_peak(const Kernels& kernels, double seconds) {
  std::int64_t done = 0;
  const double begin = now_in_seconds();
  double now = begin;
  while (now - begin < seconds) {
    done += kernels.multiply_adds(20000);
    now = now_in_seconds();
  }
  return 2 * static_cast<double>(done) / (now - begin);
}

// Calls `step`, which returns a number of images, for about `seconds`.
template <class Step>
double images_per_second(double seconds, Step&& step) {
  std::int64_t images = 0;
  const double begin = now_in_seconds();
  double now = begin;
  while (now - begin < seconds || images == 0) {
    images += step();
    now = now_in_seconds();
  }
  return static_cast<double>(images) / (now - begin);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Speeds of `multiply_adds` in `seconds` over `images`.
json speed(double multiply_adds, double seconds, double images, double peak) {
  const double gflops = 2 * multiply_adds / seconds / 1e9;
  return {{"mflop_per_image", 2 * multiply_adds / images / 1e6},
          {"microseconds_per_image", seconds / images * 1e6},
          {"gflops", gflops},
          {"share_of_peak", gflops * 1e9 / peak}};
}

void add_layers(const std::vector<KernelTime>& times, double images, double peak, json& result) {
  struct Layer {
    double multiply_adds = 0, seconds = 0;
    json directions = json::array();
  };
  std::vector<std::string> order;
  std::map<std::string, Layer> layers;
  json others = json::array();
  for (const KernelTime& time : times) {
    if (time.layer.empty()) {
      others.push_back({{"kernel", time.kernel}, {"microseconds_per_image", time.seconds / images * 1e6}});
      continue;
    }
    if (!layers.contains(time.layer)) order.push_back(time.layer);
    Layer& layer = layers[time.layer];
    const auto multiply_adds = static_cast<double>(time.multiply_adds);
    layer.multiply_adds += multiply_adds;
    layer.seconds += time.seconds;
    json direction = speed(multiply_adds, time.seconds, images, peak);
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
  const Dataset dataset = random_images(model->graph);
  const TrainingConfig config{.epochs = 1000000, .batch_size = options.batch_size, .learning_rate = 1e-4};
  ThreadPool pool(options.threads), one(1);
  Trainer trainer(*model, dataset, config, kernels, pool);
  Recorder recorder(kernels);
  Trainer recorded(*model, dataset, config, recorder.kernels(), one);

  const double window = options.seconds / (kWindows + 1);
  std::vector<double> speeds, peaks;
  std::int64_t images = 0;
  const auto step = [&] { return trainer.step().images; };
  const auto recorded_step = [&] {
    const int done = recorded.step().images;
    images += done;
    return done;
  };
  images_per_second(window, step);  // warm: browsers compile twice
  measure_peak(kernels, window / 4);
  recorded_step();
  recorder.clear();
  images = 0;
  for (int i = 0; i < kWindows; ++i) {
    peaks.push_back(measure_peak(kernels, window / 4));
    speeds.push_back(images_per_second(window / 2, step));
    images_per_second(options.by_layer ? window / 4 : 0, recorded_step);
  }

  const double peak = median(peaks), speed_median = median(speeds);
  double multiply_adds = 0;
  for (const KernelTime& time : recorder.times()) multiply_adds += static_cast<double>(time.multiply_adds);
  const double flop_per_image = 2 * multiply_adds / static_cast<double>(images);
  json result{{"model", model->graph.name},
              {"kernels", kernels.name},
              {"threads", pool.threads()},
              {"batch_size", options.batch_size},
              {"peak_gflops", peak / 1e9},
              {"images_per_second",
               {{"median", speed_median},
                {"lowest", *std::min_element(speeds.begin(), speeds.end())},
                {"highest", *std::max_element(speeds.begin(), speeds.end())}}},
              {"mflop_per_image", flop_per_image / 1e6},
              {"gflops", flop_per_image * speed_median / 1e9},
              {"share_of_peak", flop_per_image * speed_median / (peak * pool.threads())}};
  if (options.by_layer) add_layers(recorder.times(), static_cast<double>(images), peak, result);
  return result;
}

}  // namespace espalier
