#include "bench/measure_inference.h"

#include <algorithm>
#include <cmath>
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
#include "runtime/reference.h"

namespace espalier {
namespace {

using nlohmann::json;

struct Weights {
  const QuantizationScheme* scheme = &kSymmetric;
  int bits = 8;
  double density = 1;  // the others are 0
};

// Eight bits for features, unless weights are a codebook's, which runs on numbers. Random weights keep a
// signal's size, so one grid serves all features.
std::unique_ptr<Model> quantized(const Model& model, const Weights& how = {}) {
  const bool numbers = !how.scheme || how.scheme->codebook;
  const std::vector<WeightQuantization> weights(model.graph.nodes.size(),
                                                {.scheme = how.scheme, .bits = how.bits});
  auto result = rewritten(model, quantized_spec(model.graph, weights, numbers ? 0 : 8, false));
  real* value = result->parameters.value.data();
  Random random(2, RandomStream::kDigits);
  for (const Node& node : result->graph.nodes) {
    if (node.op == &kFakeQuantize) {
      value[node.parameters[0].offset] = real(4) / 255;
      value[node.parameters[1].offset] = 64;
    }
    if (!has_weights(node)) continue;
    for (std::int64_t i = 0; i < weight_of(node).size; ++i) {
      if (random.uniform() >= how.density) value[weight_of(node).offset + i] = 0;
    }
    if (!how.scheme) continue;
    if (how.scheme->codebook) {
      const ParameterInfo& levels = *codebook_of(node);
      const ParameterInfo& index = *codebook_index_of(node);
      for (std::int64_t i = 1; i < levels.size; ++i) {
        value[levels.offset + i] = static_cast<real>(random.uniform(-0.1, 0.1));
      }
      for (std::int64_t i = 0; i < index.size; ++i) {
        value[index.offset + i] = static_cast<real>(random.below(static_cast<std::uint32_t>(levels.size)));
      }
    } else {
      fit_weights(node, RangeMethod::kMinMax, value);
    }
  }
  return result;
}

// Half of all channels, but for the last layer's.
json slimmed(json spec) {
  json& layers = spec["layers"];
  for (std::size_t i = 0; i + 1 < layers.size(); ++i) {
    for (const char* field : {"out_channels", "units"}) {
      if (layers[i].contains(field) && layers[i][field].is_number()) {
        layers[i][field] = (layers[i][field].get<int>() + 1) / 2;
      }
    }
  }
  return spec;
}

std::vector<std::uint8_t> random_images(const Model& model, int count) {
  std::vector<std::uint8_t> images(
      static_cast<std::size_t>(model.graph.input.shape.size() * std::int64_t{count}));
  Random random(1, RandomStream::kDigits);
  for (std::uint8_t& byte : images) byte = static_cast<std::uint8_t>(random.below(256));
  return images;
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

// FNV-1a.
constexpr std::uint32_t kEmptyHash = 2166136261u;
constexpr std::uint32_t add_to_hash(std::uint32_t hash, std::uint8_t byte) {
  return (hash ^ byte) * 16777619u;
}

// Of the bits of the numbers.
std::uint32_t checksum(const std::vector<real>& numbers) {
  std::uint32_t hash = kEmptyHash;
  const auto* bytes = reinterpret_cast<const unsigned char*>(numbers.data());
  for (std::size_t i = 0; i < numbers.size() * sizeof(real); ++i) hash = add_to_hash(hash, bytes[i]);
  return hash;
}

}  // namespace

json measure_inference(const json& spec, const Kernels& kernels, const MeasureOptions& options) {
  const auto model = fold_batch_norm(*Model::create(spec, 1, nullptr));
  const auto eight_bits = quantized(*model);
  const auto image_size = static_cast<std::size_t>(model->graph.input.shape.size());
  const auto images = random_images(*model, options.batch_size);
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

json measure_formats(const json& spec, const Kernels& kernels, const MeasureOptions& options) {
  const auto model = fold_batch_norm(*Model::create(spec, 1, nullptr));
  struct Row {
    const char* name;
    Weights weights;
  };
  static constexpr Row kRows[] = {{"int8", {}},
                                  {"int4", {&kSymmetric, 4}},
                                  {"int2", {&kTernary, 2}},
                                  {"int1", {&kBinary, 1}},
                                  {"int8, 90 % pruned", {&kSymmetric, 8, 0.1}},
                                  {"int8, 95 % pruned", {&kSymmetric, 8, 0.05}},
                                  {"codebook, 4 bits", {&kCodebook, 4}},
                                  {"codebook, 5 bits", {&kCodebook, 5}},
                                  {"float, 90 % pruned", {nullptr, 8, 0.1}},
                                  {"float, 95 % pruned", {nullptr, 8, 0.05}}};
  ThreadPool pool(1);
  const auto images = random_images(*model, options.batch_size);
  std::vector<real> logits(static_cast<std::size_t>(options.batch_size * model->graph.classes));

  struct Contestant {
    std::string name;
    std::unique_ptr<PackedModel> packed;
    std::vector<double> times;
  };
  FloatRunner floats(*model, kernels, pool, options.batch_size);
  std::vector<double> float_times;
  std::vector<Contestant> contestants;
  for (const Row& row : kRows) {
    contestants.push_back(
        {row.name, std::make_unique<PackedModel>(*quantized(*model, row.weights), kernels, pool), {}});
  }
  const auto narrow = fold_batch_norm(*Model::create(slimmed(spec), 1, nullptr));
  contestants.push_back(
      {"float, half of the channels", std::make_unique<PackedModel>(*narrow, kernels, pool), {}});
  contestants.push_back(
      {"int8, half of the channels", std::make_unique<PackedModel>(*quantized(*narrow), kernels, pool), {}});

  constexpr int kWindows = 12;
  const double window = options.seconds / (kWindows + 2) / static_cast<double>(contestants.size() + 1);
  for (int i = -2; i < kWindows; ++i) {
    if (i == 0) {  // warm: browsers compile twice
      float_times.clear();
      for (Contestant& c : contestants) c.times.clear();
    }
    time_calls(window, float_times, [&] { floats.infer(images.data(), options.batch_size, logits.data()); });
    for (Contestant& c : contestants) {
      time_calls(window, c.times, [&] { c.packed->infer(images.data(), options.batch_size, logits.data()); });
    }
  }
  const auto microseconds = [&](const std::vector<double>& times) {
    return quantile(times, options.quantile) / options.batch_size * 1e6;
  };
  json rows = json::array();
  for (const Contestant& c : contestants) {
    std::string formats;
    for (const LayerExecution& layer : c.packed->layers()) {
      if (formats.find(layer.format) == std::string::npos)
        formats += (formats.empty() ? "" : ", ") + layer.format;
    }
    rows.push_back({{"name", c.name},
                    {"formats", formats},
                    {"bytes", c.packed->bytes()},
                    {"microseconds", microseconds(c.times)},
                    {"speedup", microseconds(float_times) / microseconds(c.times)}});
  }
  return {{"model", model->graph.name},
          {"kernels", kernels.name},
          {"integer_kernels", integer_kernels(kernels).name},
          {"batch_size", options.batch_size},
          {"float_microseconds", microseconds(float_times)},
          {"rows", rows}};
}

namespace {

json break_even_of_layers(const Model& model, const Kernels& kernels, const MeasureOptions& options) {
  constexpr double kDensities[] = {0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5};
  ThreadPool pool(1);
  const auto images = random_images(model, kernels.lanes);
  json layers = json::array();
  for (const double density : kDensities) {
    const auto pruned = quantized(model, {&kSymmetric, 8, density});
    PackedModel dense(*pruned, kernels, pool, {.format = "int8"});
    PackedModel sparse(*pruned, kernels, pool, {.format = "sparse_int8"});
    std::size_t at = 0;
    for (int i = 0; i < sparse.instruction_count(); ++i) {
      const std::string name(sparse.instruction_name(i));
      const auto layer = std::find_if(sparse.layers().begin(), sparse.layers().end(),
                                      [&](const LayerExecution& l) { return l.layer == name; });
      if (layer == sparse.layers().end() || layer->format != "sparse_int8") continue;
      const auto seconds = [&](PackedModel& packed) {
        constexpr int kRepetitions = 50;
        std::vector<double> times;
        time_calls(options.seconds / 200, times, [&] {
          for (int k = 0; k < kRepetitions; ++k) packed.run_instruction(i, images.data(), kernels.lanes);
        });
        return quantile(times, options.quantile) / kRepetitions / kernels.lanes;
      };
      seconds(dense), seconds(sparse);  // warm
      if (at == layers.size()) layers.push_back({{"layer", name}, {"rows", json::array()}});
      layers[at++]["rows"].push_back({{"density", density},
                                      {"share", 1 - std::pow(1 - density, 4)},
                                      {"dense_microseconds", seconds(dense) * 1e6},
                                      {"sparse_microseconds", seconds(sparse) * 1e6}});
    }
  }
  return layers;
}

}  // namespace

json measure_break_even(const json& spec, const Kernels& kernels, const MeasureOptions& options) {
  const auto model = fold_batch_norm(*Model::create(spec, 1, nullptr));
  return {{"model", model->graph.name},
          {"kernels", kernels.name},
          {"integer_kernels", integer_kernels(kernels).name},
          {"layers", break_even_of_layers(*model, kernels, options)},
          {"single_layers", break_even_of_layers(*model, *kernels.single, options)}};
}

json check_requantizations(const IntegerKernels& kernels) {
  // Convolutions without any weight: the codes are those of the sums that they begin with.
  constexpr int kChannels = 4096, kRounds = 2442;
  const ConvShape shape{.in_channels = 4, .out_channels = kChannels};
  const std::vector<std::int8_t> weight(kChannels * 4);
  aligned_vector<std::uint8_t> packed(static_cast<std::size_t>(kernels.conv_packed_size(shape)));
  kernels.conv_pack(shape, weight.data(), packed.data());
  const std::size_t pixel = static_cast<std::size_t>(kernels.lanes) * 4;
  aligned_vector<std::uint8_t> in(pixel), out(pixel * kChannels / 4 + kCodeSlack);
  std::vector<std::int32_t> start(kChannels + kMoreChannels);
  std::vector<float> multiplier(kChannels + kMoreChannels);
  Random random(7, RandomStream::kInitialization);
  std::uint32_t hash = kEmptyHash, definition = kEmptyHash;
  for (int round = 0; round < kRounds; ++round) {
    const int zero_point = static_cast<int>(random.below(256));
    const int lowest = random.below(2) ? zero_point : 0;
    const int highest = 255 - static_cast<int>(random.below(static_cast<std::uint32_t>(256 - zero_point)));
    for (std::size_t i = 0; i < kChannels; ++i) {
      const auto bits = static_cast<std::int32_t>(random.below(0xffffffffu));
      start[i] = bits >> random.below(31);
      // Now and then a power of two, which makes ties; else 8 to 32 bits below it.
      const float power = std::ldexp(1.0f, -static_cast<int>(random.below(24)));
      multiplier[i] = random.below(4) ? power * static_cast<float>(random.uniform(0.5, 1)) : power;
    }
    kernels.conv_to_codes(shape, in.data(), packed.data(),
                          {.start = start.data(),
                           .multiplier = multiplier.data(),
                           .zero_point = zero_point,
                           .lowest = lowest,
                           .highest = highest},
                          out.data());
    for (std::size_t i = 0; i < kChannels; ++i) {
      const int code = requantized(start[i], multiplier[i], zero_point, lowest, highest);
      definition = add_to_hash(definition, static_cast<std::uint8_t>(code));
      hash = add_to_hash(hash, out[i / 4 * pixel + i % 4]);
    }
  }
  return {{"integer_kernels", kernels.name},
          {"count", std::int64_t{kChannels} * kRounds},
          {"hash", hash},
          {"definition", definition}};
}

}  // namespace espalier
