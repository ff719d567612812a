#include <algorithm>

#include "quantize/scheme.h"

namespace espalier {
namespace {

constexpr const QuantizationScheme* kSchemes[] = {&kArticle, &kAffine,     &kSymmetric, &kTernary,
                                                  &kBinary,  &kPowerOfTwo, &kCodebook};

}  // namespace

std::span<const QuantizationScheme* const> quantization_schemes() { return kSchemes; }

const QuantizationScheme* find_scheme(std::string_view name) {
  const auto at = std::find_if(std::begin(kSchemes), std::end(kSchemes),
                               [&](const QuantizationScheme* scheme) { return scheme->name == name; });
  return at == std::end(kSchemes) ? nullptr : *at;
}

// Levels of the layer's own: k-means centroids (Han et al. 2016), found by compress/share.h.
constinit const QuantizationScheme kCodebook{
    .name = "codebook",
    .summary = "2^bits levels that were found by k-means; weights store which one (weight sharing).",
    .codebook = true};

}  // namespace espalier
