// Batches against the definition, image by image, and the same ones whoever made them, and when.
#include "data/batcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "data/augment.h"
#include "data/digits.h"

namespace espalier {
namespace {

constexpr int kBatch = 20;  // no multiple of the lanes
constexpr std::size_t kPixels = 28 * 28;

const Dataset& digits() {
  static const Dataset dataset = synthetic_digits(120, 10, 4);
  return dataset;
}

BatchRange range(int batch, std::uint64_t epoch = 0) {
  return {.population = 50,
          .seed = 9,
          .epoch = epoch,
          .first = batch * kBatch,
          .count = std::min(kBatch, 50 - batch * kBatch)};
}

struct Copy {
  std::vector<real> images, lambdas;
  std::vector<std::uint16_t> labels, others;
  friend bool operator==(const Copy&, const Copy&) = default;
};

Copy copy_of(const Batcher& batcher, int count, int lanes) {
  const auto images = static_cast<std::size_t>((count + lanes - 1) / lanes * lanes);
  return {{batcher.images(), batcher.images() + images * kPixels},
          {batcher.lambdas().begin(), batcher.lambdas().end()},
          {batcher.labels().begin(), batcher.labels().end()},
          {batcher.other_labels().begin(), batcher.other_labels().end()}};
}

Batcher* make(int lanes) {
  return new Batcher(1, 28, 28, lanes, kBatch, std::vector{0.25}, std::vector{0.5});
}

TEST(Batcher, puts_normalised_images_into_lanes_and_zeros_behind_the_last) {
  ThreadPool pool(2);
  for (const int lanes : {8, 16}) {
    const std::unique_ptr<Batcher> batcher(make(lanes));
    batcher->load_plain(digits().train.images.data(), kBatch, pool);
    const int slots = (kBatch + lanes - 1) / lanes * lanes;
    for (int slot = 0; slot < slots; ++slot) {
      for (std::size_t p = 0; p < kPixels; ++p) {
        const auto i = static_cast<std::size_t>(slot);
        const real found = batcher->images()[(i / static_cast<std::size_t>(lanes) * kPixels + p) *
                                                 static_cast<std::size_t>(lanes) +
                                             i % static_cast<std::size_t>(lanes)];
        const double wanted =
            slot < kBatch ? (digits().train.images[i * kPixels + p] / 255.0 - 0.25) / 0.5 : 0;
        ASSERT_NEAR(found, wanted, 1e-6) << lanes << " lanes, image " << slot << ", pixel " << p;
      }
    }
  }
}

TEST(Batcher, an_epoch_shows_every_image_once_and_the_next_one_in_another_order) {
  ThreadPool pool(1);
  std::vector<std::vector<real>> epochs;
  for (std::uint64_t epoch = 0; epoch < 2; ++epoch) {
    const std::unique_ptr<Batcher> batcher(make(8));
    std::vector<real> sums;  // of an image's pixels: no two are alike here
    for (int batch = 0; batch < 3; ++batch) {
      batcher->load_training(digits().train, {}, range(batch, epoch), pool);
      for (std::size_t slot = 0; slot < batcher->labels().size(); ++slot) {
        real sum = 0;
        for (std::size_t p = 0; p < kPixels; ++p)
          sum += batcher->images()[(slot / 8 * kPixels + p) * 8 + slot % 8];
        sums.push_back(sum);
      }
    }
    epochs.push_back(sums);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  for (auto& sums : epochs) {
    EXPECT_EQ(sums.size(), 50u);
    std::sort(sums.begin(), sums.end());
    EXPECT_EQ(std::unique(sums.begin(), sums.end()), sums.end());
  }
  EXPECT_EQ(epochs[0], epochs[1]);
}

TEST(Batcher, the_next_batch_made_in_the_background_is_the_one_made_on_demand) {
  const Augmentation augmentation = parse_augmentation("standard,elastic,cutout,mixup:0.7");
  for (const int threads : {1, 2, 4}) {
    for (const int lanes : {8, 16}) {
      ThreadPool pool(threads);
      const std::unique_ptr<Batcher> ahead(make(lanes)), on_demand(make(lanes));
      ThreadPool alone(1);
      for (int step = 0; step < 12; ++step) {
        const BatchRange now = range(step % 3, static_cast<std::uint64_t>(step / 3));
        const BatchRange next = range((step + 1) % 3, static_cast<std::uint64_t>((step + 1) / 3));
        ahead->load_training(digits().train, augmentation, now, pool);
        ahead->prefetch_training(digits().train, augmentation, next, pool);
        pool.run(3, [](int, int) {});
        on_demand->load_training(digits().train, augmentation, now, alone);
        EXPECT_TRUE(copy_of(*ahead, now.count, lanes) == copy_of(*on_demand, now.count, lanes)) << step;
      }
    }
  }
}

TEST(Batcher, a_batch_that_was_not_asked_for_beforehand_comes_all_the_same) {
  ThreadPool pool(2);
  const std::unique_ptr<Batcher> batcher(make(8)), other(make(8));
  const Augmentation shifts = parse_augmentation("shift");
  batcher->load_training(digits().train, shifts, range(0), pool);
  batcher->prefetch_training(digits().train, shifts, range(1), pool);
  batcher->load_training(digits().train, shifts, range(2), pool);  // a restored training
  other->load_training(digits().train, shifts, range(2), pool);
  EXPECT_TRUE(copy_of(*batcher, 10, 8) == copy_of(*other, 10, 8));
  batcher->prefetch_training(digits().train, shifts, range(1), pool);
  batcher->load_training(digits().train, {}, range(1), pool);
  other->load_training(digits().train, {}, range(1), pool);
  EXPECT_TRUE(copy_of(*batcher, kBatch, 8) == copy_of(*other, kBatch, 8));
}

TEST(Batcher, mixes_an_image_with_its_partner_as_both_are_augmented) {
  ThreadPool pool(1);
  const Augmentation plain = parse_augmentation("shift");
  Augmentation mixing = plain;
  mixing.mixup = 1;
  const std::unique_ptr<Batcher> alone(make(8)), mixed(make(8));
  alone->load_training(digits().train, plain, range(0), pool);
  mixed->load_training(digits().train, mixing, range(0), pool);
  const auto pixel = [](const Batcher& b, std::size_t slot, std::size_t p) {
    return double{b.images()[(slot / 8 * kPixels + p) * 8 + slot % 8]};
  };
  for (std::size_t slot = 0; slot < kBatch; ++slot) {
    const double lambda = mixed->lambdas()[slot];
    EXPECT_EQ(mixed->labels()[slot], alone->labels()[slot]);
    // One image of the batch has the partner's label and fits every pixel.
    bool fits = false;
    for (std::size_t other = 0; other < kBatch && !fits; ++other) {
      if (alone->labels()[other] != mixed->other_labels()[slot]) continue;
      fits = true;
      for (std::size_t p = 0; p < kPixels && fits; ++p) {
        const double wanted = lambda * pixel(*alone, slot, p) + (1 - lambda) * pixel(*alone, other, p);
        fits = std::abs(pixel(*mixed, slot, p) - wanted) < 1e-5;
      }
    }
    EXPECT_TRUE(fits) << slot;
  }
}

}  // namespace
}  // namespace espalier
