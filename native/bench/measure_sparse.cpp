#include "bench/measure_sparse.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/recorder.h"
#include "bench/timing.h"
#include "compress/finetune.h"
#include "core/random.h"
#include "ops/weights.h"
#include "runtime/packed_model.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using nlohmann::json;

// Masks the share `sparsity` of each layer's weights, the smallest ones.
void prune(double sparsity, Model& model) {
  Parameters& parameters = model.parameters;
  parameters.mask.assign(static_cast<std::size_t>(model.graph.trainable_size), real{1});
  for (const Node& node : model.graph.nodes) {
    if (!has_weights(node)) continue;
    real* value = parameters.value.data() + weight_of(node).offset;
    real* mask = parameters.mask.data() + weight_of(node).offset;
    std::vector<real> sizes;
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) sizes.push_back(std::abs(value[i]));
    const auto middle =
        sizes.begin() + static_cast<std::ptrdiff_t>(sparsity * static_cast<double>(sizes.size()));
    std::nth_element(sizes.begin(), middle, sizes.end());
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
      if (std::abs(value[i]) < *middle) value[i] = mask[i] = 0;
    }
  }
}

// Half of the channels and units, but all classes.
json slimmed(json spec) {
  for (json& layer : spec["layers"]) {
    for (const char* field : {"out_channels", "units"}) {
      if (layer.contains(field) && layer[field].is_number()) layer[field] = layer[field].get<int>() / 2;
    }
  }
  return spec;
}

struct Timed {
  std::function<void()> work;
  std::vector<double> times;
};

}  // namespace

json measure_sparse(const json& spec, const Kernels& kernels, const MeasureOptions& options) {
  constexpr double kSparsities[] = {0.5, 0.7, 0.8, 0.9, 0.95};
  constexpr double kTraining[] = {0, 0.5, 0.8, 0.9, 0.95};
  const auto dense = Model::create(spec, 1, nullptr);
  const int batch = options.batch_size;
  const auto image_size = static_cast<std::size_t>(dense->graph.input.shape.size());
  std::vector<std::uint8_t> images(image_size * static_cast<std::size_t>(batch));
  Random random(1, RandomStream::kDigits);
  for (std::uint8_t& byte : images) byte = static_cast<std::uint8_t>(random.below(256));
  std::vector<real> logits(static_cast<std::size_t>(batch * dense->graph.classes)), expected(logits);

  ThreadPool pool(options.threads);
  std::vector<std::unique_ptr<Model>> models;
  std::vector<std::unique_ptr<PackedModel>> packed;
  std::vector<Timed> blocks, singles, steps;
  const auto add = [&](const Model& model, const RuntimeOptions& how) {
    packed.push_back(std::make_unique<PackedModel>(model, kernels, pool, how));
    PackedModel* runs = packed.back().get();
    blocks.push_back({[=, &images, &logits] { runs->infer(images.data(), batch, logits.data()); }, {}});
    singles.push_back({[=, &images, &logits] {
                         for (int k = 0; k < batch; ++k) {
                           runs->infer(images.data() + static_cast<std::size_t>(k) * image_size, 1,
                                       logits.data());
                         }
                       },
                       {}});
  };
  add(*dense, {.format = "float32"});
  json rows = json::array();
  for (const double sparsity : kSparsities) {
    models.push_back(copy_of(*dense));
    prune(sparsity, *models.back());
    add(*models.back(), {});
    packed.back()->infer(images.data(), batch, logits.data());
    PackedModel(*models.back(), kernels, pool, {.format = "float32"})
        .infer(images.data(), batch, expected.data());
    json formats = json::array();
    for (const LayerExecution& layer : packed.back()->layers()) formats.push_back(layer.format);
    rows.push_back({{"sparsity", sparsity},
                    {"bytes", packed.back()->bytes()},
                    {"equals_dense", logits == expected},
                    {"formats", formats}});
  }
  const auto thin = Model::create(slimmed(spec), 1, nullptr);
  add(*thin, {});

  Dataset dataset{.name = "random",
                  .channels = dense->graph.input.shape.channels,
                  .height = dense->graph.input.shape.height,
                  .width = dense->graph.input.shape.width};
  for (int c = 0; c < dense->graph.classes; ++c) dataset.class_names.push_back(std::to_string(c));
  for (int i = 0; i < 4; ++i) {
    dataset.train.images.insert(dataset.train.images.end(), images.begin(), images.end());
    for (int k = 0; k < batch; ++k) {
      dataset.train.labels.push_back(static_cast<std::uint16_t>(k % dense->graph.classes));
    }
  }
  const TrainingConfig config{.epochs = 1000000, .batch_size = batch, .learning_rate = 1e-4};
  std::vector<std::unique_ptr<Trainer>> trainers;
  for (const double sparsity : kTraining) {
    models.push_back(copy_of(*dense));
    if (sparsity > 0) prune(sparsity, *models.back());
    trainers.push_back(std::make_unique<Trainer>(*models.back(), dataset, config, kernels, pool));
    steps.push_back({[trainer = trainers.back().get()] { trainer->step(); }, {}});
  }
  Recorder recorder(kernels);
  ThreadPool one(1);
  models.push_back(copy_of(*dense));
  prune(0.9, *models.back());
  Trainer recorded(*models.back(), dataset, config, recorder.kernels(), one);

  constexpr int kWindows = 16;
  const double window = options.seconds / (kWindows + 2) /
                        static_cast<double>(blocks.size() + singles.size() + steps.size() + 1);
  std::vector<double> unused;
  for (int i = -2; i < kWindows; ++i) {
    if (i == 0) {  // warm: browsers compile twice
      for (auto* all : {&blocks, &singles, &steps}) {
        for (Timed& timed : *all) timed.times.clear();
      }
      recorder.clear();
    }
    for (auto* all : {&blocks, &singles, &steps}) {
      for (Timed& timed : *all) time_calls(window, timed.times, timed.work);
    }
    time_calls(window, unused, [&] {
      recorded.step();
      recorder.end_step();
    });
  }

  const auto microseconds = [&](const Timed& timed) {
    return quantile(timed.times, options.quantile) / batch * 1e6;
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i]["microseconds"] = microseconds(blocks[i + 1]);
    rows[i]["speedup"] = microseconds(blocks[0]) / microseconds(blocks[i + 1]);
    rows[i]["single_microseconds"] = microseconds(singles[i + 1]);
    rows[i]["single_speedup"] = microseconds(singles[0]) / microseconds(singles[i + 1]);
  }
  json training = json::array();
  for (std::size_t i = 0; i < steps.size(); ++i) {
    training.push_back({{"sparsity", kTraining[i]},
                        {"microseconds_per_image", microseconds(steps[i])},
                        {"speedup", microseconds(steps[0]) / microseconds(steps[i])}});
  }
  json recorded_kernels = json::array();
  for (const KernelTime& time : recorder.times()) {
    recorded_kernels.push_back(
        {{"kernel", time.kernel},
         {"layer", time.layer},
         {"microseconds_per_image", quantile(time.steps, options.quantile) / batch * 1e6}});
  }
  return {{"model", dense->graph.name},
          {"kernels", kernels.name},
          {"threads", pool.threads()},
          {"batch_size", batch},
          {"dense_microseconds", microseconds(blocks[0])},
          {"dense_single_microseconds", microseconds(singles[0])},
          {"sparse", rows},
          {"slimmed",
           {{"microseconds", microseconds(blocks.back())},
            {"speedup", microseconds(blocks[0]) / microseconds(blocks.back())}}},
          {"training", training},
          {"kernels_at_90", recorded_kernels}};
}

}  // namespace espalier
