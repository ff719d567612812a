#include "bench/measure_inference.h"

#include <memory>
#include <string>
#include <vector>

#include "bench/timing.h"
#include "compress/fold_batch_norm.h"
#include "compress/quantize/rewrite.h"
#include "core/random.h"
#include "data/batcher.h"
#include "kernels/integer_kernels.h"
#include "ops/weights.h"
#include "runtime/packed_model.h"

namespace espalier {
namespace {

using nlohmann::json;

// Eight bits everywhere. Random weights keep a signal's size, so one grid serves all features.
std::unique_ptr<Model> quantized(const Model& model) {
  const std::vector<WeightQuantization> weights(model.graph.nodes.size(), {.scheme = &kSymmetric});
  auto result = rewritten(model, quantized_spec(model.graph, weights, 8, false));
  real* value = result->parameters.value.data();
  for (const Node& node : result->graph.nodes) {
    if (node.op == &kFakeQuantize) {
      value[node.parameters[0].offset] = real(4) / 255;
      value[node.parameters[1].offset] = 64;
    }
    if (has_weights(node)) fit_weights(node, RangeMethod::kMinMax, value);
  }
  return result;
}

// What the page does with images: bytes to numbers, numbers through the graph.
class FloatRunner {
 public:
  FloatRunner(const Model& model, const Kernels& kernels, ThreadPool& pool, int batch)
      : pool_(pool),
        batcher_(model.graph.input.shape.channels, model.graph.input.shape.height,
                 model.graph.input.shape.width, kernels.lanes, batch, model.graph.input.mean,
                 model.graph.input.standard_deviation),
        executor_(model.graph, kernels, pool, {.max_batch = batch}) {
    executor_.prepare(model.parameters);
  }
  void infer(const std::uint8_t* images, int count, real* logits) {
    batcher_.load_plain(images, count, pool_);
    executor_.infer({.images = batcher_.images(), .count = count}, logits);
  }

 private:
  ThreadPool& pool_;
  Batcher batcher_;
  Executor executor_;
};

// FNV-1a over the bits of the numbers.
std::uint32_t checksum(const std::vector<real>& numbers) {
  std::uint32_t hash = 2166136261u;
  const auto* bytes = reinterpret_cast<const unsigned char*>(numbers.data());
  for (std::size_t i = 0; i < numbers.size() * sizeof(real); ++i) hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

}  // namespace

json measure_inference(const json& spec, const Kernels& kernels, const MeasureOptions& options) {
  const auto model = fold_batch_norm(*Model::create(spec, 1, nullptr));
  const auto eight_bits = quantized(*model);
  const auto image_size = static_cast<std::size_t>(model->graph.input.shape.size());
  std::vector<std::uint8_t> images(image_size * static_cast<std::size_t>(options.batch_size));
  Random random(1, RandomStream::kDigits);
  for (std::uint8_t& byte : images) byte = static_cast<std::uint8_t>(random.below(256));
  std::vector<real> logits(static_cast<std::size_t>(options.batch_size * model->graph.classes));

  ThreadPool pool(options.threads), one(1);
  FloatRunner floats(*model, kernels, pool, options.batch_size);
  FloatRunner single_floats(*model, *kernels.single, one, 1);
  PackedModel packed(*eight_bits, kernels, pool);

  constexpr int kWindows = 16;
  const double window = options.seconds / (kWindows + 2) / 4;
  std::vector<double> float_times, packed_times, single_float_times, single_packed_times;
  for (int i = -2; i < kWindows; ++i) {
    if (i == 0) {  // warm: browsers compile twice
      for (auto* times : {&float_times, &packed_times, &single_float_times, &single_packed_times}) {
        times->clear();
      }
    }
    time_calls(window, float_times, [&] { floats.infer(images.data(), options.batch_size, logits.data()); });
    time_calls(window, packed_times, [&] { packed.infer(images.data(), options.batch_size, logits.data()); });
    // Sixty-four at a time: a browser's clock is coarse.
    time_calls(window, single_float_times, [&] {
      for (int k = 0; k < options.batch_size; ++k) {
        single_floats.infer(images.data() + static_cast<std::size_t>(k) * image_size, 1, logits.data());
      }
    });
    time_calls(window, single_packed_times, [&] {
      for (int k = 0; k < options.batch_size; ++k) {
        packed.infer(images.data() + static_cast<std::size_t>(k) * image_size, 1, logits.data());
      }
    });
  }
  const auto microseconds = [&](const std::vector<double>& times) {
    return quantile(times, options.quantile) / options.batch_size * 1e6;
  };

  const int few = std::min(options.batch_size, 32);
  std::vector<real> outputs(static_cast<std::size_t>(few * model->graph.classes)), expected(outputs),
      alone(outputs);
  packed.infer(images.data(), few, outputs.data());
  for (int k = 0; k < few; ++k) {
    packed.infer(images.data() + static_cast<std::size_t>(k) * image_size, 1,
                 alone.data() + k * model->graph.classes);
  }
  PackedModel(*eight_bits, kernels, one, {.reference = true}).infer(images.data(), few, expected.data());

  json layers = json::array();
  for (int i = 0; i < packed.instruction_count(); ++i) {
    constexpr int kRepetitions = 50;
    std::vector<double> times;
    time_calls(options.seconds / 4 / packed.instruction_count(), times, [&] {
      for (int k = 0; k < kRepetitions; ++k) packed.run_instruction(i, images.data(), kernels.lanes);
    });
    const double seconds = quantile(times, options.quantile) / kRepetitions / kernels.lanes;
    layers.push_back({{"layer", packed.instruction_name(i)}, {"microseconds_per_image", seconds * 1e6}});
  }
  return {{"model", model->graph.name},
          {"kernels", kernels.name},
          {"integer_kernels", integer_kernels(kernels).name},
          {"threads", pool.threads()},
          {"batch_size", options.batch_size},
          {"float_microseconds", microseconds(float_times)},
          {"int8_microseconds", microseconds(packed_times)},
          {"speedup", microseconds(float_times) / microseconds(packed_times)},
          {"single_float_microseconds", microseconds(single_float_times)},
          {"single_int8_microseconds", microseconds(single_packed_times)},
          {"equals_reference", outputs == expected && alone == expected},
          {"checksum", checksum(outputs)},
          {"layers", layers}};
}

}  // namespace espalier
