// A labelled image dataset in memory: three splits of byte images, and what is known about them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

struct Split {
  std::vector<std::uint8_t> images;   // [count][channels][height][width], 0 … 255
  std::vector<std::uint16_t> labels;  // [count], 0 … classes - 1
  int count() const { return static_cast<int>(labels.size()); }
};

// `validation` is cut from the training images (MNIST: the last 5,000) and is what every choice is
// made on; `test` is read for final figures only.
struct Dataset {
  std::string name;
  int channels = 1;
  int height = 0;
  int width = 0;
  std::vector<std::string> class_names;  // one for each class, "0" … when nothing better is known
  Split train;
  Split validation;
  Split test;

  int classes() const { return static_cast<int>(class_names.size()); }
  int image_size() const { return channels * height * width; }
};

// Mean and standard deviation of the training pixels, scaled to [0, 1], for each channel.
struct PixelStatistics {
  std::vector<double> mean;
  std::vector<double> standard_deviation;
};
PixelStatistics pixel_statistics(const Dataset& dataset);

// Moves the last `count` training images into the validation split.
// Default: a twelfth of the training images, and never more than 5,000 (MNIST: 5,000).
inline constexpr int kDefaultValidation = -1;
void split_validation(Dataset& dataset, int count = kDefaultValidation);

}  // namespace espalier
