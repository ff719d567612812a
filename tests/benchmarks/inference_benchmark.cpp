// Inference natively, one thread unless the name says otherwise, for each variant of the inner loops: one
// image by itself, the same image as a block of which it is the only one, and a whole test set of 10,000.
//
//   build/native/tests/benchmarks/inference_benchmark --benchmark_filter='lenet5/one_image'
//
// In Chromium: inference.bench.ts.
#include <benchmark/benchmark.h>

#include <nlohmann/json.hpp>
#include <string>

#include "data/digits.h"
#include "train/trainer.h"

namespace {

using namespace espalier;

const Dataset& digits() {
  static const Dataset dataset = synthetic_digits(10, 10000, 1);
  return dataset;
}

std::unique_ptr<Model> model_of(std::string_view preset) {
  return Model::create(preset_spec(std::string(preset), 1, 28, 28, 10), 1, &digits());
}

// From bytes to probabilities.
void one_image(benchmark::State& state, std::string_view preset, const Kernels& kernels) {
  const auto model = model_of(preset);
  ThreadPool pool(1);
  Predictor predictor(*model, kernels, pool);
  std::vector<real> probabilities(10);
  for (auto _ : state) predictor.predict(digits().test.images.data(), 1, probabilities.data());
}

// The graph alone.
void one_in_a_block(benchmark::State& state, std::string_view preset, const Kernels& kernels) {
  const auto model = model_of(preset);
  ThreadPool pool(1);
  Executor executor(model->graph, kernels, pool, {.max_batch = 1});
  executor.prepare(model->parameters);
  const aligned_vector<real> images(static_cast<std::size_t>(784 * kernels.lanes), real(0.5));
  std::vector<real> logits(10);
  for (auto _ : state) executor.infer({.images = images.data(), .count = 1}, logits.data());
}

void test_set(benchmark::State& state, std::string_view preset, const Kernels& kernels, int threads) {
  const auto model = model_of(preset);
  ThreadPool pool(threads);
  for (auto _ : state) {
    benchmark::DoNotOptimize(evaluate(*model, digits(), digits().test, kernels, pool).accuracy);
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const Preset& preset : presets()) {
    for (const Kernels* kernels : available_kernels()) {
      const auto add = [&](const std::string& what, auto run) {
        const std::string name = std::string(preset.name) + "/" + what + "/" + std::string(kernels->name);
        return benchmark::RegisterBenchmark(name.c_str(), [&preset, kernels, run](benchmark::State& state) {
          run(state, preset.name, *kernels);
        });
      };
      add("one_image", one_image)->Unit(benchmark::kMicrosecond);
      add("one_in_a_block", one_in_a_block)->Unit(benchmark::kMicrosecond);
      for (const int threads : {1, 2}) {
        const auto evaluation = [threads](benchmark::State& state, std::string_view name, const Kernels& k) {
          test_set(state, name, k, threads);
        };
        add("test_set_threads_" + std::to_string(threads), evaluation)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
