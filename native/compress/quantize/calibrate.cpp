#include "compress/quantize/calibrate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/math.h"
#include "data/batcher.h"
#include "graph/executor.h"

namespace espalier {
namespace {

// A bin's middle and how many numbers it stands for.
struct Bin {
  double x;
  double count;
};

std::vector<Bin> filled_bins(const Histogram& histogram) {
  std::vector<Bin> bins;
  for (int i = 0; i < Histogram::kBins; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const double x = (i + 0.5) * histogram.width();
    if (const auto count = histogram.negative()[at]; count > 0) {
      bins.push_back({std::max(-x, histogram.low()), static_cast<double>(count)});
    }
    if (const auto count = histogram.positive()[at]; count > 0) {
      bins.push_back({std::min(x, histogram.high()), static_cast<double>(count)});
    }
  }
  return bins;
}

Range percentile(const Histogram& histogram) {
  constexpr double kCut = 0.00005;
  const auto cut = static_cast<std::int64_t>(kCut * static_cast<double>(histogram.count()));
  const auto reach = [&](std::span<const std::int64_t> bins) {
    std::int64_t seen = 0;
    for (int i = Histogram::kBins; i-- > 0;) {
      seen += bins[static_cast<std::size_t>(i)];
      if (seen > cut) return (i + 1) * histogram.width();
    }
    return 0.0;
  };
  return {std::max(0.0 - reach(histogram.negative()), histogram.low()),
          std::min(reach(histogram.positive()), histogram.high())};
}

double squared_error(std::span<const Bin> bins, const Range& range, double highest) {
  if (!(range.high > range.low)) return std::numeric_limits<double>::infinity();
  const double step = (range.high - range.low) / highest;
  const double lowest = -std::floor(-range.low / step + 0.5);
  double sum = 0;
  for (const Bin& bin : bins) {
    const double code = std::clamp(std::floor(bin.x / step + 0.5), lowest, lowest + highest);
    const double error = bin.x - code * step;
    sum += bin.count * error * error;
  }
  return sum;
}

// One end after the other, twice: each takes the share of its reach that has the least error.
Range least_squares(const Histogram& histogram, int bits) {
  constexpr int kShares = 64;
  const std::vector<Bin> bins = filled_bins(histogram);
  const double highest = (1 << bits) - 1;
  const Range full{histogram.low(), histogram.high()};
  Range best = full;
  double least = squared_error(bins, best, highest);
  const auto search = [&](double Range::* end) {
    Range range = best;
    for (int i = 1; i <= kShares; ++i) {
      range.*end = full.*end * i / kShares;
      const double error = squared_error(bins, range, highest);
      if (error < least) {
        least = error;
        best = range;
      }
    }
  };
  for (int round = 0; round < 2; ++round) {
    if (full.high > 0) search(&Range::high);
    if (full.low < 0) search(&Range::low);
  }
  return best;
}

// The divergence of `counts` from themselves when what lies behind `kept` bins is clipped to the last of
// them and each of `levels` equal pieces is smeared evenly over its bins that are not empty.
double divergence(std::span<const double> counts, int kept, int levels) {
  double outside = 0, total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    if (static_cast<int>(i) >= kept) outside += counts[i];
  }
  const double inside = total - outside;
  if (!(inside > 0)) return std::numeric_limits<double>::infinity();
  double sum = 0;
  for (int level = 0; level < levels; ++level) {
    const int begin = static_cast<int>(static_cast<std::int64_t>(kept) * level / levels);
    const int end = static_cast<int>(static_cast<std::int64_t>(kept) * (level + 1) / levels);
    double mass = 0;
    int filled = 0;
    for (int i = begin; i < end; ++i) {
      mass += counts[static_cast<std::size_t>(i)];
      filled += counts[static_cast<std::size_t>(i)] > 0 ? 1 : 0;
    }
    for (int i = begin; i < end; ++i) {
      const double own = counts[static_cast<std::size_t>(i)];
      const double p = (own + (i == kept - 1 ? outside : 0)) / total;
      if (!(p > 0)) continue;
      // Where only clipped numbers are, the quantized distribution has none: a small probability for them.
      const double q = own > 0 ? mass / filled / inside : 1e-9;
      sum += p * math::log(p / q);
    }
  }
  return sum;
}

// A constant (what a layer makes of an even background) is a spike, which a grid can meet and no even piece
// can: cut to a few times what its neighbours have, or it alone would decide.
void cut_spikes(std::vector<double>& counts) {
  constexpr int kNeighbours = 8, kMost = 4;
  const std::vector<double> before = counts;
  const int size = static_cast<int>(counts.size());
  for (int i = 0; i < size; ++i) {
    double sum = -before[static_cast<std::size_t>(i)];
    const int begin = std::max(i - kNeighbours, 0), end = std::min(i + kNeighbours + 1, size);
    for (int j = begin; j < end; ++j) sum += before[static_cast<std::size_t>(j)];
    double& count = counts[static_cast<std::size_t>(i)];
    count = std::min(count, kMost * sum / (end - begin - 1));
  }
}

Range least_divergence(const Histogram& histogram, int bits) {
  constexpr int kCoarse = 2048;
  std::vector<double> counts(kCoarse);
  for (std::size_t i = 0; i < Histogram::kBins; ++i) {
    counts[i / (Histogram::kBins / kCoarse)] +=
        static_cast<double>(histogram.positive()[i] + histogram.negative()[i]);
  }
  cut_spikes(counts);
  const int levels = histogram.low() < 0 ? 1 << (bits - 1) : 1 << bits;
  int best = kCoarse;
  double least = divergence(counts, kCoarse, levels);
  const int step = std::max(levels / 8, 1);
  for (int kept = levels; kept < kCoarse; kept += step) {
    const double d = divergence(counts, kept, levels);
    if (d < least) {
      least = d;
      best = kept;
    }
  }
  const double reach = best * histogram.width() * (Histogram::kBins / kCoarse);
  return {std::max(histogram.low(), -reach), std::min(histogram.high(), reach)};
}

constexpr std::array<std::string_view, 4> kNames = {"min-max", "percentile", "mse", "entropy"};

}  // namespace

void Histogram::grow(double largest) {
  while (largest >= width_ * kBins) {
    for (auto* bins : {&positive_, &negative_}) {
      for (std::size_t i = 0; i < kBins / 2; ++i) (*bins)[i] = (*bins)[2 * i] + (*bins)[2 * i + 1];
      std::fill(bins->begin() + kBins / 2, bins->end(), 0);
    }
    width_ *= 2;
  }
}

void Histogram::add(real x) {
  if (!std::isfinite(x)) return;  // has no bin; observe() looks at the outputs
  ++count_;
  if (x == 0) {
    ++zeros_;
    return;
  }
  const double size = std::abs(static_cast<double>(x));
  if (size >= width_ * kBins) grow(size);
  low_ = std::min(low_, static_cast<double>(x));
  high_ = std::max(high_, static_cast<double>(x));
  ++(x > 0 ? positive_ : negative_)[static_cast<std::size_t>(size / width_)];
}

// As add() does, number by number, with its members in registers.
void Histogram::add_block(const real* block, int size, int lanes, int valid) {
  double low = low_, high = high_, inverse = 1 / width_, end = width_ * kBins;  // the width is a power of 2
  std::int64_t* const positive = positive_.data();
  std::int64_t* const negative = negative_.data();
  std::int64_t count = 0, zeros = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    for (int lane = 0; lane < valid; ++lane) {
      const double x = block[i * lanes + lane];
      if (x == 0) {
        ++zeros;
        continue;
      }
      const double reach = std::abs(x);
      if (!(reach < end)) {
        add(static_cast<real>(x));
        low = std::min(low, low_);
        high = std::max(high, high_);
        inverse = 1 / width_;
        end = width_ * kBins;
        continue;
      }
      ++count;
      low = std::min(low, x);
      high = std::max(high, x);
      ++(x > 0 ? positive : negative)[static_cast<std::uint32_t>(reach * inverse)];
    }
  }
  low_ = std::min(low_, low);
  high_ = std::max(high_, high);
  zeros_ += zeros;
  count_ += count + zeros;
}

Range choose_range(const Histogram& histogram, int bits, RangeMethod method) {
  switch (method) {
    case RangeMethod::kMinMax:
      break;
    case RangeMethod::kPercentile:
      return percentile(histogram);
    case RangeMethod::kMse:
      return least_squares(histogram, bits);
    case RangeMethod::kEntropy:
      return least_divergence(histogram, bits);
  }
  return {histogram.low(), histogram.high()};
}

RangeMethod range_method(std::string_view name) {
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  if (at != kNames.end()) return static_cast<RangeMethod>(at - kNames.begin());
  throw Error(ErrorCode::kArgument, "calibrate",
              "is \"" + std::string(name) + "\", but must be one of " + std::string(kRangeMethods));
}

void check_calibration_images(const Dataset& dataset) {
  if (dataset.train.count() > 0) return;
  throw Error(ErrorCode::kData, dataset.name,
              "has no training images, and the ranges of features are measured on them; use data with "
              "training images, or keep activations float");
}

Work observe(const Model& model, const PassContext& context, int images, std::vector<int> values,
             std::vector<Histogram>& histograms) {
  check_fits(model.graph, context.dataset);
  check_calibration_images(context.dataset);
  const int lanes = context.kernels.lanes;
  const int total = std::min(images, context.dataset.train.count());
  const InputInfo& input = model.graph.input;
  Batcher batcher(input.shape.channels, input.shape.height, input.shape.width, lanes, lanes, input.mean,
                  input.standard_deviation);
  PlanOptions options;
  options.max_batch = lanes;
  options.keep_values = true;
  Executor executor(model.graph, context.kernels, context.pool, options);
  executor.prepare(model.parameters);
  std::vector<real> logits(static_cast<std::size_t>(lanes * model.graph.classes));
  histograms.assign(values.size(), Histogram());
  Progress progress{.stage = "calibrate", .total = total};
  for (int first = 0; first < total; first += lanes) {
    const int count = std::min(lanes, total - first);
    const std::ptrdiff_t image_size = context.dataset.image_size();
    batcher.load_plain(context.dataset.train.images.data() + first * image_size, count, context.pool);
    Batch batch;
    batch.images = batcher.images();
    batch.count = count;
    executor.infer(batch, logits.data());
    for (const real x : std::span(logits).first(static_cast<std::size_t>(count * model.graph.classes))) {
      if (std::isfinite(x)) continue;
      throw Error(ErrorCode::kModel, model.graph.name,
                  "gives outputs that are not finite, so its features have no range; train it first");
    }
    context.pool.run(static_cast<int>(values.size()), [&](int i, int) {
      const auto at = static_cast<std::size_t>(i);
      const int value = values[at];
      const real* block = value == 0 ? batch.images : executor.block_value(value);
      histograms[at].add_block(block, model.graph.value_shape(value).size(), lanes, count);
    });
    progress.done = first + count;
    co_yield progress;
  }
}

}  // namespace espalier
