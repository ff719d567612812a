// Which integer kernels can be trusted on this processor.
#include <array>
#include <cstring>

#if defined(ESPALIER_HAS_VNNI)
#include <cpuid.h>
#endif

#include "core/error.h"
#include "kernels/integer_kernels.h"

namespace espalier {

#define ESPALIER_DECLARE(variant)                         \
  namespace variant {                                     \
  extern const IntegerKernels* const* const kIntegers[2]; \
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
#if defined(ESPALIER_HAS_VNNI)
ESPALIER_DECLARE(avx2_vnni)
ESPALIER_DECLARE(avx512_vnni)
#endif

namespace {

bool always() { return true; }
#if defined(ESPALIER_HAS_VNNI)
// __builtin_cpu_supports does not know AVX-VNNI everywhere: leaf 7.1, bit 4 of EAX.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
bool has_avx512_vnni() { return __builtin_cpu_supports("avx512vnni"); }
#endif

// For blocks of images, and for single ones. Of several with the name of a variant, the fastest is first.
struct Variant {
  std::string_view name;
  const IntegerKernels* const* const* integers;
  bool (*runs_here)() = always;
};
constexpr Variant kVariants[] = {
#if defined(ESPALIER_HAS_RELAXED)
    {"relaxed", relaxed::kIntegers},
#else
    {"plain", plain::kIntegers},
#endif
#if defined(ESPALIER_HAS_VNNI)
    {"avx2", avx2_vnni::kIntegers, has_avx_vnni},
    {"avx512", avx512_vnni::kIntegers, has_avx512_vnni},
#endif
#if defined(ESPALIER_HAS_AVX)
    {"avx2", avx2::kIntegers},
    {"avx512", avx512::kIntegers},
#endif
};

// Four channels of the highest and the lowest codes and weights against the definition.
bool multiplies(const IntegerKernels& kernels) {
  constexpr int kMaxLanes = 16;
  static constexpr ConvShape kShape{.in_channels = 4, .out_channels = 4};
  static constexpr std::array<std::int8_t, 16> kWeight{127, 127,  127, 127, -127, -127, -127, -127,
                                                       127, -127, 1,   -1,  0,    64,   -3,   100};
  static constexpr std::array<std::uint8_t, 7> kCodes{255, 0, 127, 128, 129, 200, 1};
  alignas(64) std::array<std::uint8_t, kMaxLanes * 4> in{};
  alignas(64) std::array<std::int16_t, kMaxLanes * 4> packed{};
  alignas(64) std::array<real, kMaxLanes * 4> out{};
  static constexpr std::array<std::int32_t, 4 + kMoreChannels> kStart{5, -7, 0, 1};
  static constexpr std::array<float, 4 + kMoreChannels> kMultiplier{1, 1, 1, 1};
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = kCodes[i * (i + 3) % kCodes.size()];
  kernels.conv_pack(kShape, kWeight.data(), packed.data());
  kernels.conv_to_numbers(kShape, in.data(), packed.data(),
                          {.start = kStart.data(), .multiplier = kMultiplier.data()}, out.data());
  for (std::size_t o = 0; o < 4; ++o) {
    for (std::size_t lane = 0; lane < static_cast<std::size_t>(kernels.lanes); ++lane) {
      int sum = kStart[o];
      for (std::size_t i = 0; i < 4; ++i) sum += kWeight[o * 4 + i] * in[lane * 4 + i];
      if (out[o * static_cast<std::size_t>(kernels.lanes) + lane] != static_cast<real>(sum)) return false;
    }
  }
  return true;
}

}  // namespace

std::vector<const IntegerKernels*> all_integer_kernels(const Kernels& kernels) {
  std::vector<const IntegerKernels*> all;
  for (const Variant& variant : kVariants) {
    if (variant.name != kernels.name || !variant.runs_here()) continue;
    for (const IntegerKernels* const* candidate = variant.integers[kernels.lanes == 1 ? 1 : 0]; *candidate;
         ++candidate) {
      if (multiplies(**candidate)) all.push_back(*candidate);
    }
  }
  return all;
}

const IntegerKernels& integer_kernels(const Kernels& kernels) {
  const auto all = all_integer_kernels(kernels);
  if (!all.empty()) return *all.front();
  throw Error(ErrorCode::kUnsupported, "kernels", "integer products with known results came out wrong");
}

}  // namespace espalier
