// The built-in digits: the same bytes in every build, balanced, and placed as MNIST's.
#include "data/digits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace espalier {
namespace {

constexpr int kSize = 28;
using Digit = std::array<std::uint8_t, kSize * kSize>;

Digit draw(std::uint64_t seed, std::uint64_t index, int label) {
  Digit digit;
  draw_digit(seed, index, label, digit.data());
  return digit;
}

// FNV-1a.
class Hash {
 public:
  void add(std::uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001b3; }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

// The constant holds natively and in WebAssembly alike; a deliberate change of the drawings changes it.
TEST(Digits, the_first_hundred_are_the_same_bytes_in_every_build) {
  Hash hash;
  for (int i = 0; i < 100; ++i) {
    for (const std::uint8_t byte : draw(1, static_cast<std::uint64_t>(i), i % 10)) hash.add(byte);
  }
  EXPECT_EQ(hash.value(), 0xcb5ce24409b4eb16u);
}

TEST(Digits, are_a_function_of_seed_index_and_label) {
  EXPECT_EQ(draw(3, 5, 7), draw(3, 5, 7));
  EXPECT_NE(draw(3, 5, 7), draw(4, 5, 7));
  EXPECT_NE(draw(3, 5, 7), draw(3, 6, 7));
  EXPECT_NE(draw(3, 5, 7), draw(3, 5, 8));
}

TEST(Digits, fit_the_box_and_are_centred_by_their_mass) {
  for (int i = 0; i < 2000; ++i) {
    const Digit digit = draw(9, static_cast<std::uint64_t>(i), i % 10);
    int left = kSize, right = -1, top = kSize, bottom = -1;
    double mass = 0, mass_x = 0, mass_y = 0;
    for (int y = 0; y < kSize; ++y) {
      for (int x = 0; x < kSize; ++x) {
        const double grey = digit[static_cast<std::size_t>(y * kSize + x)];
        mass += grey;
        mass_x += grey * x;
        mass_y += grey * y;
        if (grey < 128) continue;
        left = std::min(left, x);
        right = std::max(right, x);
        top = std::min(top, y);
        bottom = std::max(bottom, y);
      }
    }
    // The pressure may push the pen a pixel beyond the box.
    const int extent = std::max(right - left, bottom - top) + 1;
    EXPECT_GE(extent, 17) << i;
    EXPECT_LE(extent, 23) << i;
    EXPECT_NEAR(mass_x / mass, 14, 0.51) << i;
    EXPECT_NEAR(mass_y / mass, 14, 0.51) << i;
  }
}

TEST(Digits, are_neither_blank_nor_blots) {
  for (int i = 0; i < 2000; ++i) {
    const Digit digit = draw(11, static_cast<std::uint64_t>(i), i % 10);
    const auto ink = std::count_if(digit.begin(), digit.end(), [](std::uint8_t grey) { return grey >= 128; });
    EXPECT_GE(ink, 12) << i;
    EXPECT_LE(ink, 320) << i;
  }
}

TEST(Digits, span_all_greys_from_paper_to_ink) {
  std::array<bool, 256> seen{};
  for (int i = 0; i < 200; ++i) {
    for (const std::uint8_t grey : draw(13, static_cast<std::uint64_t>(i), i % 10)) seen[grey] = true;
  }
  EXPECT_TRUE(seen[0]);
  EXPECT_TRUE(seen[255]);
  EXPECT_GE(std::count(seen.begin(), seen.end(), true), 240);
}

TEST(SyntheticDigits, are_balanced_shuffled_and_split) {
  const Dataset dataset = synthetic_digits(1200, 200, 1);
  EXPECT_EQ(dataset.classes(), 10);
  EXPECT_EQ(dataset.train.count(), 1100);
  EXPECT_EQ(dataset.validation.count(), 100);
  EXPECT_EQ(dataset.test.count(), 200);
  std::array<int, 10> seen{};
  for (const Split* split : {&dataset.train, &dataset.validation}) {
    EXPECT_EQ(split->images.size(), split->labels.size() * kSize * kSize);
    for (const std::uint16_t label : split->labels) ++seen[label];
  }
  for (const int count : seen) EXPECT_EQ(count, 120);
  EXPECT_FALSE(std::is_sorted(dataset.train.labels.begin(), dataset.train.labels.begin() + 10));
}

TEST(SyntheticDigits, of_one_seed_agree_and_of_another_differ) {
  EXPECT_EQ(synthetic_digits(24, 12, 1).test.images, synthetic_digits(24, 12, 1).test.images);
  EXPECT_NE(synthetic_digits(24, 12, 1).test.images, synthetic_digits(24, 12, 2).test.images);
}

TEST(SyntheticDigits, for_training_and_testing_share_no_image) {
  const Dataset dataset = synthetic_digits(240, 240, 1);
  const auto images = [](const Split& split) {
    std::vector<Digit> list(split.labels.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      std::copy_n(split.images.begin() + static_cast<std::ptrdiff_t>(i * kSize * kSize), kSize * kSize,
                  list[i].begin());
    }
    std::sort(list.begin(), list.end());
    return list;
  };
  const auto train = images(dataset.train), test = images(dataset.test);
  std::vector<Digit> both;
  std::set_intersection(train.begin(), train.end(), test.begin(), test.end(), std::back_inserter(both));
  EXPECT_TRUE(both.empty());
}

}  // namespace
}  // namespace espalier
