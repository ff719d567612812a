// One inverse map from output to input pixels (shift, rotation, scale, shear, then an elastic
// displacement), sampled bilinearly over a black background, then a square cut out.
#include "data/augment.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

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

// A plane of bytes with black around it: a pixel before the first, two behind the last one of each row and
// column. So every position between -1 and the extent has four neighbours, and none needs a test.
struct Bordered {
  std::uint8_t* bytes;
  int height, width;

  int stride_bits() const { return std::bit_width(static_cast<unsigned>(width + 2)); }
  std::size_t size() const { return static_cast<std::size_t>(height + 3) << stride_bits(); }
  void fill(const std::uint8_t* plane) const {
    std::memset(bytes, 0, size());
    for (int y = 0; y < height; ++y) {
      std::memcpy(bytes + ((y + 1) << stride_bits()) + 1, plane + y * width, static_cast<std::size_t>(width));
    }
  }
};

// Positions are counted in steps of 1/256 from the border's first pixel, so that weights are small whole
// numbers and every sum of products is exact.
constexpr float kSteps = 256;
float steps(float position) { return (position + 1) * kSteps; }

// Where the pixels of a piece of an output row come from. No branch in these loops: they vectorise, all but
// the loads of the neighbours.
constexpr std::size_t kPiece = 32;

// Even where code is built small, as in WebAssembly.
#if defined(__clang__)
#define ESPALIER_VECTORISE _Pragma("clang loop vectorize(enable) interleave(disable) unroll(disable)")
#else
#define ESPALIER_VECTORISE
#endif

struct Sources {
  std::array<float, kPiece> x, y;
  std::array<std::int32_t, kPiece> offset;        // of the upper left neighbour
  std::array<std::uint16_t, kPiece> right, down;  // what is left to go from there, in [0, 256)

  void locate(const Bordered& plane) {
    const float last_x = steps(static_cast<float>(plane.width)),
                last_y = steps(static_cast<float>(plane.height));
    const int bits = plane.stride_bits();
    ESPALIER_VECTORISE
    for (std::size_t i = 0; i < kPiece; ++i) {
      const auto column = static_cast<std::int32_t>(clamp(x[i], last_x));
      const auto row = static_cast<std::int32_t>(clamp(y[i], last_y));
      offset[i] = ((row >> 8) << bits) + (column >> 8);
      right[i] = static_cast<std::uint16_t>(column & 255);
      down[i] = static_cast<std::uint16_t>(row & 255);
    }
  }

  void sample(const Bordered& plane, int count, real* out) const {
    const std::uint8_t* next_row = plane.bytes + (1 << plane.stride_bits());
    std::array<std::uint16_t, kPiece> top, bottom;
    for (std::size_t i = 0; i < kPiece; ++i) {
      top[i] = pair(plane.bytes + offset[i]);
      bottom[i] = pair(next_row + offset[i]);
    }
    std::array<float, kPiece> values;
    ESPALIER_VECTORISE
    for (std::size_t i = 0; i < kPiece; ++i) {
      const std::uint32_t upper = blend(top[i], right[i]), lower = blend(bottom[i], right[i]);
      const std::uint32_t value = upper * (256u - down[i]) + lower * down[i];
      values[i] = static_cast<float>(static_cast<std::int32_t>(value)) * (1 / (kSteps * kSteps));
    }
    std::copy_n(values.begin(), count, out);
  }

 private:
  static float clamp(float value, float last) {
    const float positive = value > 0 ? value : 0;
    return positive < last ? positive : last;
  }
  // Two neighbours, the left one in the low byte.
  static std::uint16_t pair(const std::uint8_t* p) {
    static_assert(std::endian::native == std::endian::little);
    std::uint16_t both;
    std::memcpy(&both, p, 2);
    return both;
  }
  static std::uint16_t blend(std::uint16_t both, std::uint16_t right) {
    return static_cast<std::uint16_t>((both & 255) * (256 - right) + (both >> 8) * right);
  }
};

void warp(const Augmentation& a, Random& random, const std::uint8_t* image, int channels, int height,
          int width, std::uint8_t* scratch, real* out) {
  const double degree = math::kPi / 180;
  const double dx = random.uniform(-a.shift, a.shift), dy = random.uniform(-a.shift, a.shift);
  const double angle = random.uniform(-a.rotation, a.rotation) * degree;
  const double zoom = 1 / (1 + random.uniform(-a.scale, a.scale));
  const double shear_angle = random.uniform(-a.shear, a.shear) * degree;
  const double shear = math::sin(shear_angle) / math::cos(shear_angle);
  std::optional<Elastic> elastic;
  if (a.elastic > 0) elastic.emplace(kSteps * a.elastic, random);
  // Source = centre + zoom · rotation · shear · (target - centre - shift).
  const double c = math::cos(angle) * zoom, s = math::sin(angle) * zoom;
  const auto xx = static_cast<float>(c), xy = static_cast<float>(c * shear - s);
  const auto yx = static_cast<float>(s), yy = static_cast<float>(s * shear + c);
  const float cx = static_cast<float>(width - 1) * 0.5f, cy = static_cast<float>(height - 1) * 0.5f;
  const float from_x = cx + static_cast<float>(dx), from_y = cy + static_cast<float>(dy);
  const float step_u = 1 / static_cast<float>(std::max(1, width - 1));
  const float step_v = 1 / static_cast<float>(std::max(1, height - 1));
  const int pixels = height * width;
  const auto plane = [&](int channel) {
    const Bordered first{scratch, height, width};
    return Bordered{scratch + static_cast<std::size_t>(channel) * first.size(), height, width};
  };
  for (int channel = 0; channel < channels; ++channel) plane(channel).fill(image + channel * pixels);
  Sources sources;
  for (int y = 0; y < height; ++y) {
    const float py = static_cast<float>(y) - from_y;
    for (int first = 0; first < width; first += kPiece) {
      const int count = std::min(static_cast<int>(kPiece), width - first);
      const float px = static_cast<float>(first) - from_x;
      const float row_x = steps(cx + xx * px + xy * py), row_y = steps(cy + yx * px + yy * py);
      ESPALIER_VECTORISE
      for (std::size_t i = 0; i < kPiece; ++i) {
        const auto along = static_cast<float>(static_cast<std::int32_t>(i));
        sources.x[i] = row_x + kSteps * xx * along;
        sources.y[i] = row_y + kSteps * yx * along;
      }
      if (elastic) {
        const Elastic::Row bends = elastic->row(static_cast<float>(y) * step_v);
        for (int i = 0; i < count; ++i) {
          Elastic::bend(bends, static_cast<float>(first + i) * step_u, sources.x[i], sources.y[i]);
        }
      }
      sources.locate(plane(0));
      for (int channel = 0; channel < channels; ++channel) {
        sources.sample(plane(channel), count, out + channel * pixels + y * width + first);
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

std::size_t augment_scratch(int channels, int height, int width) {
  return static_cast<std::size_t>(channels) * Bordered{nullptr, height, width}.size();
}

void augment_image(const Augmentation& augmentation, std::uint64_t seed, std::uint64_t epoch,
                   std::uint64_t index, const std::uint8_t* image, int channels, int height, int width,
                   std::uint8_t* scratch, real* out) {
  Random random(seed, RandomStream::kAugmentation, image_stream(epoch, index));
  warp(augmentation, random, image, channels, height, width, scratch, out);
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
