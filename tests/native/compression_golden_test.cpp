// Quantization, distillation and pruning against PyTorch (tests/golden/make_compression.py made the values).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/kernels.h"
#include "quantize/scheme.h"
#include "train/tables.h"

namespace espalier {
namespace {

using nlohmann::json;

const json& golden() {
  static const json values = [] {
    std::ifstream file(std::string(ESPALIER_SOURCE_DIR) + "/tests/golden/compression.json");
    return json::parse(file);
  }();
  return values;
}

std::vector<real> numbers(const json& tensor) { return tensor["data"].get<std::vector<real>>(); }

TEST(CompressionGolden, symmetric_weights_quantize_as_in_pytorch) {
  for (const json& c : golden()["weights"]) {
    const int bits = c["bits"];
    const auto values = numbers(c["values"]), scale = numbers(c["scale"]), expected = numbers(c["quantized"]);
    auto gradient = numbers(c["upstream"]);
    const auto expected_gradient = numbers(c["gradient"]);
    const std::size_t row = values.size() / scale.size();
    for (std::size_t channel = 0; channel < scale.size(); ++channel) {
      const Grid grid{scale[channel], 0};
      const std::span<const real> group(values.data() + channel * row, row);
      std::vector<real> out(row);
      kSymmetric.fake_quantize(group, grid, bits, out.data());
      kSymmetric.backward(group, grid, bits, gradient.data() + channel * row);
      for (std::size_t i = 0; i < row; ++i) {
        const std::size_t at = channel * row + i;
        ASSERT_NEAR(out[i], expected[at], 1e-6) << bits << " bits, weight " << at;
        ASSERT_EQ(gradient[at], expected_gradient[at]) << bits << " bits, weight " << at;
      }
    }
  }
}

// PyTorch's learnable operator gives LSQ's gradient of the scale.
TEST(CompressionGolden, features_quantize_as_in_pytorch_on_every_kernel) {
  for (const Kernels* kernels : available_kernels()) {
    for (const json& c : golden()["activations"]) {
      const auto values = numbers(c["values"]), upstream = numbers(c["upstream"]);
      const auto expected = numbers(c["quantized"]), expected_gradient = numbers(c["gradient"]);
      const auto lanes = static_cast<std::size_t>(kernels->lanes);
      const std::size_t size = (values.size() + lanes - 1) / lanes * lanes;
      std::vector<real> in(size), grad_out(size), out(size), grad_in(size);
      std::copy(values.begin(), values.end(), in.begin());
      std::copy(upstream.begin(), upstream.end(), grad_out.begin());
      const real scale = c["scale"], zero_point = c["zero_point"];
      const auto highest = static_cast<real>((1 << c["bits"].get<int>()) - 1);
      kernels->quantize_forward(static_cast<int>(size), scale, zero_point, highest, in.data(), out.data());
      real grad_scale = 0;
      kernels->quantize_backward(static_cast<int>(size), scale, zero_point, highest, in.data(),
                                 grad_out.data(), grad_in.data(), &grad_scale);
      for (std::size_t i = 0; i < values.size(); ++i) {
        ASSERT_NEAR(out[i], expected[i], 2e-6) << kernels->name << ", feature " << i;
        ASSERT_EQ(grad_in[i], expected_gradient[i]) << kernels->name << ", feature " << i;
      }
      if (c.contains("scale_gradient")) {
        EXPECT_NEAR(grad_scale, c["scale_gradient"].get<double>(), 1e-4) << kernels->name;
      }
    }
  }
}

// Five images of a block; the lanes behind them are padding.
TEST(CompressionGolden, distillation_matches_pytorch) {
  for (const Kernels* kernels : available_kernels()) {
    for (const json& c : golden()["distillation"]) {
      const int images = 5, classes = 7, lanes = kernels->lanes;
      const auto student = numbers(c["student"]), teacher = numbers(c["teacher"]);
      const auto expected = c["gradient"]["data"].get<std::vector<double>>();
      std::vector<real> logits(static_cast<std::size_t>(classes * lanes)), gradient(logits.size());
      std::vector<Target> targets;
      for (int n = 0; n < images; ++n) {
        targets.push_back({.label = c["labels"][static_cast<std::size_t>(n)]});
        for (int k = 0; k < classes; ++k) {
          logits[static_cast<std::size_t>(k * lanes + n)] =
              student[static_cast<std::size_t>(n * classes + k)];
        }
      }
      const Teaching teaching{.outputs = teacher.data(),
                              .loss = find_loss("softmax_cross_entropy").function,
                              .temperature = c["temperature"],
                              .share = c["share"]};
      std::vector<double> losses(images);
      std::vector<int> predictions(images);
      distillation_loss({.kernels = *kernels,
                         .logits = logits.data(),
                         .grad_logits = gradient.data(),
                         .targets = targets.data(),
                         .losses = losses.data(),
                         .predictions = predictions.data(),
                         .valid = images,
                         .classes = classes,
                         .scale = real(1) / images,
                         .label_smoothing = 0,
                         .teaching = &teaching,
                         .teacher = teacher.data()});
      double loss = 0;
      for (const double x : losses) loss += x / images;
      EXPECT_NEAR(loss, c["loss"].get<double>(), 1e-5) << kernels->name;
      for (int n = 0; n < images; ++n) {
        for (int k = 0; k < classes; ++k) {
          ASSERT_NEAR(gradient[static_cast<std::size_t>(k * lanes + n)],
                      expected[static_cast<std::size_t>(n * classes + k)], 1e-6)
              << kernels->name << ", image " << n << ", class " << k;
        }
      }
    }
  }
}

}  // namespace
}  // namespace espalier
