#include "data/batcher.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "core/random.h"

namespace espalier {
namespace {

constexpr int kMaxLanes = 16;

}  // namespace

Batcher::Batcher(int channels, int height, int width, int lanes, int max_batch, std::span<const double> mean,
                 std::span<const double> standard_deviation)
    : channels_(channels),
      pixels_(height * width),
      height_(height),
      width_(width),
      lanes_(lanes),
      max_blocks_((max_batch + lanes - 1) / lanes) {
  for (int c = 0; c < channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double m = mean.empty() ? 0.0 : mean[i];
    const double s = standard_deviation.empty() ? 1.0 : standard_deviation[i];
    scale_.push_back(static_cast<real>(1.0 / (255.0 * s)));
    offset_.push_back(static_cast<real>(-m / s));
  }
  present_.images.resize(padded_images());
}

Batcher::~Batcher() { finish(); }

void Batcher::load_training(const Split& split, const Augmentation& augmentation, const BatchRange& range,
                            ThreadPool& pool) {
  const bool ordered = order_.split == &split && order_.augmentation == augmentation && order_.range == range;
  if (!ordered) prefetch_training(split, augmentation, range, pool);
  finish();
  std::swap(present_, next_);
}

void Batcher::prefetch_training(const Split& split, const Augmentation& augmentation, const BatchRange& range,
                                ThreadPool& pool) {
  finish();
  shuffle(range);
  // All sizes are those of the first call, which has a whole batch.
  const auto images = static_cast<std::size_t>(max_blocks_ * lanes_);
  for (Contents* contents : {&present_, &next_}) {
    contents->images.resize(padded_images());
    contents->labels.reserve(images);
    contents->other_labels.reserve(images);
    contents->lambdas.reserve(images);
  }
  const auto count = static_cast<std::size_t>(range.count);
  next_.labels.resize(count);
  next_.other_labels.resize(count);
  next_.lambdas.resize(count);
  order_ = {&split, &pool, augmentation, range};
  if (!order_.as_they_are()) {
    scratch_.resize(static_cast<std::size_t>(pool.threads()));
    for (Scratch& scratch : scratch_) {
      scratch.pixels.resize((static_cast<std::size_t>(lanes_) + 1) * size());
      scratch.bytes.resize(augment_scratch(channels_, height_, width_));
    }
  }
  pool.begin((range.count + lanes_ - 1) / lanes_, maker_);
}

void Batcher::finish() {
  if (!order_.split) return;
  order_.pool->finish();
  order_.split = nullptr;
}

void Batcher::make_block(int block, int thread) {
  const int first = block * lanes_;
  const int count = std::min(lanes_, order_.range.count - first);
  real* out = next_.images.data() + static_cast<std::size_t>(first) * size();
  if (order_.as_they_are()) {
    std::array<const std::uint8_t*, kMaxLanes> images{};
    for (int lane = 0; lane < count; ++lane) {
      describe(first + lane, {});
      images[static_cast<std::size_t>(lane)] = bytes_of(first + lane);
    }
    place_block(images.data(), count, out);
    return;
  }
  Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  std::array<const real*, kMaxLanes> images{};
  for (int lane = 0; lane < count; ++lane) {
    real* pixels = scratch.pixels.data() + static_cast<std::size_t>(lane) * size();
    mix(first + lane, scratch, pixels);
    images[static_cast<std::size_t>(lane)] = pixels;
  }
  place_block(images.data(), count, out);
}

void Batcher::describe(int slot, const MixupPair& pair) {
  const auto s = static_cast<std::size_t>(slot);
  const auto& labels = order_.split->labels;
  next_.labels[s] = labels[image_at(slot)];
  next_.other_labels[s] = labels[image_at(pair.other)];
  next_.lambdas[s] = pair.lambda;
}

// A partner is decoded once more, so that blocks need not wait for each other.
void Batcher::mix(int slot, Scratch& scratch, real* pixels) {
  const BatchRange& range = order_.range;
  const MixupPair pair =
      mixup_pair(order_.augmentation, range.seed, range.epoch, image_at(slot), range.count);
  describe(slot, pair);
  decode(slot, scratch, pixels);
  if (pair.lambda == 1) return;
  real* partner = scratch.pixels.data() + static_cast<std::size_t>(lanes_) * size();
  decode(pair.other, scratch, partner);
  for (std::size_t i = 0; i < size(); ++i) {
    pixels[i] = pair.lambda * pixels[i] + (1 - pair.lambda) * partner[i];
  }
}

void Batcher::decode(int slot, Scratch& scratch, real* pixels) const {
  if (!order_.augmentation.changes_pixels()) {
    std::copy_n(bytes_of(slot), size(), pixels);
    return;
  }
  augment_image(order_.augmentation, order_.range.seed, order_.range.epoch, image_at(slot), bytes_of(slot),
                channels_, height_, width_, scratch.bytes.data(), pixels);
}

void Batcher::load_plain(const std::uint8_t* bytes, int count, ThreadPool& pool) {
  pool.run((count + lanes_ - 1) / lanes_, [&](int block, int) { load_plain_block(bytes, count, block); });
}

void Batcher::load_plain_block(const std::uint8_t* bytes, int count, int block) {
  const int first = block * lanes_;
  std::array<const std::uint8_t*, kMaxLanes> images{};
  for (int lane = 0; lane < lanes_; ++lane) {
    images[static_cast<std::size_t>(lane)] = bytes + static_cast<std::size_t>(first + lane) * size();
  }
  place_block(images.data(), std::min(lanes_, count - first),
              present_.images.data() + static_cast<std::size_t>(first) * size());
}

void Batcher::shuffle(const BatchRange& range) {
  const auto n = static_cast<std::size_t>(range.population);
  if (shuffled_.size() == n && shuffled_seed_ == range.seed && shuffled_epoch_ == range.epoch) return;
  shuffled_.resize(n);
  std::iota(shuffled_.begin(), shuffled_.end(), 0u);
  Random random(range.seed, RandomStream::kShuffle, range.epoch);
  for (std::size_t i = n; i > 1; --i) {
    std::swap(shuffled_[i - 1], shuffled_[random.below(static_cast<std::uint32_t>(i))]);
  }
  shuffled_seed_ = range.seed;
  shuffled_epoch_ = range.epoch;
}

// `count` images, normalised, each into its lane; the lanes behind them are zero. A few rows' worth of pixels
// at a time, so that the lines that the lanes share stay in the cache.
template <class Pixel>
void Batcher::place_block(const Pixel* const* images, int count, real* out) const {
  constexpr int kPiece = 128;
  for (int c = 0; c < channels_; ++c) {
    const real scale = scale_[static_cast<std::size_t>(c)];
    const real offset = offset_[static_cast<std::size_t>(c)];
    for (int begin = 0; begin < pixels_; begin += kPiece) {
      const int end = std::min(begin + kPiece, pixels_);
      const std::int64_t at = std::int64_t{c} * pixels_ + begin;
      for (int lane = 0; lane < lanes_; ++lane) {
        real* to = out + at * lanes_ + lane;
        if (lane >= count) {
          for (int i = begin; i < end; ++i, to += lanes_) *to = 0;
          continue;
        }
        const Pixel* from = images[lane] + at;
        for (int i = begin; i < end; ++i, ++from, to += lanes_)
          *to = static_cast<real>(*from) * scale + offset;
      }
    }
  }
}

}  // namespace espalier
