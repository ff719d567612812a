#include "runtime/format.h"

namespace espalier {

std::span<const WeightFormat* const> weight_formats() {
  static constexpr const WeightFormat* kFormats[] = {&kInt8Format, &kSparseFloat32Format, &kFloat32Format};
  return kFormats;
}

const WeightFormat* find_format(std::string_view name) {
  for (const WeightFormat* format : weight_formats()) {
    if (format->name == name) return format;
  }
  return nullptr;
}

}  // namespace espalier
