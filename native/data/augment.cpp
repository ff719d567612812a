// One inverse map from output to input pixels (shift, rotation, scale, shear, then an elastic
// displacement), sampled bilinearly over a black background, then a square cut out.
#include "data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/math.h"
#include "core/random.h"

namespace espalier {
namespace {

struct Row {
  AugmentationType type;
  double Augmentation::* amount;
  bool standard;
};

constexpr Row kRows[] = {
    {{"shift", "Moves the image.", "pixels", 2, 14}, &Augmentation::shift, true},
    {{"rotation", "Turns the image.", "degrees", 10, 180}, &Augmentation::rotation, true},
    {{"scale", "Grows or shrinks the image.", "fraction", 0.1, 0.9}, &Augmentation::scale, true},
    {{"shear", "Slants the image.", "degrees", 10, 60}, &Augmentation::shear, false},
    {{"elastic", "Bends the image smoothly, as a hand does.", "pixels", 1.5, 8}, &Augmentation::elastic, false},
    {{"cutout", "Erases a square.", "pixels", 6, 28}, &Augmentation::cutout, false},
    {{"mixup", "Blends two images and their labels.", "strength", 0.3, 1}, &Augmentation::mixup, false},
};

// A grid of random displacements, interpolated by a cubic that is smooth across cells.
class Elastic {
 public:
  Elastic(double amount, Random& random) {
    for (auto& row : grid_) {
      for (auto& point : row) point = {random.uniform(-amount, amount), random.uniform(-amount, amount)};
    }
  }

  // Displacement at (u, v) in [0, 1]².
  std::array<double, 2> at(double u, double v) const {
    const double x = u * (kPoints - 1), y = v * (kPoints - 1);
    const int i = std::min(static_cast<int>(x), kPoints - 2), j = std::min(static_cast<int>(y), kPoints - 2);
    const double a = smooth(x - i), b = smooth(y - j);
    std::array<double, 2> result;
    for (std::size_t k = 0; k < 2; ++k) {
      const double top = mix(point(j, i)[k], point(j, i + 1)[k], a);
      const double bottom = mix(point(j + 1, i)[k], point(j + 1, i + 1)[k], a);
      result[k] = mix(top, bottom, b);
    }
    return result;
  }

 private:
  static constexpr int kPoints = 5;
  static double smooth(double t) { return t * t * (3 - 2 * t); }
  static double mix(double a, double b, double t) { return a + (b - a) * t; }
  const std::array<double, 2>& point(int row, int column) const {
    return grid_[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
  }
  std::array<std::array<std::array<double, 2>, kPoints>, kPoints> grid_;
};

void warp(const Augmentation& a, Random& random, const std::uint8_t* image, int channels, int height, int width,
          real* out) {
  const double degree = math::kPi / 180;
  const double dx = random.uniform(-a.shift, a.shift), dy = random.uniform(-a.shift, a.shift);
  const double angle = random.uniform(-a.rotation, a.rotation) * degree;
  const double zoom = 1 / (1 + random.uniform(-a.scale, a.scale));
  const double shear_angle = random.uniform(-a.shear, a.shear) * degree;
  const double shear = math::sin(shear_angle) / math::cos(shear_angle);
  const Elastic elastic(a.elastic, random);
  // Source = centre + zoom · rotation · shear · (target - centre - shift).
  const double c = math::cos(angle) * zoom, s = math::sin(angle) * zoom;
  const double xx = c, xy = c * shear - s, yx = s, yy = s * shear + c;
  const double cx = (width - 1) * 0.5, cy = (height - 1) * 0.5;
  const int pixels = height * width;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double px = x - cx - dx, py = y - cy - dy;
      double sx = cx + xx * px + xy * py, sy = cy + yx * px + yy * py;
      if (a.elastic > 0) {
        const auto bend = elastic.at(x / std::max(1.0, width - 1.0), y / std::max(1.0, height - 1.0));
        sx += bend[0];
        sy += bend[1];
      }
      const bool outside = !(sx > -1 && sy > -1 && sx < width && sy < height);
      const int x0 = outside ? 0 : static_cast<int>(sx + 1) - 1, y0 = outside ? 0 : static_cast<int>(sy + 1) - 1;
      const double fx = sx - x0, fy = sy - y0;
      for (int channel = 0; channel < channels; ++channel) {
        const std::uint8_t* plane = image + channel * pixels;
        const auto at = [&](int row, int column) -> double {
          return row < 0 || column < 0 || row >= height || column >= width ? 0 : plane[row * width + column];
        };
        double value = 0;
        if (!outside) {
          const double top = at(y0, x0) + (at(y0, x0 + 1) - at(y0, x0)) * fx;
          const double bottom = at(y0 + 1, x0) + (at(y0 + 1, x0 + 1) - at(y0 + 1, x0)) * fx;
          value = top + (bottom - top) * fy;
        }
        out[channel * pixels + y * width + x] = static_cast<real>(std::clamp(value, 0.0, 255.0));
      }
    }
  }
}

void cut_out(double side, Random& random, int channels, int height, int width, real* out) {
  const int length = std::max(1, static_cast<int>(side));
  const int x0 = static_cast<int>(random.below(static_cast<std::uint32_t>(width))) - length / 2;
  const int y0 = static_cast<int>(random.below(static_cast<std::uint32_t>(height))) - length / 2;
  for (int c = 0; c < channels; ++c) {
    for (int y = std::max(y0, 0); y < std::min(y0 + length, height); ++y) {
      for (int x = std::max(x0, 0); x < std::min(x0 + length, width); ++x) out[(c * height + y) * width + x] = 0;
    }
  }
}

std::uint64_t image_stream(std::uint64_t epoch, std::uint64_t index) { return (epoch << 32) ^ index; }

// The shortest text that reads back as the value. (std::to_chars would bring tables of 100 KB.)
std::string number_text(double value) {
  return value == std::floor(value) ? std::to_string(static_cast<long long>(value)) : nlohmann::json(value).dump();
}

[[noreturn]] void fail(std::string_view entry, const std::string& message) {
  throw Error(ErrorCode::kArgument, "augment", "\"" + std::string(entry) + "\" " + message);
}

}  // namespace

std::span<const AugmentationType> augmentation_types() {
  static const auto types = [] {
    std::array<AugmentationType, std::size(kRows)> list;
    for (std::size_t i = 0; i < list.size(); ++i) list[i] = kRows[i].type;
    return list;
  }();
  return types;
}

Augmentation parse_augmentation(std::string_view list) {
  Augmentation result;
  while (!list.empty()) {
    const std::string_view entry = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), entry.size() + 1));
    const std::string_view name = entry.substr(0, entry.find(':'));
    if (name == "none" || name.empty()) continue;
    if (name == "standard") {
      for (const Row& row : kRows) {
        if (row.standard) result.*row.amount = row.type.default_amount;
      }
      continue;
    }
    const auto row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) { return r.type.name == name; });
    if (row == std::end(kRows)) {
      std::string names = "none, standard";
      for (const Row& known : kRows) names += ", " + std::string(known.type.name);
      fail(entry, "is unknown; choose from " + names);
    }
    double amount = row->type.default_amount;
    if (name.size() < entry.size()) {
      const std::string text(entry.substr(name.size() + 1));
      char* end = nullptr;
      amount = std::strtod(text.c_str(), &end);
      if (text.empty() || *end != '\0') fail(entry, "has no number behind the colon");
    }
    if (!(amount >= 0 && amount <= row->type.max_amount)) {
      fail(entry, "is out of range; from 0 to " + number_text(row->type.max_amount) + " " +
                      std::string(row->type.unit) + " is possible");
    }
    result.*row->amount = amount;
  }
  return result;
}

std::string to_string(const Augmentation& augmentation) {
  std::string text;
  for (const Row& row : kRows) {
    const double amount = augmentation.*row.amount;
    if (amount > 0) text += (text.empty() ? "" : ",") + std::string(row.type.name) + ":" + number_text(amount);
  }
  return text.empty() ? "none" : text;
}

void augment_image(const Augmentation& augmentation, std::uint64_t seed, std::uint64_t epoch, std::uint64_t index,
                   const std::uint8_t* image, int channels, int height, int width, real* out) {
  Random random(seed, RandomStream::kAugmentation, image_stream(epoch, index));
  warp(augmentation, random, image, channels, height, width, out);
  if (augmentation.cutout > 0) cut_out(augmentation.cutout, random, channels, height, width, out);
}

MixupPair mixup_pair(const Augmentation& augmentation, std::uint64_t seed, std::uint64_t epoch, std::uint64_t index,
                     int batch_size) {
  if (augmentation.mixup <= 0) return {};
  Random random(seed, RandomStream::kMixup, image_stream(epoch, index));
  const int other = static_cast<int>(random.below(static_cast<std::uint32_t>(batch_size)));
  // The rest of the weight is at most half, spread evenly up to the strength.
  return {other, static_cast<real>(1 - 0.5 * augmentation.mixup * random.uniform())};
}

}  // namespace espalier
