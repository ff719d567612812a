// The built-in generator of handwritten-looking digits, drawn stroke by stroke.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "data/dataset.h"

namespace espalier {

// Draws digit `label` (0 … 9) as a 28 x 28 byte image, a pure function of (seed, index, label).
void draw_digit(std::uint64_t seed, std::uint64_t index, int label, std::uint8_t* image);

// `train_count` training images (of which split_validation's share is for validation) and
// `test_count` test images of balanced, shuffled classes. Deterministic in the seed.
Dataset synthetic_digits(int train_count, int test_count, std::uint64_t seed, ThreadPool& pool);
Dataset synthetic_digits(int train_count, int test_count, std::uint64_t seed);

}  // namespace espalier
