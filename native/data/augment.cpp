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
    {{"elastic", "Bends the image smoothly, as a hand does.", "pixels", 1.5, 8},
     &Augmentation::elastic,
     false},
    {{"cutout", "Erases a square.", "pixels", 6, 28}, &Augmentation::cutout, false},
    {{"mixup", "Blends two images and their labels.", "strength", 0.3, 1}, &Augmentation::mixup, false},
};

// A grid of random displacements, interpolated by a cubic that is smooth across cells.
class Elastic {
 public:
  Elastic(double amount, Random& random) {
    for (auto& row : grid_) {
      for (auto& point : row) {
        for (float& offset : point) offset = static_cast<float>(random.uniform(-amount, amount));
      }
    }
  }

  // The displacements of one row of the image, at the grid's columns; v in [0, 1].
  struct Row {
    std::array<float, 5> dx, dy;
  };
  Row row(float v) const {
    const float y = v * (kPoints - 1);
    const int j = std::min(static_cast<int>(y), kPoints - 2);
    const float b = smooth(y - static_cast<float>(j));
    const auto& top = grid_[static_cast<std::size_t>(j)];
    const auto& bottom = grid_[static_cast<std::size_t>(j + 1)];
    Row result;
    for (std::size_t i = 0; i < kPoints; ++i) {
      result.dx[i] = mix(top[i][0], bottom[i][0], b);
      result.dy[i] = mix(top[i][1], bottom[i][1], b);
    }
    return result;
  }

  // Moves a position at column u in [0, 1] of the row.
  static void bend(const Row& row, float u, float& x, float& y) {
    const float column = u * (kPoints - 1);
    const auto i = static_cast<std::size_t>(std::min(static_cast<int>(column), kPoints - 2));
    const float a = smooth(column - static_cast<float>(i));
    x += mix(row.dx[i], row.dx[i + 1], a);
    y += mix(row.dy[i], row.dy[i + 1], a);
  }

 private:
  static constexpr int kPoints = 5;
  static float smooth(float t) { return t * t * (3 - 2 * t); }
  static float mix(float a, float b, float t) { return a + (b - a) * t; }
  std::array<std::array<std::array<float, 2>, kPoints>, kPoints> grid_;
};

// Where the pixels of a piece of an output row come from: an offset, the steps to the neighbours
// at the right and below, and their weights, 0 beyond the border. Vectorises: no branches, no gathers.
constexpr int kPiece = 32;
struct Sources {
  std::array<float, kPiece> x, y;
  std::array<std::int32_t, kPiece> offset, right, below;
  std::array<float, kPiece> left_weight, right_weight, top_weight, bottom_weight;

  void locate(int height, int width) {
    for (std::size_t i = 0; i < kPiece; ++i) {
      const Axis h = axis(x[i], width), v = axis(y[i], height);
      offset[i] = v.near * width + h.near;
      right[i] = h.step;
      below[i] = v.step * width;
      left_weight[i] = h.near_weight;
      right_weight[i] = h.far_weight;
      top_weight[i] = v.near_weight;
      bottom_weight[i] = v.far_weight;
    }
  }

 private:
  struct Axis {
    std::int32_t near, step;
    float near_weight, far_weight;
  };
  static Axis axis(float position, int extent) {
    // Shifted by one, so that the cast rounds down: far is the pixel after position, near the one before.
    const float shifted = std::min(std::max(position, -1.0f), static_cast<float>(extent)) + 1;
    const auto far = static_cast<std::int32_t>(shifted);
    const std::int32_t near = far - 1;
    const float fraction = shifted - static_cast<float>(far);
    const bool near_inside = near >= 0 && near < extent;
    const bool far_inside = far < extent;
    const std::int32_t near_pixel = near + (near < 0) - (near >= extent);
    const std::int32_t far_pixel = far - (far >= extent) - (far > extent);
    return {near_pixel, far_pixel - near_pixel, near_inside ? 1 - fraction : 0.0f,
            far_inside ? fraction : 0.0f};
  }
};

void warp(const Augmentation& a, Random& random, const std::uint8_t* image, int channels, int height,
          int width, real* out) {
  const double degree = math::kPi / 180;
  const double dx = random.uniform(-a.shift, a.shift), dy = random.uniform(-a.shift, a.shift);
  const double angle = random.uniform(-a.rotation, a.rotation) * degree;
  const double zoom = 1 / (1 + random.uniform(-a.scale, a.scale));
  const double shear_angle = random.uniform(-a.shear, a.shear) * degree;
  const double shear = math::sin(shear_angle) / math::cos(shear_angle);
  const Elastic elastic(a.elastic, random);
  // Source = centre + zoom · rotation · shear · (target - centre - shift).
  const double c = math::cos(angle) * zoom, s = math::sin(angle) * zoom;
  const auto xx = static_cast<float>(c), xy = static_cast<float>(c * shear - s);
  const auto yx = static_cast<float>(s), yy = static_cast<float>(s * shear + c);
  const float cx = static_cast<float>(width - 1) * 0.5f, cy = static_cast<float>(height - 1) * 0.5f;
  const float from_x = cx + static_cast<float>(dx), from_y = cy + static_cast<float>(dy);
  const float step_u = 1 / static_cast<float>(std::max(1, width - 1));
  const float step_v = 1 / static_cast<float>(std::max(1, height - 1));
  const int pixels = height * width;
  Sources sources;
  for (int y = 0; y < height; ++y) {
    const float py = static_cast<float>(y) - from_y;
    const Elastic::Row bends = elastic.row(static_cast<float>(y) * step_v);
    for (int first = 0; first < width; first += kPiece) {
      const int count = std::min(kPiece, width - first);
      for (int i = 0; i < kPiece; ++i) {
        const float px = static_cast<float>(first + i) - from_x;
        sources.x[i] = cx + xx * px + xy * py;
        sources.y[i] = cy + yx * px + yy * py;
      }
      if (a.elastic > 0) {
        for (int i = 0; i < count; ++i) {
          Elastic::bend(bends, static_cast<float>(first + i) * step_u, sources.x[i], sources.y[i]);
        }
      }
      sources.locate(height, width);
      for (int channel = 0; channel < channels; ++channel) {
        const std::uint8_t* plane = image + channel * pixels;
        real* row = out + channel * pixels + y * width + first;
        for (int i = 0; i < count; ++i) {
          const std::uint8_t* p = plane + sources.offset[i];
          const std::uint8_t* q = p + sources.below[i];
          const int right = sources.right[i];
          const float top = sources.left_weight[i] * p[0] + sources.right_weight[i] * p[right];
          const float bottom = sources.left_weight[i] * q[0] + sources.right_weight[i] * q[right];
          const float value = sources.top_weight[i] * top + sources.bottom_weight[i] * bottom;
          row[i] = static_cast<real>(std::min(255.0f, value));
        }
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
      for (int x = std::max(x0, 0); x < std::min(x0 + length, width); ++x)
        out[(c * height + y) * width + x] = 0;
    }
  }
}

std::uint64_t image_stream(std::uint64_t epoch, std::uint64_t index) { return (epoch << 32) ^ index; }

// The shortest text that reads back as the value. (std::to_chars would bring tables of 100 KB.)
std::string number_text(double value) {
  return value == std::floor(value) ? std::to_string(static_cast<long long>(value))
                                    : nlohmann::json(value).dump();
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
    const auto row =
        std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) { return r.type.name == name; });
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
    if (amount > 0)
      text += (text.empty() ? "" : ",") + std::string(row.type.name) + ":" + number_text(amount);
  }
  return text.empty() ? "none" : text;
}

void augment_image(const Augmentation& augmentation, std::uint64_t seed, std::uint64_t epoch,
                   std::uint64_t index, const std::uint8_t* image, int channels, int height, int width,
                   real* out) {
  Random random(seed, RandomStream::kAugmentation, image_stream(epoch, index));
  warp(augmentation, random, image, channels, height, width, out);
  if (augmentation.cutout > 0) cut_out(augmentation.cutout, random, channels, height, width, out);
}

MixupPair mixup_pair(const Augmentation& augmentation, std::uint64_t seed, std::uint64_t epoch,
                     std::uint64_t index, int batch_size) {
  if (augmentation.mixup <= 0) return {};
  Random random(seed, RandomStream::kMixup, image_stream(epoch, index));
  const int other = static_cast<int>(random.below(static_cast<std::uint32_t>(batch_size)));
  // The rest of the weight is at most half, spread evenly up to the strength.
  return {other, static_cast<real>(1 - 0.5 * augmentation.mixup * random.uniform())};
}

}  // namespace espalier
