// Networks of random layers and weights, for what must hold for all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/random.h"
#include "ops/op.h"
#include "train/trainer.h"

namespace espalier {

inline Random random_for(std::uint64_t seed) { return Random(seed, RandomStream::kInitialization, 1 << 20); }

// Weights as for a training, and everything else off its starting point.
inline std::unique_ptr<Model> model_of(const nlohmann::json& spec, std::uint64_t seed = 1) {
  auto model = Model::create(spec, seed, nullptr);
  Random random = random_for(seed);
  for (const Node& node : model->graph.nodes) {
    for (const ParameterInfo& info : node.parameters) {
      double low = 0, high = 0;
      if (info.name.ends_with(".bias")) low = -0.5, high = 0.5;
      if (info.name.ends_with(".running_mean")) low = -0.3, high = 0.3;
      if (info.name.ends_with(".running_variance")) low = -0.5, high = 0.5;
      if (node.op == &kBatchNorm && info.name.ends_with(".weight")) low = -0.5, high = 0.5;
      for (std::int64_t i = 0; i < info.size; ++i) {
        model->parameters.value[static_cast<std::size_t>(info.offset + i)] +=
            static_cast<real>(random.uniform(low, high));
      }
    }
    if (node.op == &kFakeQuantize) {
      real* value = model->parameters.value.data();
      value[node.parameters[0].offset] = real(4) / static_cast<real>(1 << node.attributes.bits);
      value[node.parameters[1].offset] = static_cast<real>(random.below(1u << node.attributes.bits));
    }
  }
  return model;
}

// Layers at random, one after the other and in residual and concatenated branches.
class NetworkGenerator {
 public:
  explicit NetworkGenerator(std::uint64_t seed) : random_(random_for(seed)) {}

  nlohmann::json spec() {
    shape_ = {between(1, 3), between(6, 11), between(6, 11)};
    const Shape input = shape_;
    const int classes = between(2, 4);
    const int blocks = between(2, 6);
    for (int i = 0; i < blocks; ++i) block();
    if (chance(0.3)) {
      add({{"type", "conv"}, {"out_channels", classes}, {"kernel", 1}});
      add({{"type", "global_avg_pool"}});
    } else {
      if (chance(0.3)) add({{"type", "global_avg_pool"}});
      if (chance(0.6)) add({{"type", "flatten"}});
      for (int i = between(0, 2); i > 0; --i) {
        add({{"type", "dense"}, {"units", between(2, 12)}, {"bias", chance(0.6)}, {"quantize", nullptr}});
        simple();
      }
      add({{"type", "dense"}, {"units", "classes"}, {"bias", chance(0.6)}, {"quantize", nullptr}});
    }
    return {{"input", {{"channels", input.channels}, {"height", input.height}, {"width", input.width}}},
            {"classes", classes},
            {"layers", layers_}};
  }

  int between(int low, int high) {
    return low + static_cast<int>(random_.below(static_cast<std::uint32_t>(high - low + 1)));
  }
  bool chance(double share) { return random_.uniform() < share; }

 private:
  static constexpr const char* kSchemes[] = {"affine",  "symmetric",    "ternary", "binary",
                                             "article", "power-of-two", "codebook"};

  void add(nlohmann::json layer) {
    if (layer.contains("quantize")) {
      layer.erase("quantize");
      if (chance(0.1)) {
        const std::string scheme = kSchemes[random_.below(7)];
        nlohmann::json q{{"scheme", scheme},
                         {"bits", scheme == "binary"    ? 1
                                  : scheme == "ternary" ? 2
                                                        : between(2, 8)}};
        const char* granularities[] = {"tensor", "channel", "group"};
        if (scheme != "codebook") q["granularity"] = granularities[random_.below(3)];
        if (q.value("granularity", "") == "group") q["group_size"] = between(1, 12);
        layer["quantize"] = q;
      }
    }
    layer["name"] = current_ = "l" + std::to_string(layers_.size());
    layers_.push_back(std::move(layer));
  }

  void simple() {
    const char* types[] = {"relu", "relu6", "leaky_relu", "tanh", "sigmoid", "dropout", "batch_norm"};
    for (int i = between(0, 2); i > 0; --i) add({{"type", types[random_.below(7)]}});
    if (chance(0.04)) add({{"type", "fake_quantize"}, {"bits", between(4, 8)}});
  }

  // Keeps height and width.
  void convolution(int out_channels) {
    add({{"type", "conv"},
         {"out_channels", out_channels},
         {"kernel", {between(1, 3), between(1, 3)}},
         {"dilation", between(1, 2)},
         {"padding", "same"},
         {"bias", chance(0.5)},
         {"quantize", nullptr}});
    shape_.channels = out_channels;
  }

  void branch(int out_channels) {
    convolution(chance(0.5) ? out_channels : between(1, 8));
    simple();
    if (shape_.channels != out_channels || chance(0.3)) convolution(out_channels);
    if (chance(0.5)) add({{"type", "batch_norm"}});
  }

  void block() {
    const std::string start = current_;
    const Shape shape = shape_;
    switch (between(0, 6)) {
      case 0:
        convolution(between(1, 9));
        break;
      case 1:
        window("conv");
        break;
      case 2:
        window(chance(0.5) ? "max_pool" : "avg_pool");
        return;
      case 3: {  // residual
        branch(shape.channels);
        const std::string one = current_;
        std::string other = start;
        if (chance(0.4)) {
          add({{"type", "conv"},
               {"inputs", {start}},
               {"out_channels", shape.channels},
               {"kernel", 1},
               {"bias", chance(0.5)}});
          if (chance(0.5)) add({{"type", "batch_norm"}});
          other = current_;
        }
        add({{"type", "add"},
             {"inputs", chance(0.2) ? nlohmann::json{one, other, one} : nlohmann::json{one, other}}});
        break;
      }
      case 4: {  // concatenation
        branch(between(1, 5));
        const std::string one = current_;
        const int channels = shape_.channels;
        add({{"type", "conv"},
             {"inputs", {start}},
             {"out_channels", between(1, 5)},
             {"kernel", 3},
             {"padding", 1},
             {"bias", chance(0.5)}});
        shape_.channels = layers_.back()["out_channels"].get<int>() + channels;
        simple();
        nlohmann::json inputs{one, current_};
        if (chance(0.3)) {
          inputs.push_back(start);
          shape_.channels += shape.channels;
        }
        add({{"type", "concat"}, {"inputs", inputs}});
        break;
      }
      case 5: {  // grouped
        const int groups = chance(0.5)                ? shape_.channels
                           : shape_.channels % 3 == 0 ? 3
                           : shape_.channels % 2 == 0 ? 2
                                                      : 1;
        const int out_channels = groups * between(1, groups > 4 ? 2 : 3);
        add({{"type", "conv"},
             {"out_channels", out_channels},
             {"kernel", 3},
             {"groups", groups},
             {"padding", chance(0.7) ? "same" : "valid"},
             {"bias", chance(0.5)},
             {"quantize", nullptr}});
        if (layers_.back()["padding"] == "valid" && (shape_.height < 4 || shape_.width < 4))
          layers_.back()["padding"] = "same";
        if (layers_.back()["padding"] == "valid") shape_.height -= 2, shape_.width -= 2;
        shape_.channels = out_channels;
        break;
      }
      case 6:
        simple();
        return;
    }
    if (chance(0.6)) add({{"type", "batch_norm"}});
    simple();
  }

  // Strides, dilations and uneven paddings.
  void window(const std::string& type) {
    const bool conv = type == "conv";
    const int kernel[] = {between(1, 3), between(1, 3)}, stride[] = {between(1, 2), between(1, 3)};
    const int dilation = conv ? between(1, 2) : 1;
    int extents[] = {shape_.height, shape_.width}, padding[4];
    for (int axis = 0; axis < 2; ++axis) {
      const int reach = (kernel[axis] - 1) * dilation + 1;
      int& extent = extents[axis];
      for (const int side : {axis, axis + 2}) padding[side] = chance(0.5) ? 0 : between(0, reach - 1);
      if (extent + padding[axis] + padding[axis + 2] < reach) return;
      extent = (extent + padding[axis] + padding[axis + 2] - reach) / stride[axis] + 1;
    }
    nlohmann::json layer{{"type", type}, {"kernel", kernel}, {"stride", stride}, {"padding", padding}};
    if (conv) {
      layer["out_channels"] = shape_.channels = between(1, 9);
      layer["dilation"] = dilation;
      layer["bias"] = chance(0.5);
      layer["quantize"] = nullptr;
    }
    add(std::move(layer));
    shape_.height = extents[0];
    shape_.width = extents[1];
  }

  Random random_;
  nlohmann::json layers_ = nlohmann::json::array();
  std::string current_ = "input";
  Shape shape_;
};

}  // namespace espalier
