// Digits drawn the way a hand draws them, in five steps:
//
//   1. the skeleton: one of the digit's variants, blended with a kindred one; every control point
//      moves a little, the ends are drawn out or cut short, every stroke is a smooth spline;
//   2. the posture: aspect, slant, rotation, and smooth waves that bend the page;
//   3. MNIST's normalisation: the inked box is scaled to 20 x 20 pixels, proportions kept;
//   4. the pen: a round nib whose radius follows the pressure, with a soft edge;
//   5. the centre of mass moves, by whole pixels, to pixel (14, 14) of the 28 x 28 image.
//
// Only core/math.h, core/random.h and correctly rounded operations: the same bytes in every build.
#include "data/digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

#include "core/math.h"
#include "core/random.h"

namespace espalier {
namespace {

constexpr int kSize = 28;
constexpr int kBox = 20;
constexpr int kMiddle = kSize / 2;
constexpr int kMaxPoints = 16;  // of a drawing

// How often a variant is written, which variants it blends with (those of the same `kin`, whose
// strokes have the same structure), and its strokes on a page of 100 x 100, origin at the top left.
// A point is "xxyy"; '!' after it makes it a corner; '/' lifts the pen.
struct Skeleton {
  int weight;
  int kin;
  std::string_view strokes;
};

constexpr Skeleton kZero[] = {
    {5, 0, "5502 3010 1550 2885 5098 7288 8550 7412 5002"},       // round
    {3, 0, "5502 4012 3350 4088 5098 6288 6850 6212 5002"},       // narrow
    {2, 0, "4206 2518 1652 3088 5296 7482 8248 7218 5506"},       // open at the top
    {3, 0, "3212 2422 1855 3288 5296 7482 8248 6515 3008"},       // pointed, from the left
    {3, 1, "6206 3408 1650 2885 5098 7288 8550 7218 5008 3826"},  // ends inside
    {2, 1, "4330 4808 2220 1650 2685 5098 7288 8250 7018 4606"},  // starts inside
    {1, 1, "7018 5808 3008 1650 2885 5098 7288 8250 7218 4206"},
};
constexpr Skeleton kOne[] = {
    {12, 0, "5000 5050 5099"},
    {3, 0, "5400 4850 5099"},
    {3, 0, "4700 5350 4899"},
    {3, 1, "4017 5200! 5150 5099"},
    {1, 1, "3028 5200! 5150 5099"},
    {1, 2, "3028 5200! 5150 5099 / 2898 7298"},
    {1, 2, "4015 5202! 5150 5098 / 2599 7597"},
};
constexpr Skeleton kTwo[] = {
    {4, 0, "1825 3505 6302 7822 6650 4075 1898! 5094 8598"},
    {3, 0, "3030 2218 4502 7018 6848 4575 1898! 4594 8898"},
    {3, 0, "1815 4004 6806 7525 6050 4072 1896! 5098 8590"},
    {3, 0, "2228 3010 5502 7018 6548 4072 2090! 5592 9599"},  // small head, long foot
    {4, 1, "2022 4003 6806 7530 5868 3592 1690 2574 4880 6892 8895"},
    {3, 1, "2530 3805 6210 6540 5070 2092 1880 3078 5085 7085 9080"},
    {3, 1, "2525 4002 6808 7032 5560 3595 1592 2276 4482 7092 9585"},
    {3, 1, "2018 4503 7012 7038 5575 3098 1588 2070 4572 6588 8592"},  // wide loop
    {2, 1, "2515 5003 7018 6550 4090 2098 1280 2868 5078 7592 9588"},
    {3, 1, "1828 3008 6002 7425 5860 3092 1290 1272 3068 5582 9590"},
    {2, 1, "2530 3508 6502 7230 6865 4595 2090 2573 5075 7590 9085"},  // upright stem
    {2, 3, "1825 3505 6302 7822 6650 4075 1895! 3586 6092 9288"},      // wavy foot
    {2, 3, "2425 4004 6806 7225 6050 3875 1895! 3895 6595 9580"},
    {2, 2, "1808 4506 7804! 5545 2095! 5094 8596"},
    {1, 2, "2220 4004 7508! 5545 1895! 5095 8892"},
};
constexpr Skeleton kThree[] = {
    {4, 0, "2215 4502 7010 7028 5542 4046! 6052 8072 6594 4099 1888"},
    {3, 0, "2006 5004 7805 6622 5535 4545! 7050 8072 6595 4098 1888"},
    {3, 0, "2518 4802 7015 6532 5042 3849! 6050 7568 7088 4598 2094"},
    {2, 0, "3012 5002 7012 6830 5845 4852! 6458 7070 6090 3899 1592"},
    {3, 0, "2212 4802 7510 7030 6044 4446! 6850 8572 6596 3598 1678"},  // curled lip
    {3, 0, "2512 4803 7010 7030 6042 5046! 6250 7868 6892 4299 1688"},  // shallow notch
    {3, 1, "2015 4502 7212 6838 5247 6852 7872 6296 3899 1585"},
    {2, 3, "2028 2208 5002 7412 6830 5542 4045! 6550 8072 6595 4099 1888"},  // hooked start
    {3, 1, "2212 5002 7415 6535 4848 6852 8070 6594 4099 1888"},
    {2, 2, "2006 5004 7804! 6225 4545! 7050 8072 6595 4098 1888"},
};
constexpr Skeleton kFour[] = {
    {5, 0, "2805 2430 1858! 5060 8555 / 7005 6850 6299"},
    {3, 0, "2202 2042 3057! 5857 8050 / 7502 7250 6999"},
    {2, 0, "3502 1845 2560! 5558 8548 / 6815 6550 5899"},
    {2, 0, "4503 3030 2552! 5052 7048 / 6505 6050 5599"},
    {2, 1, "2502 1845 3060 5558 7545 / 7802 7250 6899"},
    {3, 0, "5802 3535 1262! 5062 9060 / 6202 6050 5899"},
    {3, 2, "2203 1848 3458 6046 7502! 7050 6599"},
    {2, 3, "6002 1265! 9063 / 6202 5899"},
};
constexpr Skeleton kFive[] = {
    {3, 0, "8002 5003 3004! 2645! 5038 7860 7085 4098 1888"},
    {2, 0, "9000 6503 4005! 3245! 5542 7562 6585 4098 1892"},
    {3, 1, "3004 2645! 5038 7860 7085 4098 1888 / 2904 5503 8201"},
    {2, 1, "3504 3040! 5045 7265 6588 4098 1892 / 3506 6004 9500"},
    {3, 2, "8004 5503 3220 4540 7060 6588 4098 1890"},
    {2, 2, "8505 6004 4022 4842 6562 6085 4098 2088"},
};
constexpr Skeleton kSix[] = {
    {4, 0, "6200 3520 1860 2890 5098 7580 6558 4056 2275"},
    {3, 0, "3500 2240 2080 4598 7088 7062 5052 3058 2275"},
    {3, 0, "7005 4510 2040 1875 4598 7582 6858 4555 2270"},
    {2, 0, "5500 3530 2570 4098 6585 7065 5855 4065 3088"},
    {2, 0, "2802 1838 2078 4598 7590 8565 7048 5058 3882"},  // open bowl on the right
    {3, 0, "4500 2528 1462 2090 4598 7590 8568 6552 3564"},  // wide bowl
    {3, 0, "2800 1835 1570 3096 5598 8282 7858 5554 3076"},
    {2, 0, "3800 2530 2062 2490 4098 6588 8568 6554 2470"},
};
constexpr Skeleton kSeven[] = {
    {5, 0, "1806 5005 8004! 6040 5070 4599"},
    {3, 6, "2030 3008 5512 8502! 6040 4599"},
    {4, 1, "1812 4005 7504 7525 6055 4599"},
    {3, 2, "1806 5005 8004! 6040 5070 4599 / 3852 7548"},
    {2, 2, "1508 5006 8004! 6540 5570 4599 / 3245 8542"},
    {4, 3, "1528 1806! 5006 8204! 6245 4899"},
    {2, 4, "1528 1806! 5006 8204! 6245 4899 / 3852 7548"},
    {2, 5, "1530 1808! 4510 7006 7530 7060 6599"},
    {1, 5, "1825 2005! 4510 7504 7520 6255 5099"},
};
constexpr Skeleton kEight[] = {
    {5, 0, "7212 5202 2815 3235 5550 7568 7090 4599 2285 2868 5050 7030 7212"},
    {3, 0, "8510 5502 3015 3535 5550 7070 6590 4099 2285 3068 5050 7530 8502"},  // open
    {3, 0, "6510 5203 3815 4035 5550 6568 6090 4599 3085 3868 5050 6530 6510"},  // slim
    {3, 1, "5050 3032 3212 5202 7012 6832 5050 3068 2585 5098 7585 7068 5050"},
    {2, 2, "5550 7530 6808 4502 2512 3032 5548 7568 7090 4599 2285 3065 5550"},
    {2, 3, "2510 3030 5550 7272 6592 4598 2885 3065 5545 7525 6505 3802"},  // from the top left
    {2, 3, "3505 2822 5048 7270 7090 4899 2888 3068 5048 6828 7008 4503"},
    {1, 4, "2505 2250 2498 / 2504 6002 7020 5545 2848 6052 8072 6096 2598"},
};
constexpr Skeleton kNine[] = {
    {5, 0, "7015 5003 2815 2440 4850 7025 7205! 6855 6299"},
    {3, 0, "6512 4504 2225 3048 5544 7022 7210! 7055 7099"},
    {2, 0, "7008 4506 2025 2642 5040 7020 7505! 6255 5099"},
    {3, 1, "7015 5003 2818 2542 5048 7025 7012 7260 5095 2590"},
    {2, 1, "7012 4503 2020 2545 5048 7028 7212 6855 5598 4099"},
    {3, 2, "7505 4508 2530 4045 6535 7505! 6555 5599"},
    {2, 3, "7508 5002 2818 2840 5042 7030! 6560 5099"},  // open at the right
    {2, 3, "7505 4512 2532 3546 5542 7026! 5565 3599"},
};

struct Glyph {
  const Skeleton* variants;
  int count;
  double pen;     // the pen's mean radius, pixels
  double aspect;  // mean of ln(width), relative to the tables'
  double slant;
  double slant_spread;
};
template <int N>
constexpr Glyph glyph(const Skeleton (&variants)[N], double pen, double aspect, double slant,
                      double slant_spread) {
  return {variants, N, pen, aspect, slant, slant_spread};
}
constexpr Glyph kGlyphs[10] = {
    glyph(kZero, 1.38, 0.14, 0.22, 0.25), glyph(kOne, 1.35, 0.0, 0.24, 0.28),
    glyph(kTwo, 1.22, 0.10, 0.10, 0.26),  glyph(kThree, 1.30, 0.0, 0.07, 0.26),
    glyph(kFour, 1.16, 0.0, 0.17, 0.29),  glyph(kFive, 1.20, 0.12, 0.15, 0.29),
    glyph(kSix, 1.20, 0.0, 0.12, 0.24),   glyph(kSeven, 1.30, 0.05, 0.04, 0.25),
    glyph(kEight, 1.10, 0.0, 0.14, 0.27), glyph(kNine, 1.12, 0.0, 0.12, 0.26),
};

// Well-formed tables: kindred variants differ in digits only, and no drawing has too many points.
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool well_formed(const Glyph& glyph) {
  for (int i = 0; i < glyph.count; ++i) {
    const std::string_view a = glyph.variants[i].strokes;
    if (std::count_if(a.begin(), a.end(), is_digit) > 4 * kMaxPoints) return false;
    for (int k = 0; k < i; ++k) {
      const std::string_view b = glyph.variants[k].strokes;
      if (glyph.variants[i].kin != glyph.variants[k].kin) continue;
      if (!std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char p, char q) { return is_digit(p) ? is_digit(q) : p == q; })) {
        return false;
      }
    }
  }
  return true;
}
static_assert(std::all_of(std::begin(kGlyphs), std::end(kGlyphs), well_formed));

// Mean 0, standard deviation 1, never beyond 3.5: the sum of four uniform numbers.
double spread(Random& random) {
  const double sum = random.uniform() + random.uniform() + random.uniform() + random.uniform();
  return (sum - 2.0) * 1.7320508075688772;
}

// How much drawings vary, tuned on MNIST's validation images: nets trained on these digits alone.
// Lengths are in the page's units of 100, warps relative to a page from -1 to 1.
constexpr double kLeastJitter = 2.0, kMostJitter = 4.0;  // of a control point
constexpr double kJitterMemory = 0.5;                    // neighbours move together
constexpr double kEnds = 0.35;      // how much of its last span an end is drawn out or cut short
constexpr double kWave = 4.5;       // amplitude of a wave
constexpr double kBalance = 0.20;   // moves the middle: one loop grows, the other shrinks
constexpr double kTaper = 0.22;     // one side longer than the other
constexpr double kBend = 0.16;      // into an arc
constexpr double kAspect = 0.20;    // of ln(width)
constexpr double kTurn = 0.10;      // radians
constexpr double kPressure = 0.15;  // of the pen's radius
constexpr double kPen = 0.28;       // of ln(radius)
constexpr double kSharpest = 1.0, kSoftest = 1.4;  // width of the pen's edge, pixels

struct Point {
  double x = 0;
  double y = 0;
  bool corner = false;
  bool last = false;  // the pen is lifted after it
};
using Points = std::array<Point, kMaxPoints>;

int parse(std::string_view text, Points& points) {
  int count = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto digit = [&](std::size_t at) { return static_cast<double>(text[i + at] - '0'); };
    switch (text[i]) {
      case ' ':
        ++i;
        break;
      case '!':
        points[count - 1].corner = true;
        ++i;
        break;
      case '/':
        points[count - 1].last = true;
        ++i;
        break;
      default:
        points[count++] = {.x = digit(0) * 10 + digit(1), .y = digit(2) * 10 + digit(3)};
        i += 4;
    }
  }
  points[count - 1].last = true;
  return count;
}

// A variant by weight, among those of `kin` (-1: among all).
const Skeleton& choose(const Glyph& glyph, int kin, Random& random) {
  int total = 0;
  for (int i = 0; i < glyph.count; ++i) {
    if (kin < 0 || glyph.variants[i].kin == kin) total += glyph.variants[i].weight;
  }
  auto ticket = static_cast<int>(random.below(static_cast<std::uint32_t>(total)));
  for (int i = 0; i < glyph.count; ++i) {
    const Skeleton& variant = glyph.variants[i];
    if (kin >= 0 && variant.kin != kin) continue;
    ticket -= variant.weight;
    if (ticket < 0) return variant;
  }
  return glyph.variants[0];
}

// A straight piece of a stroke, with the pen's relative radius at both ends.
struct Segment {
  float ax, ay, ar;
  float bx, by, br;
};
constexpr int kSteps = 5;  // segments between two control points
struct Drawing {
  std::array<Segment, kMaxPoints * kSteps> segments;
  int count = 0;
};

// Splines through the points. The tangent at a point is half the chord between its neighbours,
// at a corner or an end the chord to the only neighbour on that side.
void flatten(const Points& points, int count, Drawing& drawing) {
  for (int i = 0; i + 1 < count; ++i) {
    if (points[i].last) continue;
    const Point& p = points[i];
    const Point& q = points[i + 1];
    const bool starts = i == 0 || points[i - 1].last || p.corner;
    const bool ends = q.last || q.corner;
    const double chord_x = q.x - p.x, chord_y = q.y - p.y;
    const double px = starts ? chord_x : 0.5 * (q.x - points[i - 1].x);
    const double py = starts ? chord_y : 0.5 * (q.y - points[i - 1].y);
    const double qx = ends ? chord_x : 0.5 * (points[i + 2].x - p.x);
    const double qy = ends ? chord_y : 0.5 * (points[i + 2].y - p.y);
    auto x = static_cast<float>(p.x), y = static_cast<float>(p.y);
    for (int step = 1; step <= kSteps; ++step) {
      const double t = static_cast<double>(step) / kSteps;
      const double t2 = t * t, t3 = t2 * t;
      const double h00 = 2 * t3 - 3 * t2 + 1, h10 = t3 - 2 * t2 + t;
      const double h01 = 3 * t2 - 2 * t3, h11 = t3 - t2;
      const auto next_x = static_cast<float>(h00 * p.x + h10 * px + h01 * q.x + h11 * qx);
      const auto next_y = static_cast<float>(h00 * p.y + h10 * py + h01 * q.y + h11 * qy);
      drawing.segments[drawing.count++] = {x, y, 1.0f, next_x, next_y, 1.0f};
      x = next_x;
      y = next_y;
    }
  }
}

// Step 1.
void draw_skeleton(const Glyph& glyph, Random& random, Drawing& drawing) {
  Points points;
  Points other;
  const Skeleton& first = choose(glyph, -1, random);
  const Skeleton& second = choose(glyph, first.kin, random);
  const int count = parse(first.strokes, points);
  parse(second.strokes, other);
  const double blend = random.uniform(0.0, 0.7);
  const double jitter = random.uniform(kLeastJitter, kMostJitter);
  double off_x = 0, off_y = 0;
  for (int i = 0; i < count; ++i) {
    off_x = kJitterMemory * off_x + jitter * spread(random);
    off_y = kJitterMemory * off_y + jitter * spread(random);
    points[i].x += blend * (other[i].x - points[i].x) + off_x;
    points[i].y += blend * (other[i].y - points[i].y) + off_y;
  }
  for (int i = 0; i < count; ++i) {
    const bool starts = i == 0 || points[i - 1].last;
    if (!starts && !points[i].last) continue;
    const Point& inner = points[starts ? i + 1 : i - 1];
    const double amount = random.uniform(-kEnds, kEnds);
    points[i].x += amount * (points[i].x - inner.x);
    points[i].y += amount * (points[i].y - inner.y);
  }
  flatten(points, count, drawing);
}

// A smooth wave across the page (from -50 to 50) that moves every point along a direction of its own.
struct Wave {
  double kx, ky, phase, dx, dy;
  explicit Wave(Random& random)
      : kx(random.uniform(-0.055, 0.055)),
        ky(random.uniform(-0.055, 0.055)),
        phase(random.uniform(0.0, 2 * math::kPi)),
        dx(kWave * spread(random)),
        dy(kWave * spread(random)) {}
};

// Step 2.
void pose(const Glyph& glyph, Random& random, Drawing& drawing) {
  const double aspect = math::exp(glyph.aspect + kAspect * spread(random));
  const double slant = glyph.slant + glyph.slant_spread * spread(random);
  const double angle = kTurn * spread(random);
  const double cosine = math::cos(angle), sine = math::sin(angle);
  const Wave waves[2] = {Wave(random), Wave(random)};
  const double pressure = kPressure * spread(random);
  const double pressure_phase = random.uniform(0.0, 2 * math::kPi);
  const double pressure_rate = random.uniform(0.05, 0.4);
  const double balance_x = kBalance * spread(random), balance_y = kBalance * spread(random);
  const double taper_x = kTaper * spread(random), taper_y = kTaper * spread(random);
  const double bend_x = kBend * spread(random), bend_y = kBend * spread(random);
  const auto place = [&](float& x, float& y) {
    const double page_u = (x - 50.0) * 0.02, page_v = (y - 50.0) * 0.02;
    const double skew = page_u * page_v;
    double u = 50 * (page_u + balance_x * (1 - page_u * page_u) + taper_x * skew + bend_x * page_v * page_v);
    double v = 50 * (page_v + balance_y * (1 - page_v * page_v) + taper_y * skew + bend_y * page_u * page_u);
    double du = 0, dv = 0;
    for (const Wave& wave : waves) {
      const double s = math::sin(wave.kx * u + wave.ky * v + wave.phase);
      du += s * wave.dx;
      dv += s * wave.dy;
    }
    v += dv;
    u = (u + du) * aspect - slant * v;
    x = static_cast<float>(u * cosine - v * sine);
    y = static_cast<float>(u * sine + v * cosine);
  };
  const auto press = [&](int i) {
    return static_cast<float>(1.0 + pressure * math::sin(pressure_phase + pressure_rate * i));
  };
  float end_x = 0, end_y = 0;  // of the segment before, on the page
  float pressed = press(0);
  for (int i = 0; i < drawing.count; ++i) {
    Segment& s = drawing.segments[i];
    // Most segments begin where the one before has ended.
    const bool goes_on = i > 0 && s.ax == end_x && s.ay == end_y;
    end_x = s.bx;
    end_y = s.by;
    if (goes_on) {
      s.ax = drawing.segments[i - 1].bx;
      s.ay = drawing.segments[i - 1].by;
    } else {
      place(s.ax, s.ay);
    }
    place(s.bx, s.by);
    s.ar = pressed;
    s.br = pressed = press(i + 1);
  }
}

// Step 3: the drawing in pixels, pixel (x, y) covering x ± 1/2 and y ± 1/2.
void fit(float radius, Drawing& drawing) {
  float left = 1e9f, right = -1e9f, top = 1e9f, bottom = -1e9f;
  for (int i = 0; i < drawing.count; ++i) {
    const Segment& s = drawing.segments[i];
    left = std::min({left, s.ax, s.bx});
    right = std::max({right, s.ax, s.bx});
    top = std::min({top, s.ay, s.by});
    bottom = std::max({bottom, s.ay, s.by});
  }
  const float scale = (kBox - 2 * radius) / std::max({right - left, bottom - top, 1.0f});
  const float shift_x = 0.5f * (kSize - 1) - scale * 0.5f * (left + right);
  const float shift_y = 0.5f * (kSize - 1) - scale * 0.5f * (top + bottom);
  for (int i = 0; i < drawing.count; ++i) {
    const Segment& s = drawing.segments[i];
    drawing.segments[i] = {s.ax * scale + shift_x, s.ay * scale + shift_y, s.ar * radius,
                           s.bx * scale + shift_x, s.by * scale + shift_y, s.br * radius};
  }
}

using Pixels = std::array<std::uint8_t, kSize * kSize>;

// Four neighbouring pixels: this loop is most of the work, and four times as fast for it.
using Four __attribute__((vector_size(16))) = float;
constexpr int kFours = kSize / 4;
Four four(float value) { return Four{value, value, value, value}; }
Four larger(Four a, Four b) { return a > b ? a : b; }
Four smaller(Four a, Four b) { return a < b ? a : b; }
Four root(Four x) {
#if defined(__clang__)
  return __builtin_elementwise_sqrt(x);
#else
  for (int i = 0; i < 4; ++i) x[i] = std::sqrt(x[i]);
  return x;
#endif
}

// Step 4: a pixel's depth in the ink is the radius minus the distance to the nearest segment.
void ink(const Drawing& drawing, float softness, Pixels& pixels) {
  std::array<Four, kSize * kFours> depth;
  depth.fill(four(-8.0f));
  for (int i = 0; i < drawing.count; ++i) {
    const Segment& s = drawing.segments[i];
    const float dx = s.bx - s.ax, dy = s.by - s.ay, dr = s.br - s.ar;
    const float inverse = 1.0f / std::max(dx * dx + dy * dy, 1e-6f);
    const float reach = std::max(s.ar, s.br) + 1.0f;
    // Whole fours: what is further away than the reach is as white as the page.
    const int x0 = std::max(0, static_cast<int>(std::floor(std::min(s.ax, s.bx) - reach))) / 4;
    const int x1 = std::min(kSize - 1, static_cast<int>(std::floor(std::max(s.ax, s.bx) + reach)) + 1) / 4;
    const int y0 = std::max(0, static_cast<int>(std::floor(std::min(s.ay, s.by) - reach)));
    const int y1 = std::min(kSize - 1, static_cast<int>(std::floor(std::max(s.ay, s.by) + reach)) + 1);
    for (int y = y0; y <= y1; ++y) {
      const float py = static_cast<float>(y) - s.ay;
      for (int x = x0; x <= x1; ++x) {
        const auto left = static_cast<float>(4 * x);
        const Four px = Four{left, left + 1, left + 2, left + 3} - s.ax;
        const Four t = smaller(four(1.0f), larger(four(0.0f), (px * dx + py * dy) * inverse));
        const Four ex = px - t * dx, ey = py - t * dy;
        Four& deepest = depth[y * kFours + x];
        deepest = larger(deepest, s.ar + t * dr - root(ex * ex + ey * ey));
      }
    }
  }
  const float sharpness = 255.0f / softness;
  for (int i = 0; i < kSize * kSize; ++i) {
    const float grey = depth[i / 4][i % 4] * sharpness + 127.5f;
    pixels[i] = static_cast<std::uint8_t>(std::min(255.0f, std::max(0.0f, grey)));
  }
}

// Step 5.
void centre(const Pixels& pixels, std::uint8_t* image) {
  int mass = 1, mass_x = 0, mass_y = 0;
  for (int y = 0; y < kSize; ++y) {
    for (int x = 0; x < kSize; ++x) {
      const int grey = pixels[y * kSize + x];
      mass += grey;
      mass_x += grey * x;
      mass_y += grey * y;
    }
  }
  const int move_x = kMiddle - (2 * mass_x + mass) / (2 * mass);
  const int move_y = kMiddle - (2 * mass_y + mass) / (2 * mass);
  std::memset(image, 0, kSize * kSize);
  for (int y = std::max(0, -move_y); y < std::min(kSize, kSize - move_y); ++y) {
    for (int x = std::max(0, -move_x); x < std::min(kSize, kSize - move_x); ++x) {
      image[(y + move_y) * kSize + x + move_x] = pixels[y * kSize + x];
    }
  }
}

// Images of one split: classes in turn, in a shuffled order. Image i has the index first + i, so
// splits with disjoint ranges of indices share no image.
void fill(Split& split, int count, std::uint64_t seed, std::uint64_t first, int order, ThreadPool& pool) {
  constexpr std::size_t kPixels = kSize * kSize;
  split.labels.resize(static_cast<std::size_t>(count));
  split.images.resize(static_cast<std::size_t>(count) * kPixels);
  for (int i = 0; i < count; ++i) split.labels[i] = static_cast<std::uint16_t>(i % 10);
  // ~order: away from the shuffles of training epochs, which count up from 0.
  Random random(seed, RandomStream::kShuffle, ~static_cast<std::uint64_t>(order));
  for (int i = count - 1; i > 0; --i) {
    std::swap(split.labels[i], split.labels[random.below(static_cast<std::uint32_t>(i) + 1)]);
  }
  pool.run(count, [&](int i, int) {
    draw_digit(seed, first + static_cast<std::uint64_t>(i), split.labels[i],
               split.images.data() + static_cast<std::size_t>(i) * kPixels);
  });
}

}  // namespace

void draw_digit(std::uint64_t seed, std::uint64_t index, int label, std::uint8_t* image) {
  Random random(seed, RandomStream::kDigits, index * 10 + static_cast<std::uint64_t>(label));
  const Glyph& glyph = kGlyphs[label];
  Drawing drawing;
  draw_skeleton(glyph, random, drawing);
  pose(glyph, random, drawing);
  fit(static_cast<float>(glyph.pen * math::exp(kPen * spread(random))), drawing);
  Pixels pixels;
  ink(drawing, static_cast<float>(random.uniform(kSharpest, kSoftest)), pixels);
  centre(pixels, image);
}

Dataset synthetic_digits(int train_count, int test_count, std::uint64_t seed, ThreadPool& pool) {
  constexpr std::uint64_t kTestIndices = std::uint64_t{1} << 40;  // beyond any training index
  Dataset dataset;
  dataset.name = "built-in digits";
  dataset.height = kSize;
  dataset.width = kSize;
  for (int label = 0; label < 10; ++label) dataset.class_names.push_back(std::to_string(label));
  fill(dataset.train, train_count, seed, 0, 1, pool);
  fill(dataset.test, test_count, seed, kTestIndices, 2, pool);
  split_validation(dataset);
  return dataset;
}

Dataset synthetic_digits(int train_count, int test_count, std::uint64_t seed) {
  ThreadPool pool(1);
  return synthetic_digits(train_count, test_count, seed, pool);
}

}  // namespace espalier
