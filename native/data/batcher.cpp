#include "data/batcher.h"

#include <algorithm>
#include <numeric>

#include "core/random.h"

namespace espalier {

Batcher::Batcher(int channels, int height, int width, int lanes, int max_batch, std::span<const double> mean,
                 std::span<const double> standard_deviation)
    : channels_(channels), pixels_(height * width), height_(height), width_(width), lanes_(lanes) {
  for (int c = 0; c < channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double m = mean.empty() ? 0.0 : mean[i];
    const double s = standard_deviation.empty() ? 1.0 : standard_deviation[i];
    scale_.push_back(static_cast<real>(1.0 / (255.0 * s)));
    offset_.push_back(static_cast<real>(-m / s));
  }
  const auto images = static_cast<std::size_t>((max_batch + lanes - 1) / lanes * lanes);
  const auto size = static_cast<std::size_t>(channels * pixels_);
  images_.resize((images * size + 15) / 16 * 16);  // whole vectors, also of one image
  decoded_.resize(images * size);
  labels_.reserve(images);
  other_labels_.reserve(images);
  lambdas_.reserve(images);
  others_.reserve(images);
}

void Batcher::load_training(const Split& split, int population, const Augmentation& augmentation,
                            std::uint64_t seed, std::uint64_t epoch, int first, int count, ThreadPool& pool) {
  shuffle(seed, epoch, population);
  const auto n = static_cast<std::size_t>(count);
  labels_.resize(n);
  other_labels_.resize(n);
  lambdas_.resize(n);
  others_.resize(n);
  const int size = channels_ * pixels_;
  const bool augment = augmentation.changes_pixels();
  constexpr int kChunk = 16;
  const int chunks = (count + kChunk - 1) / kChunk;
  const auto each = [&](auto&& visit) {
    pool.run(chunks, [&](int chunk, int) {
      for (int slot = chunk * kChunk; slot < std::min(count, (chunk + 1) * kChunk); ++slot) visit(slot);
    });
  };
  each([&](int slot) {
    const auto s = static_cast<std::size_t>(slot);
    const std::uint32_t index = order_[static_cast<std::size_t>(first + slot)];
    const std::uint8_t* image =
        split.images.data() + static_cast<std::size_t>(index) * static_cast<std::size_t>(size);
    real* decoded = decoded_.data() + static_cast<std::size_t>(slot) * static_cast<std::size_t>(size);
    if (augment) {
      augment_image(augmentation, seed, epoch, index, image, channels_, height_, width_, decoded);
    } else {
      std::copy_n(image, size, decoded);
    }
    const MixupPair pair = mixup_pair(augmentation, seed, epoch, index, count);
    labels_[s] = split.labels[index];
    lambdas_[s] = pair.lambda;
    others_[s] = pair.other;
  });
  each([&](int slot) {
    const auto s = static_cast<std::size_t>(slot);
    other_labels_[s] = labels_[static_cast<std::size_t>(others_[s])];
    place(slot, lambdas_[s], others_[s]);
  });
  clear_after(count);
}

void Batcher::load_plain(const std::uint8_t* bytes, int count, ThreadPool& pool) {
  pool.run((count + lanes_ - 1) / lanes_, [&](int block, int) { load_plain_block(bytes, count, block); });
}

void Batcher::load_plain_block(const std::uint8_t* bytes, int count, int block) {
  const std::int64_t size = std::int64_t{channels_} * pixels_;
  const int first = block * lanes_;
  const int valid = std::min(lanes_, count - first);
  real* image = images_.data() + first * size;
  if (valid < lanes_) std::fill_n(image, size * lanes_, real{0});
  const std::uint8_t* pixel = bytes + first * size;
  for (int lane = 0; lane < valid; ++lane, ++image) {
    real* out = image;
    for (int c = 0; c < channels_; ++c) {
      const real scale = scale_[static_cast<std::size_t>(c)];
      const real offset = offset_[static_cast<std::size_t>(c)];
      for (int i = 0; i < pixels_; ++i, out += lanes_) *out = *pixel++ * scale + offset;
    }
  }
}

void Batcher::shuffle(std::uint64_t seed, std::uint64_t epoch, int population) {
  const auto n = static_cast<std::size_t>(population);
  if (order_.size() == n && order_seed_ == seed && order_epoch_ == epoch) return;
  order_.resize(n);
  std::iota(order_.begin(), order_.end(), 0u);
  Random random(seed, RandomStream::kShuffle, epoch);
  for (std::size_t i = n; i > 1; --i) {
    std::swap(order_[i - 1], order_[random.below(static_cast<std::uint32_t>(i))]);
  }
  order_seed_ = seed;
  order_epoch_ = epoch;
}

void Batcher::place(int slot, real lambda, int other) {
  const std::int64_t size = std::int64_t{channels_} * pixels_;
  const real* a = decoded_.data() + slot * size;
  const real* b = decoded_.data() + other * size;
  real* out = images_.data() + slot / lanes_ * size * lanes_ + slot % lanes_;
  for (int c = 0; c < channels_; ++c) {
    const real scale = scale_[static_cast<std::size_t>(c)];
    const real offset = offset_[static_cast<std::size_t>(c)];
    for (int i = 0; i < pixels_; ++i, ++a, ++b, out += lanes_) {
      const real pixel = lambda == 1 ? *a : lambda * *a + (1 - lambda) * *b;
      *out = pixel * scale + offset;
    }
  }
}

void Batcher::clear_after(int count) {
  const std::int64_t size = std::int64_t{channels_} * pixels_;
  const int end = (count + lanes_ - 1) / lanes_ * lanes_;
  for (int slot = count; slot < end; ++slot) {
    real* out = images_.data() + slot / lanes_ * size * lanes_ + slot % lanes_;
    for (std::int64_t i = 0; i < size; ++i) out[i * lanes_] = 0;
  }
}

}  // namespace espalier
