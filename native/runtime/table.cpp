#include "runtime/format.h"

namespace espalier {

std::span<const WeightFormat* const> weight_formats() {
  static constexpr const WeightFormat* kFormats[] = {
      &kSparseInt8Format, &kInt1Format,          &kInt2Format,     &kInt4Format,
      &kInt8Format,       &kSparseFloat32Format, &kCodebookFormat, &kFloat32Format};
  return kFormats;
}

const WeightFormat* find_format(std::string_view name) {
  for (const WeightFormat* format : weight_formats()) {
    if (format->name == name) return format;
  }
  return nullptr;
}

}  // namespace espalier
