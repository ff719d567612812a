// The ranges of feature maps, from training images that stream through the network: an observer keeps a
// histogram whose range grows with the numbers, and no activations.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/pass.h"
#include "core/work.h"
#include "quantize/range.h"
#include "quantize/scheme.h"

namespace espalier {

// Counts of numbers in bins on both sides of zero. A bin's width is a power of two, the smallest for which
// kBins reach the largest number, so the counts do not depend on the order of the numbers.
class Histogram {
 public:
  static constexpr int kBins = 8192;  // on each side

  void add(real x);
  // Images [0, valid) of a block [size][lanes].
  void add_block(const real* block, int size, int lanes, int valid);

  std::int64_t count() const { return count_; }
  double low() const { return low_; }    // the smallest number, at most 0
  double high() const { return high_; }  // the largest number, at least 0
  double width() const { return width_; }
  std::int64_t zeros() const { return zeros_; }
  // Of numbers in sign · [i · width, (i + 1) · width), zero itself apart.
  std::span<const std::int64_t> positive() const { return positive_; }
  std::span<const std::int64_t> negative() const { return negative_; }

 private:
  void grow(double largest);

  double width_ = 0x1p-80;
  double low_ = 0;
  double high_ = 0;
  std::int64_t count_ = 0;
  std::int64_t zeros_ = 0;
  std::vector<std::int64_t> positive_ = std::vector<std::int64_t>(kBins);
  std::vector<std::int64_t> negative_ = std::vector<std::int64_t>(kBins);
};

// The range to quantize in `bits` bits:
//   min-max     all of it
//   percentile  without the 0.005 % most extreme numbers of each side
//   mse         with the least squared error of the affine grid
//   entropy     with the least Kullback-Leibler divergence of the quantized from the original distribution of
//               |x| (Migacz 2017, TensorRT)
// Zero is always in it.
Range choose_range(const Histogram& histogram, int bits, RangeMethod method);

// In the order of RangeMethod.
inline constexpr std::string_view kRangeMethods = "min-max, percentile, mse, entropy";
RangeMethod range_method(std::string_view name);  // Error{kArgument}

// Runs the first `images` training images through the model and observes `values`, in their order.
// Error{kData} when there are none, or when a value is not finite.
Work observe(const Model& model, const PassContext& context, int images, std::vector<int> values,
             std::vector<Histogram>& histograms);
// Checked before any work: Error{kData} when there are no training images.
void check_calibration_images(const Dataset& dataset);

}  // namespace espalier
