#include "data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/random.h"

namespace espalier {
namespace {

constexpr int kSize = 28;

// A blurred cross, away from the border.
std::vector<std::uint8_t> picture() {
  std::vector<std::uint8_t> image(kSize * kSize);
  for (int i = 6; i < 22; ++i) {
    for (int w = -1; w <= 1; ++w) {
      image[static_cast<std::size_t>(i * kSize + 14 + w)] = w == 0 ? 255 : 120;
      image[static_cast<std::size_t>((12 + w) * kSize + i)] = w == 0 ? 255 : 120;
    }
  }
  return image;
}

std::vector<real> augmented(const Augmentation& augmentation, std::uint64_t seed = 1, std::uint64_t epoch = 0,
                            std::uint64_t index = 0) {
  const auto image = picture();
  std::vector<real> out(image.size());
  std::vector<std::uint8_t> scratch(augment_scratch(1, kSize, kSize));
  augment_image(augmentation, seed, epoch, index, image.data(), 1, kSize, kSize, scratch.data(), out.data());
  return out;
}

TEST(Augment, without_amounts_is_the_identity) {
  const auto image = picture();
  const auto out = augmented({});
  EXPECT_TRUE(std::equal(image.begin(), image.end(), out.begin()));
}

TEST(Augment, every_kind_changes_pixels_and_stays_in_range) {
  for (const AugmentationType& type : augmentation_types()) {
    if (type.name == "mixup") continue;
    const Augmentation augmentation = parse_augmentation(type.name);
    EXPECT_TRUE(augmentation.changes_pixels()) << type.name;
    int changed = 0;
    for (std::uint64_t index = 0; index < 20; ++index) {
      const auto out = augmented(augmentation, 1, 0, index);
      changed += out != augmented({}) ? 1 : 0;
      const auto [low, high] = std::minmax_element(out.begin(), out.end());
      EXPECT_GE(*low, 0) << type.name;
      EXPECT_LE(*high, real(255.001)) << type.name;
    }
    EXPECT_GE(changed, 5) << type.name;  // a square may fall on the background
  }
}

TEST(Augment, is_a_function_of_seed_epoch_and_image) {
  const Augmentation all = parse_augmentation("shift,rotation,scale,shear,elastic,cutout");
  EXPECT_EQ(augmented(all, 5, 2, 9), augmented(all, 5, 2, 9));
  EXPECT_NE(augmented(all, 5, 2, 9), augmented(all, 6, 2, 9));
  EXPECT_NE(augmented(all, 5, 2, 9), augmented(all, 5, 3, 9));
  EXPECT_NE(augmented(all, 5, 2, 9), augmented(all, 5, 2, 10));
}

// The constant holds natively and in WebAssembly alike; a deliberate change of the augmentation changes it.
TEST(Augment, gives_the_same_bytes_in_every_build) {
  const Augmentation all = parse_augmentation("shift,rotation,scale,shear,elastic,cutout");
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a over sixteenths of a grey level
  for (std::uint64_t index = 0; index < 100; ++index) {
    for (const real pixel : augmented(all, 1, 2, index)) {
      hash = (hash ^ static_cast<std::uint64_t>(static_cast<int>(pixel * 16) & 0xff)) * 0x100000001b3;
    }
  }
  EXPECT_EQ(hash, 0x8c7385d7553006e8u);
}

TEST(Augment, rows_of_any_width_stay_within_their_image) {
  for (const int width : {1, 2, 31, 32, 33, 65}) {
    constexpr int kHeight = 3;
    const auto size = static_cast<std::size_t>(2 * kHeight * width);
    const std::vector<std::uint8_t> image(size, 200);
    std::vector<real> out(size + 2, real(-7));
    std::vector<std::uint8_t> scratch(augment_scratch(2, kHeight, width) + 2, 77);
    augment_image({.shift = 5, .rotation = 180, .elastic = 3}, 1, 0, 0, image.data(), 2, kHeight, width,
                  scratch.data() + 1, out.data() + 1);
    EXPECT_EQ(scratch.front(), 77) << width;
    EXPECT_EQ(scratch.back(), 77) << width;
    EXPECT_EQ(out.front(), -7) << width;
    EXPECT_EQ(out.back(), -7) << width;
    EXPECT_GE(*std::min_element(out.begin() + 1, out.end() - 1), 0) << width;
  }
}

TEST(Augment, a_shift_keeps_the_ink) {
  const auto sum = [](const std::vector<real>& v) { return std::accumulate(v.begin(), v.end(), 0.0); };
  const double ink = sum(augmented({}));
  for (std::uint64_t i = 0; i < 20; ++i) EXPECT_NEAR(sum(augmented({.shift = 3}, 1, 0, i)), ink, ink * 1e-5);
}

TEST(Augment, lists_are_read_and_written) {
  const Augmentation a = parse_augmentation("shift:3,rotation,elastic:0.5");
  EXPECT_EQ(a.shift, 3);
  EXPECT_EQ(a.rotation, 10);
  EXPECT_EQ(to_string(a), "shift:3,rotation:10,elastic:0.5");
  EXPECT_EQ(to_string(parse_augmentation("none")), "none");
  EXPECT_EQ(to_string(parse_augmentation("standard")), "shift:2,rotation:10,scale:0.1");
}

TEST(Augment, wrong_lists_say_what_is_possible) {
  const auto message = [](const char* list) {
    try {
      parse_augmentation(list);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message("blur"),
            "augment: \"blur\" is unknown; choose from none, standard, shift, rotation, scale, shear, "
            "elastic, cutout, mixup");
  EXPECT_EQ(message("shift:wide"), "augment: \"shift:wide\" has no number behind the colon");
  EXPECT_EQ(message("shift:99"), "augment: \"shift:99\" is out of range; from 0 to 14 pixels is possible");
  EXPECT_EQ(message("mixup:-1"), "augment: \"mixup:-1\" is out of range; from 0 to 1 strength is possible");
}

TEST(Mixup, blends_with_an_image_of_the_batch) {
  for (std::uint64_t i = 0; i < 100; ++i) {
    const MixupPair pair = mixup_pair({.mixup = 0.4}, 1, 0, i, 10);
    EXPECT_GE(pair.other, 0);
    EXPECT_LT(pair.other, 10);
    EXPECT_GE(pair.lambda, real(0.8));
    EXPECT_LE(pair.lambda, real(1));
  }
  EXPECT_EQ(mixup_pair({}, 1, 0, 3, 10).lambda, 1);
}

TEST(Random, streams_and_seeds_differ_and_uniform_is_uniform) {
  Random a(1, RandomStream::kShuffle), b(1, RandomStream::kDropout), c(2, RandomStream::kShuffle);
  EXPECT_NE(a.bits(), b.bits());
  EXPECT_NE(a.bits(), c.bits());
  double sum = 0;
  for (int i = 0; i < 10000; ++i) sum += a.uniform();
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
  // Known answer of Philox4x32-10 (Random123's kat_vectors): all ones.
  const auto out = philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff});
  EXPECT_EQ(out, (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

}  // namespace
}  // namespace espalier
