// Training steps on one and on two threads, and what their data costs: for each preset the medians of a step
// without augmentation, with the standard one, and of making that batch alone.
//
//   build/native/tests/benchmarks/scaling_benchmark [preset …] [--kernels NAME] [--rounds N]
//
// Everything is measured in turn, round by round, so that a noisy machine is noisy for all alike. The last
// column proves that both thread counts trained to the same bits.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/random.h"
#include "train/trainer.h"

namespace {

using namespace espalier;

constexpr int kBatch = 64;

Dataset random_images(int count, int channels, int size) {
  Dataset dataset{.name = "random", .channels = channels, .height = size, .width = size};
  for (int c = 0; c < 10; ++c) dataset.class_names.push_back(std::to_string(c));
  Random random(1, RandomStream::kDigits);
  for (int i = 0; i < count; ++i) {
    for (int p = 0; p < channels * size * size; ++p)
      dataset.train.images.push_back(static_cast<std::uint8_t>(random.below(256)));
    dataset.train.labels.push_back(static_cast<std::uint16_t>(random.below(10)));
  }
  return dataset;
}

double milliseconds(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Contestant {
  ThreadPool pool;
  std::unique_ptr<Model> model;
  Trainer trainer;
  std::vector<double> step_times;

  Contestant(const std::string& preset, const Dataset& dataset, const Kernels& kernels, int threads,
             const std::string& augment)
      : pool(threads),
        model(Model::create(preset_spec(preset, dataset.channels, dataset.height, dataset.width, 10), 1,
                            &dataset)),
        trainer(*model, dataset,
                {.epochs = 1000000, .batch_size = kBatch, .learning_rate = 1e-4, .augment = augment}, kernels,
                pool) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      trainer.step();
      step_times.push_back(milliseconds(begin));
    }
  }
};

void measure(const std::string& preset, const Kernels& kernels, int rounds) {
  const Dataset dataset = random_images(1024, 1, 28);
  const Augmentation standard = parse_augmentation("standard");
  Contestant one(preset, dataset, kernels, 1, "none"), two(preset, dataset, kernels, 2, "none");
  Contestant one_augmented(preset, dataset, kernels, 1, "standard");
  Contestant two_augmented(preset, dataset, kernels, 2, "standard");
  Batcher batcher(1, 28, 28, kernels.lanes, kBatch, {}, {});
  std::vector<double> batch_times, plain_times;
  const auto load = [&](const Augmentation& augmentation, std::uint64_t epoch) {
    const auto begin = std::chrono::steady_clock::now();
    batcher.load_training(dataset.train, augmentation,
                          {.population = dataset.train.count(),
                           .seed = 1,
                           .epoch = epoch / 16,
                           .first = static_cast<int>(epoch % 16) * kBatch,
                           .count = kBatch},
                          one.pool);
    return milliseconds(begin);
  };
  for (int round = 0; round < rounds; ++round) {
    for (Contestant* contestant : {&one, &two, &one_augmented, &two_augmented}) contestant->run(8);
    for (int i = 1; i < 8; ++i) {
      batch_times.push_back(load(standard, static_cast<std::uint64_t>(i)));
      plain_times.push_back(load({}, static_cast<std::uint64_t>(i)));
    }
  }
  const double t1 = median(one.step_times), t2 = median(two.step_times);
  const double a1 = median(one_augmented.step_times), a2 = median(two_augmented.step_times);
  const bool same = one.model->parameters.value == two.model->parameters.value &&
                    one_augmented.model->parameters.value == two_augmented.model->parameters.value;
  std::printf("%-14s %8.3f %8.3f %7.2fx %9.3f %8.3f %7.2fx %9.3f %6.1f%% %9.3f %6.1f%%  %s\n", preset.c_str(),
              t1, t2, t1 / t2, a1, a2, a1 / a2, median(batch_times), 100 * median(batch_times) / a1,
              median(plain_times), 100 * median(plain_times) / t1, same ? "same bits" : "DIFFERENT");
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names;
  std::string kernels = "auto";
  int rounds = 15;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--kernels") && i + 1 < argc) {
      kernels = argv[++i];
    } else if (!std::strcmp(argv[i], "--rounds") && i + 1 < argc) {
      rounds = std::atoi(argv[++i]);
    } else {
      names.emplace_back(argv[i]);
    }
  }
  if (names.empty()) {
    for (const Preset& preset : presets()) names.emplace_back(preset.name);
  }
  const Kernels& chosen = select_kernels(kernels);
  std::printf("%s, batch %d, medians in ms\n", std::string(chosen.name).c_str(), kBatch);
  std::printf("%-14s %8s %8s %8s %9s %8s %8s %9s %7s %9s %7s\n", "preset", "1 thread", "2", "", "augmented",
              "2", "", "its batch", "share", "plain one", "share");
  for (const std::string& name : names) measure(name, chosen, rounds);
}
