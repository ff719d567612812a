// Which variants this build has, which of them this processor runs, and the known answers that
// decide. Feature detection alone has been wrong before (DESIGN.md section 3).
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/aligned.h"
#include "core/error.h"
#include "kernels/kernels.h"

namespace espalier {

#define ESPALIER_DECLARE(variant) \
  namespace variant {             \
  extern const Kernels kKernels;  \
  }
#if defined(ESPALIER_HAS_RELAXED)
ESPALIER_DECLARE(relaxed)
#else
ESPALIER_DECLARE(plain)
#endif
#if defined(ESPALIER_HAS_AVX)
ESPALIER_DECLARE(avx2)
ESPALIER_DECLARE(avx512)
#endif

std::span<const Kernels* const> available_kernels() {
  static const std::vector<const Kernels*> available = [] {
    std::vector<const Kernels*> list;
#if defined(ESPALIER_HAS_RELAXED)
    list.push_back(&relaxed::kKernels);
#else
    list.push_back(&plain::kKernels);
#endif
#if defined(ESPALIER_HAS_AVX)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list.push_back(&avx2::kKernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
      list.push_back(&avx512::kKernels);
    }
#endif
    return list;
  }();
  return available;
}

namespace {

// Whether the variant's convolution rounds a product and a sum once: (1 + 2^-12)^2 - 1 - 2^-11 is
// 2^-24 exactly when it does and 0 when the product is rounded to float first.
bool rounds_once(const Kernels& kernels) {
  static constexpr ConvShape kOne;
  const auto x = static_cast<real>(1.0 + 1.0 / 4096.0);
  const auto bias = static_cast<real>(-(1.0 + 1.0 / 2048.0));
  alignas(64) std::array<real, 16> in, packed{}, out{};
  in.fill(x);
  kernels.conv_pack_forward(kOne, &x, packed.data());
  kernels.conv_forward(kOne, in.data(), packed.data(), &bias, out.data());
  return out[0] != 0;
}

// A 3 x 3 convolution with integer values, whose result is exact in any order of summation,
// against the definition.
bool convolves(const Kernels& kernels) {
  constexpr int kChannels = 3, kFilters = 7, kSize = 6;
  static constexpr ConvShape kShape{.in_channels = kChannels,
                                    .in_height = kSize,
                                    .in_width = kSize,
                                    .out_channels = kFilters,
                                    .out_height = kSize,
                                    .out_width = kSize,
                                    .kernel_height = 3,
                                    .kernel_width = 3,
                                    .pad_top = 1,
                                    .pad_left = 1};
  const int lanes = kernels.lanes;
  const auto at = [](int i, int modulus) { return static_cast<real>((i * 37 + 11) % modulus - modulus / 2); };
  aligned_vector<real> in(static_cast<std::size_t>(kChannels * kSize * kSize * lanes));
  aligned_vector<real> weight(kFilters * kChannels * 9), packed(kFilters * kChannels * 9 + 64);
  aligned_vector<real> bias(kFilters), out(static_cast<std::size_t>(kFilters * kSize * kSize * lanes));
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = at(static_cast<int>(i), 17);
  for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = at(static_cast<int>(i), 13);
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = at(static_cast<int>(i), 5);
  kernels.conv_pack_forward(kShape, weight.data(), packed.data());
  aligned_vector<real> scratch;
  const real* arranged = in.data();
  if (kernels.conv_arrange) {
    scratch.resize(static_cast<std::size_t>(kernels.conv_scratch(kShape)));
    arranged = kernels.conv_arrange(kShape, in.data(), scratch.data());
  }
  kernels.conv_forward(kShape, arranged, packed.data(), bias.data(), out.data());
  for (int o = 0; o < kFilters; ++o) {
    for (int y = 0; y < kSize; ++y) {
      for (int x = 0; x < kSize; ++x) {
        for (int lane = 0; lane < lanes; ++lane) {
          real sum = bias[static_cast<std::size_t>(o)];
          for (int c = 0; c < kChannels; ++c) {
            for (int ky = 0; ky < 3; ++ky) {
              for (int kx = 0; kx < 3; ++kx) {
                const int iy = y + ky - 1, ix = x + kx - 1;
                if (iy < 0 || ix < 0 || iy >= kSize || ix >= kSize) continue;
                sum += weight[static_cast<std::size_t>(((o * kChannels + c) * 3 + ky) * 3 + kx)] *
                       in[static_cast<std::size_t>(((c * kSize + iy) * kSize + ix) * lanes + lane)];
              }
            }
          }
          if (sum != out[static_cast<std::size_t>(((o * kSize + y) * kSize + x) * lanes + lane)])
            return false;
        }
      }
    }
  }
  return true;
}

bool exponentiates(const Kernels& kernels) {
  alignas(64) std::array<real, 32> logits{}, terms{};
  alignas(64) std::array<real, 16> sums{}, largest{};
  for (int lane = 0; lane < kernels.lanes; ++lane) {
    logits[static_cast<std::size_t>(kernels.lanes + lane)] = static_cast<real>(-lane);
  }
  kernels.softmax_terms(2, logits.data(), terms.data(), sums.data(), largest.data());
  for (int lane = 0; lane < kernels.lanes; ++lane) {
    const double expected = 1 + std::exp(-lane);
    if (std::abs(sums[static_cast<std::size_t>(lane)] - expected) > 1e-6) return false;
  }
  return true;
}

}  // namespace

std::string_view check_known_answers(const Kernels& kernels) {
  if (sizeof(real) == sizeof(float) && rounds_once(kernels) != kernels.fused) {
    return kernels.fused ? "multiply-add is not fused on this processor"
                         : "multiply-add is fused although it must not be";
  }
  if (!convolves(kernels) || (kernels.single && !convolves(*kernels.single)))
    return "a convolution with a known result came out wrong";
  if (kernels.softmax_terms && !exponentiates(kernels)) {
    return "an exponential with a known result came out wrong";
  }
  return {};
}

const Kernels& select_kernels(std::string_view name) {
  std::string names = "auto";
  for (const Kernels* kernels : available_kernels()) {
    names += ", " + std::string(kernels->name);
    if (kernels->name != name) continue;
    const std::string_view problem = check_known_answers(*kernels);
    if (problem.empty()) return *kernels;
    throw Error(ErrorCode::kUnsupported, "kernels", std::string(name) + ": " + std::string(problem));
  }
  if (name != "auto") {
    throw Error(ErrorCode::kArgument, "kernels",
                "\"" + std::string(name) + "\" is not available here; choose one of " + names);
  }
  const auto available = available_kernels();
  for (std::size_t i = available.size(); i > 0; --i) {
    if (check_known_answers(*available[i - 1]).empty()) return *available[i - 1];
  }
  throw Error(ErrorCode::kUnsupported, "kernels", "no variant gives the known answers on this machine");
}

}  // namespace espalier
