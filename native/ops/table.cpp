#include <array>

#include "ops/op.h"

namespace espalier {
namespace {

constexpr std::array<const OpType*, 16> kTypes{
    &kConv,      &kDense, &kBatchNorm, &kMaxPool, &kAvgPool, &kGlobalAvgPool, &kRelu,   &kRelu6,
    &kLeakyRelu, &kTanh,  &kSigmoid,   &kDropout, &kFlatten, &kAdd,           &kConcat, &kFakeQuantize};

}  // namespace

std::span<const OpType* const> op_types() { return kTypes; }

const OpType* find_op(std::string_view name) {
  for (const OpType* type : kTypes) {
    if (type->name == name) return type;
  }
  return nullptr;
}

}  // namespace espalier
