// Augmentation: small random changes of a training image, a pure function of (seed, epoch, image).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/real.h"

namespace espalier {

// A row per augmentation: what `--augment` and the page's menu offer. `amount` means what `unit` says.
struct AugmentationType {
  std::string_view name;     // "shift", "rotation", "scale", "shear", "elastic", "cutout", "mixup"
  std::string_view summary;  // one sentence
  std::string_view unit;     // "pixels", "degrees", "fraction", …
  double default_amount;
  double max_amount;
};
std::span<const AugmentationType> augmentation_types();

// Amounts; 0 is off.
struct Augmentation {
  double shift = 0;     // pixels, uniform in ±amount on each axis
  double rotation = 0;  // degrees, ±
  double scale = 0;     // relative size, ±
  double shear = 0;     // degrees, ±
  double elastic = 0;   // pixels of smooth displacement
  double cutout = 0;    // side of a square erased to the background, pixels
  double mixup = 0;     // alpha-like strength in (0, 1]: see mixup_pair

  friend bool operator==(const Augmentation&, const Augmentation&) = default;
  bool changes_pixels() const {
    return shift > 0 || rotation > 0 || scale > 0 || shear > 0 || elastic > 0 || cutout > 0;
  }
};

// "shift:2,rotation:10,elastic" → amounts; a name alone takes its default amount; "none" or "" is
// none; "standard" is shift, rotation and scale at their defaults. Throws Error{kArgument}.
Augmentation parse_augmentation(std::string_view list);
std::string to_string(const Augmentation& augmentation);

// Writes the augmented `image` ([channels][height][width] bytes) to `out` (same layout, real,
// 0 … 255, bilinear). Deterministic in (seed, epoch, index); allocates nothing, but takes
// augment_scratch(channels, height, width) bytes of `scratch`.
std::size_t augment_scratch(int channels, int height, int width);
void augment_image(const Augmentation& augmentation, std::uint64_t seed, std::uint64_t epoch,
                   std::uint64_t index, const std::uint8_t* image, int channels, int height, int width,
                   std::uint8_t* scratch, real* out);

// mixup (Zhang et al. 2018): a training image is blended with `other`, a position in the same
// batch, with weight `lambda` on the image itself. lambda = 1 where mixup is off.
struct MixupPair {
  int other = 0;
  real lambda = 1;
};
MixupPair mixup_pair(const Augmentation& augmentation, std::uint64_t seed, std::uint64_t epoch,
                     std::uint64_t index, int batch_size);

}  // namespace espalier
