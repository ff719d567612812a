// One variant of the loops on integers, compiled as variant.cpp is. Apart from it, so that who only trains
// does without them, and a processor's dot products are a variant of these loops alone.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__SSE2__)
#include <immintrin.h>
#endif

#include "core/training_only.h"
#include "kernels/integer_kernels.h"

namespace espalier::ESPALIER_VARIANT {

#include "kernels/lanes.h"

#include "kernels/tiles.h"

#include "kernels/integer.h"

// For blocks and for single images.
extern const IntegerKernels* const* const kIntegers[2];
constinit const IntegerKernels* const* const kIntegers[2] = {
    kInferenceOnly ? nullptr : kIntegerKernels<kLanes>, kIntegerKernels<1>};

}  // namespace espalier::ESPALIER_VARIANT
