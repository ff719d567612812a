// Which integer kernels can be trusted on this processor.
#include <array>
#include <cstring>

#include "core/error.h"
#include "kernels/integer_kernels.h"

namespace espalier {
namespace {

// Four channels of the highest and the lowest codes and weights against the definition.
bool multiplies(const IntegerKernels& kernels) {
  constexpr int kMaxLanes = 16;
  const ConvShape shape{.in_channels = 4,
                        .in_height = 1,
                        .in_width = 1,
                        .out_channels = 4,
                        .out_height = 1,
                        .out_width = 1,
                        .kernel_height = 1,
                        .kernel_width = 1,
                        .stride_height = 1,
                        .stride_width = 1,
                        .dilation_height = 1,
                        .dilation_width = 1,
                        .pad_top = 0,
                        .pad_left = 0,
                        .groups = 1};
  constexpr std::array<std::int8_t, 16> kWeight{127, 127,  127, 127, -127, -127, -127, -127,
                                                127, -127, 1,   -1,  0,    64,   -3,   100};
  constexpr std::array<std::uint8_t, 7> kCodes{255, 0, 127, 128, 129, 200, 1};
  alignas(64) std::array<std::uint8_t, kMaxLanes * 4> in{};
  alignas(64) std::array<std::int16_t, 64> packed{};
  alignas(64) std::array<real, kMaxLanes * 4> out{};
  const std::array<std::int32_t, 8> start{5, -7, 0, 1, 0, 0, 0, 0};
  const std::array<float, 8> multiplier{1, 1, 1, 1, 0, 0, 0, 0};
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = kCodes[i * (i + 3) % kCodes.size()];
  kernels.conv_pack(shape, kWeight.data(), packed.data());
  kernels.conv_to_numbers(shape, in.data(), packed.data(),
                          {.start = start.data(), .multiplier = multiplier.data()}, out.data());
  for (std::size_t o = 0; o < 4; ++o) {
    for (std::size_t lane = 0; lane < static_cast<std::size_t>(kernels.lanes); ++lane) {
      int sum = start[o];
      for (std::size_t i = 0; i < 4; ++i) sum += kWeight[o * 4 + i] * in[lane * 4 + i];
      if (out[o * static_cast<std::size_t>(kernels.lanes) + lane] != static_cast<real>(sum)) return false;
    }
  }
  return true;
}

}  // namespace

const IntegerKernels& integer_kernels(const Kernels& kernels) {
  for (const IntegerKernels* const* candidate = kernels.integer; *candidate; ++candidate) {
    if (multiplies(**candidate)) return **candidate;
  }
  throw Error(ErrorCode::kUnsupported, "kernels", "integer products with known results came out wrong");
}

}  // namespace espalier
