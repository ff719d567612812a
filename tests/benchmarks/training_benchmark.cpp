// Whole training steps, images per second, for each preset and variant of the inner loops:
//
//   build/native/tests/benchmarks/training_benchmark --benchmark_filter=lenet5
//
// One thread, batch 64, momentum, random images; the dataset is small enough to stay in the cache.
#include <benchmark/benchmark.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/random.h"
#include "train/trainer.h"

namespace {

using namespace espalier;

Dataset random_images(int count) {
  Dataset dataset{.name = "random", .channels = 1, .height = 28, .width = 28};
  for (int c = 0; c < 10; ++c) dataset.class_names.push_back(std::to_string(c));
  Random random(1, RandomStream::kDigits);
  for (int i = 0; i < count; ++i) {
    for (int p = 0; p < 784; ++p)
      dataset.train.images.push_back(static_cast<std::uint8_t>(random.below(256)));
    dataset.train.labels.push_back(static_cast<std::uint16_t>(random.below(10)));
  }
  return dataset;
}

void train(benchmark::State& state, std::string preset, const Kernels& kernels) {
  const Dataset dataset = random_images(1024);
  const auto model = Model::create(preset_spec(preset, 1, 28, 28, 10), 1, &dataset);
  ThreadPool pool(1);
  Trainer trainer(*model, dataset, {.epochs = 1000000, .learning_rate = 1e-4}, kernels, pool);
  std::int64_t images = 0;
  for (auto _ : state) images += trainer.step().images;
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(images), benchmark::Counter::kIsRate);
  // Forward, input gradient and weight gradient cost the same; the first layer has no input gradient.
  state.counters["arena_MB"] = static_cast<double>(trainer.plan().arena_size) * sizeof(real) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  for (const Preset& preset : presets()) {
    for (const Kernels* kernels : available_kernels()) {
      const std::string name = std::string(preset.name) + "/" + std::string(kernels->name);
      benchmark::RegisterBenchmark(name.c_str(), [&preset, kernels](benchmark::State& state) {
        train(state, std::string(preset.name), *kernels);
      })->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
