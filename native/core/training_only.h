// What only training needs of a table's row. A build that only runs models (ESPALIER_INFERENCE_ONLY: the
// binary of wasm/run.cpp) leaves it out, and the linker then drops what nothing else refers to.
#pragma once

namespace espalier {

#ifdef ESPALIER_INFERENCE_ONLY
inline constexpr bool kInferenceOnly = true;
#else
inline constexpr bool kInferenceOnly = false;
#endif

template <class Function>
constexpr Function* training_only(Function* function) {
  return kInferenceOnly ? nullptr : function;
}

}  // namespace espalier
