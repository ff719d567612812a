#include "compress/share.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/heap_sort.h"
#include "core/math.h"
#include "core/number_text.h"
#include "core/random.h"
#include "ops/weights.h"

namespace espalier {
namespace {

// Centroids in ascending order; `zero` is the place of the one that does not move, or -1.
struct Centroids {
  std::vector<double> at;
  int zero = -1;
};

Centroids begin_at(std::span<const real> sorted, int count, CodebookStart start, Random random) {
  Centroids centroids;
  const double low = sorted.front(), high = sorted.back();
  const auto last = static_cast<double>(sorted.size() - 1);
  for (int i = 0; i < count; ++i) {
    double x = 0;
    switch (start) {
      case CodebookStart::kLinear:
        x = count > 1 ? low + (high - low) * i / (count - 1) : (low + high) / 2;
        break;
      case CodebookStart::kDensity:
        x = sorted[static_cast<std::size_t>(last * (i + 0.5) / count + 0.5)];
        break;
      case CodebookStart::kRandom:
        x = sorted[random.below(static_cast<std::uint32_t>(sorted.size()))];
        break;
    }
    centroids.at.push_back(x);
  }
  heap_sort(centroids.at, std::less<>());
  return centroids;
}

void pin_zero(Centroids& centroids) {
  const auto at = std::lower_bound(centroids.at.begin(), centroids.at.end(), 0.0);
  centroids.zero = static_cast<int>(at - centroids.at.begin());
  centroids.at.insert(at, 0.0);
}

// The first weight of each centroid; the weights of centroid i end where those of i + 1 begin.
std::vector<std::size_t> assign(std::span<const real> sorted, const Centroids& centroids) {
  std::vector<std::size_t> begin{0};
  for (std::size_t i = 1; i < centroids.at.size(); ++i) {
    const double border = (centroids.at[i - 1] + centroids.at[i]) / 2;
    const auto at = std::upper_bound(sorted.begin() + static_cast<std::ptrdiff_t>(begin.back()), sorted.end(),
                                     border, [](double b, real x) { return b < static_cast<double>(x); });
    begin.push_back(static_cast<std::size_t>(at - sorted.begin()));
  }
  begin.push_back(sorted.size());
  return begin;
}

}  // namespace

CodebookStart codebook_start(std::string_view name) {
  if (name == "linear") return CodebookStart::kLinear;
  if (name == "density") return CodebookStart::kDensity;
  if (name == "random") return CodebookStart::kRandom;
  throw Error(ErrorCode::kArgument, "initialization",
              "is \"" + std::string(name) + "\", but must be one of " + std::string(kCodebookStarts));
}

std::vector<real> find_codebook(std::span<const real> values, int count, bool pinned_zero,
                                CodebookStart start, std::uint64_t seed, std::uint64_t stream) {
  std::vector<real> levels(static_cast<std::size_t>(count), real{0});
  if (values.empty()) return levels;
  std::vector<real> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> sums{0};
  for (const real x : sorted) sums.push_back(sums.back() + x);

  Centroids centroids =
      begin_at(sorted, pinned_zero ? count - 1 : count, start, Random(seed, RandomStream::kCodebook, stream));
  if (pinned_zero) pin_zero(centroids);
  // Lloyd: each centroid moves to the mean of its weights, until no weight changes sides.
  constexpr int kMostIterations = 1000;
  std::vector<std::size_t> begin = assign(sorted, centroids);
  for (int iteration = 0; iteration < kMostIterations; ++iteration) {
    for (std::size_t i = 0; i < centroids.at.size(); ++i) {
      if (static_cast<int>(i) == centroids.zero || begin[i] == begin[i + 1]) continue;
      centroids.at[i] = (sums[begin[i + 1]] - sums[begin[i]]) / static_cast<double>(begin[i + 1] - begin[i]);
    }
    const std::vector<std::size_t> next = assign(sorted, centroids);
    if (next == begin) break;
    begin = next;
  }
  std::size_t next = pinned_zero ? 1 : 0;  // level 0 is zero already
  for (std::size_t i = 0; i < centroids.at.size(); ++i) {
    if (static_cast<int>(i) != centroids.zero) levels[next++] = static_cast<real>(centroids.at[i]);
  }
  return levels;
}

void share_weights(const Node& node, CodebookStart start, std::uint64_t seed, real* value, const real* mask) {
  const WeightQuantization& q = node.attributes.quantize;
  const ParameterInfo& weight = weight_of(node);
  std::vector<real> kept;
  for (std::int64_t i = weight.offset; i < weight.offset + weight.size; ++i) {
    if (!mask || mask[i] != 0) kept.push_back(value[i]);
  }
  const std::vector<real> levels = find_codebook(kept, 1 << q.bits, q.pinned_zero, start, seed, node.index);
  std::copy(levels.begin(), levels.end(), value + codebook_of(node)->offset);
  real* index = value + codebook_index_of(node)->offset;
  for (std::int64_t i = 0; i < weight.size; ++i) {
    index[i] = 0;
    if (mask && mask[weight.offset + i] == 0) continue;
    const real x = value[weight.offset + i];
    for (std::size_t level = 1; level < levels.size(); ++level) {
      if (std::abs(levels[level] - x) < std::abs(levels[static_cast<std::size_t>(index[i])] - x)) {
        index[i] = static_cast<real>(level);
      }
    }
  }
}

std::vector<std::string> codebook_rates(const Graph& graph, const std::vector<std::string>& given) {
  std::vector<std::string> rates;
  for (const Node& node : graph.nodes) {
    const QuantizationScheme* scheme = node.attributes.quantize.scheme;
    if (!scheme || !scheme->codebook) continue;
    const double shared = static_cast<double>(weight_of(node).size) / codebook_of(node)->size;
    rates.push_back(node.name + "=" + shortened(1 / math::sqrt(std::max(shared, 1.0))));
  }
  rates.insert(rates.end(), given.begin(), given.end());
  return rates;
}

}  // namespace espalier
