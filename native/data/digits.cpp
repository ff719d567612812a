// Digits as a pen would draw them. A digit is one of several skeletons: strokes through a few
// control points, joined by Catmull-Rom splines. One image is made in five steps:
//
//   1. choose a skeleton and move its control points a little; draw out or cut short the ends;
//   2. sample the splines, with the pen's pressure changing along each stroke;
//   3. bend the plane smoothly (sines and a quadratic), then rotate, slant and stretch it;
//   4. normalize as MNIST does: the ink fits a 20 x 20 box and its centre of mass is the centre of
//      the 28 x 28 image;
//   5. shade every pixel by its distance to the nearest segment, with a soft edge.
//
// Everything is +, -, *, /, sqrt, floor and the functions of core/math.h, so that a seed draws the
// same bytes in every build.
#include "data/digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include "core/math.h"
#include "core/random.h"

namespace espalier {
namespace {

constexpr int kSide = 28;
constexpr double kBox = 20.0;     // the side of the box that MNIST fits a digit into
constexpr double kCentre = 14.0;  // where MNIST puts the centre of mass: the centre of pixel 14

// What the pen does at a control point: comes down and starts a stroke, passes smoothly, turns a
// corner, or passes smoothly where the stroke began, which closes a loop.
enum Pen : std::uint8_t { kDown, kSmooth, kCorner, kMeet };

struct Control {
  float x, y;  // y from 0 (top) to 1 (bottom); x in the same unit
  Pen pen = kSmooth;
};

constexpr int kMaxControls = 20;

struct Skeleton {
  int label;
  int weight;  // how often it is drawn, relative to the others of its label
  int count;
  Control points[kMaxControls];
};

template <int N>
constexpr Skeleton skeleton(int label, int weight, const Control (&points)[N]) {
  static_assert(N <= kMaxControls);
  Skeleton result{.label = label, .weight = weight, .count = N, .points = {}};
  for (int i = 0; i < N; ++i) result.points[i] = points[i];
  return result;
}

// In the order of their labels.
constexpr Skeleton kSkeletons[] = {
    // 0: round; narrow; begun on the right with a tail inside.
    skeleton(0, 4,
             {{.40f, .00f, kDown},
              {.12f, .14f},
              {.00f, .50f},
              {.11f, .87f},
              {.36f, 1.00f},
              {.63f, .85f},
              {.72f, .48f},
              {.62f, .13f},
              {.36f, .00f, kMeet}}),
    skeleton(0, 3,
             {{.30f, .02f, kDown},
              {.08f, .18f},
              {.00f, .55f},
              {.08f, .90f},
              {.24f, 1.00f},
              {.42f, .82f},
              {.48f, .45f},
              {.40f, .10f},
              {.24f, .00f, kMeet}}),
    skeleton(0, 3,
             {{.58f, .12f, kDown},
              {.36f, .00f},
              {.10f, .18f},
              {.00f, .58f},
              {.13f, .93f},
              {.36f, 1.00f},
              {.62f, .78f},
              {.68f, .40f},
              {.55f, .12f, kMeet},
              {.34f, .10f}}),
    skeleton(0, 1,
             {{.30f, .06f, kDown},
              {.08f, .20f},
              {.00f, .60f},
              {.13f, .93f},
              {.36f, 1.00f},
              {.62f, .78f},
              {.68f, .40f},
              {.55f, .10f},
              {.34f, .00f, kMeet},
              {.22f, .12f},
              {.34f, .26f}}),
    // 1: plain; with a flag; with flag and foot.
    skeleton(1, 9, {{.02f, .00f, kDown}, {.01f, .33f}, {.00f, .67f}, {.00f, 1.00f}}),
    skeleton(1, 1, {{.00f, .22f, kDown}, {.20f, .00f, kCorner}, {.20f, .50f}, {.19f, 1.00f}}),
    skeleton(1, 1,
             {{.06f, .20f, kDown},
              {.28f, .00f, kCorner},
              {.27f, .50f},
              {.27f, 1.00f},
              {.00f, 1.00f, kDown},
              {.27f, 1.00f},
              {.54f, .99f}}),
    // 2: plain, with a corner; with a loop; flowing.
    skeleton(2, 4,
             {{.04f, .25f, kDown},
              {.20f, .02f},
              {.46f, .05f},
              {.56f, .28f},
              {.42f, .60f},
              {.20f, .82f},
              {.00f, 1.00f, kCorner},
              {.32f, .98f},
              {.68f, .97f}}),
    skeleton(2, 4,
             {{.04f, .22f, kDown},
              {.24f, .01f},
              {.50f, .07f},
              {.54f, .35f},
              {.38f, .70f},
              {.16f, .96f},
              {.02f, .96f},
              {.06f, .81f},
              {.24f, .81f},
              {.46f, .94f},
              {.72f, .95f}}),
    skeleton(2, 3,
             {{.04f, .20f, kDown},
              {.22f, .00f},
              {.44f, .07f},
              {.46f, .33f},
              {.30f, .66f},
              {.10f, .89f},
              {-.04f, .94f},
              {-.06f, .82f},
              {.10f, .76f},
              {.32f, .86f},
              {.52f, .95f},
              {.74f, .88f}}),
    skeleton(2, 2,
             {{.00f, .13f, kDown},
              {.22f, .00f},
              {.48f, .09f},
              {.52f, .38f},
              {.34f, .73f},
              {.08f, .98f, kCorner},
              {.22f, .88f},
              {.44f, .93f},
              {.66f, 1.00f}}),
    skeleton(2, 3,
             {{.06f, .16f, kDown},
              {.26f, .00f},
              {.46f, .09f},
              {.48f, .35f},
              {.36f, .66f},
              {.18f, .88f},
              {.02f, .94f},
              {-.06f, .82f},
              {.04f, .70f},
              {.22f, .73f},
              {.40f, .88f},
              {.62f, .97f}}),
    skeleton(2, 1,
             {{.04f, .33f, kDown},
              {.02f, .13f},
              {.20f, .00f},
              {.40f, .09f},
              {.42f, .35f},
              {.30f, .66f},
              {.12f, .95f, kCorner},
              {.40f, .91f},
              {.70f, .82f}}),
    // 3: round; with a small loop in the middle; with a soft one; flat-topped; hooked below.
    skeleton(3, 4,
             {{.02f, .16f, kDown},
              {.12f, .04f},
              {.30f, .00f},
              {.47f, .08f},
              {.50f, .24f},
              {.41f, .38f},
              {.24f, .46f, kCorner},
              {.42f, .50f},
              {.57f, .62f},
              {.58f, .80f},
              {.46f, .95f},
              {.26f, 1.00f},
              {.05f, .92f}}),
    skeleton(3, 2,
             {{-.01f, .12f, kDown},
              {.20f, .00f},
              {.42f, .05f},
              {.48f, .22f},
              {.39f, .38f},
              {.22f, .49f},
              {.15f, .46f},
              {.25f, .43f},
              {.46f, .50f},
              {.60f, .70f},
              {.51f, .92f},
              {.30f, 1.00f},
              {.07f, .93f}}),
    skeleton(3, 3,
             {{.01f, .10f, kDown},
              {.18f, .01f},
              {.38f, .05f},
              {.44f, .22f},
              {.33f, .38f},
              {.20f, .46f},
              {.36f, .50f},
              {.51f, .62f},
              {.52f, .80f},
              {.38f, .96f},
              {.16f, 1.00f},
              {.03f, .92f}}),
    skeleton(3, 1,
             {{-.04f, .02f, kDown},
              {.22f, .01f},
              {.50f, .00f, kCorner},
              {.38f, .20f},
              {.25f, .40f, kCorner},
              {.46f, .46f},
              {.59f, .62f},
              {.59f, .82f},
              {.42f, .98f},
              {.22f, 1.00f},
              {.05f, .92f}}),
    skeleton(3, 2,
             {{.02f, .20f, kDown},
              {.06f, .06f},
              {.24f, .00f},
              {.43f, .08f},
              {.42f, .28f},
              {.25f, .42f, kCorner},
              {.48f, .48f},
              {.63f, .66f},
              {.59f, .88f},
              {.38f, 1.00f},
              {.14f, .94f},
              {.04f, .80f}}),
    // 4: open, two strokes; open, with the upright separate; closed.
    skeleton(4, 4,
             {{.06f, .02f, kDown},
              {.02f, .30f},
              {.06f, .50f},
              {.28f, .52f},
              {.58f, .44f},
              {.58f, .04f, kDown},
              {.54f, .50f},
              {.50f, 1.00f}}),
    skeleton(4, 3,
             {{.10f, .00f, kDown},
              {.05f, .26f},
              {.00f, .52f, kCorner},
              {.30f, .52f},
              {.64f, .48f},
              {.54f, .10f, kDown},
              {.50f, .55f},
              {.46f, 1.00f}}),
    skeleton(4, 2,
             {{.44f, .00f, kDown},
              {.22f, .32f},
              {.00f, .62f, kCorner},
              {.30f, .62f},
              {.68f, .60f},
              {.44f, .00f, kDown},
              {.43f, .50f},
              {.42f, 1.00f}}),
    skeleton(4, 2,
             {{.16f, .00f, kDown},
              {.08f, .25f},
              {.00f, .50f, kCorner},
              {.30f, .50f},
              {.70f, .46f},
              {.42f, .26f, kDown},
              {.38f, .62f},
              {.34f, 1.00f}}),
    // 5: hat as a separate stroke; all in one; flowing.
    skeleton(5, 4,
             {{.16f, .02f, kDown},
              {.12f, .22f},
              {.08f, .42f, kCorner},
              {.28f, .37f},
              {.46f, .43f},
              {.54f, .60f},
              {.50f, .82f},
              {.36f, .96f},
              {.18f, 1.00f},
              {.00f, .92f},
              {.16f, .02f, kDown},
              {.45f, .02f},
              {.78f, .00f}}),
    skeleton(5, 3,
             {{.74f, .00f, kDown},
              {.45f, .02f},
              {.18f, .04f, kCorner},
              {.14f, .22f},
              {.10f, .42f, kCorner},
              {.32f, .40f},
              {.48f, .50f},
              {.52f, .68f},
              {.44f, .88f},
              {.24f, 1.00f},
              {.00f, .94f}}),
    skeleton(5, 2,
             {{.86f, .00f, kDown},
              {.49f, .02f},
              {.22f, .10f},
              {.16f, .30f},
              {.30f, .44f},
              {.44f, .58f},
              {.44f, .80f},
              {.28f, .96f},
              {.10f, 1.00f},
              {-.04f, .92f}}),
    skeleton(5, 2,
             {{.08f, .02f, kDown},
              {.04f, .22f},
              {.04f, .40f, kCorner},
              {.28f, .38f},
              {.44f, .52f},
              {.46f, .72f},
              {.34f, .92f},
              {.16f, 1.00f},
              {.02f, .90f},
              {.06f, .78f},
              {.08f, .08f, kDown},
              {.33f, .05f},
              {.66f, .02f}}),
    // 6, drawn backwards from the loop: a curved stem; a straight one; a wide loop.
    skeleton(6, 4,
             {{.08f, .84f, kDown},
              {.17f, .70f},
              {.34f, .61f},
              {.51f, .72f},
              {.51f, .91f},
              {.32f, 1.00f},
              {.11f, .94f},
              {.04f, .74f, kMeet},
              {.09f, .42f},
              {.21f, .17f},
              {.38f, .00f}}),
    skeleton(6, 3,
             {{.06f, .84f, kDown},
              {.13f, .72f},
              {.27f, .67f},
              {.43f, .74f},
              {.45f, .91f},
              {.30f, 1.00f},
              {.09f, .94f},
              {.01f, .74f, kMeet},
              {.07f, .40f},
              {.22f, .00f}}),
    skeleton(6, 2,
             {{.07f, .77f, kDown},
              {.20f, .63f},
              {.42f, .57f},
              {.61f, .72f},
              {.55f, .92f},
              {.30f, 1.00f},
              {.07f, .87f},
              {.02f, .63f, kMeet},
              {.17f, .22f},
              {.46f, .02f}}),
    // 7: plain; with a hook; with a bar; with a curved leg; arched.
    skeleton(
        7, 4,
        {{-.07f, .06f, kDown}, {.19f, .06f}, {.47f, .02f, kCorner}, {.38f, .36f}, {.31f, .68f}, {.28f, 1.00f}}),
    skeleton(7, 3,
             {{-.04f, .22f, kDown},
              {-.02f, .05f, kCorner},
              {.23f, .06f},
              {.51f, .02f, kCorner},
              {.39f, .40f},
              {.33f, .70f},
              {.32f, 1.00f}}),
    skeleton(7, 2,
             {{-.05f, .06f, kDown},
              {.21f, .05f},
              {.51f, .00f, kCorner},
              {.40f, .36f},
              {.33f, .68f},
              {.28f, 1.00f},
              {.13f, .54f, kDown},
              {.36f, .51f},
              {.60f, .48f}}),
    skeleton(7, 3,
             {{-.06f, .10f, kDown},
              {.17f, .02f},
              {.39f, .04f},
              {.50f, .20f},
              {.44f, .50f},
              {.40f, .76f},
              {.38f, 1.00f}}),
    skeleton(7, 2,
             {{-.04f, .26f, kDown},
              {.00f, .08f},
              {.18f, .08f},
              {.38f, .10f},
              {.53f, .00f, kCorner},
              {.45f, .30f},
              {.36f, .64f},
              {.29f, 1.00f}}),
    skeleton(7, 2,
             {{-.03f, .42f, kDown},
              {-.02f, .22f},
              {.01f, .06f, kCorner},
              {.26f, .08f},
              {.51f, .00f, kCorner},
              {.43f, .32f},
              {.34f, .66f},
              {.29f, 1.00f}}),
    // 8: one stroke begun at the top right; begun in the middle; two circles; open at the top.
    skeleton(8, 5,
             {{.50f, .10f, kDown},
              {.28f, .00f},
              {.08f, .12f},
              {.12f, .34f},
              {.34f, .52f},
              {.46f, .76f},
              {.30f, 1.00f},
              {.06f, .90f},
              {.06f, .70f},
              {.26f, .50f},
              {.48f, .28f},
              {.50f, .08f, kMeet}}),
    skeleton(8, 2,
             {{.26f, .46f, kDown},
              {.06f, .28f},
              {.12f, .04f},
              {.34f, .00f},
              {.48f, .18f},
              {.34f, .40f},
              {.10f, .62f},
              {.02f, .86f},
              {.22f, 1.00f},
              {.44f, .88f},
              {.42f, .64f},
              {.24f, .46f, kMeet}}),
    skeleton(8, 2,
             {{.26f, .00f, kDown},
              {.08f, .10f},
              {.08f, .34f},
              {.26f, .46f},
              {.44f, .34f},
              {.44f, .10f},
              {.26f, .00f, kMeet},
              {.26f, .46f, kDown},
              {.04f, .58f},
              {.02f, .86f},
              {.26f, 1.00f},
              {.50f, .86f},
              {.48f, .58f},
              {.26f, .46f, kMeet}}),
    skeleton(8, 3,
             {{.54f, .16f, kDown},
              {.42f, .02f},
              {.20f, .04f},
              {.08f, .20f},
              {.20f, .38f},
              {.38f, .56f},
              {.40f, .82f},
              {.22f, 1.00f},
              {.04f, .90f},
              {.06f, .72f},
              {.22f, .52f},
              {.42f, .30f},
              {.62f, .06f}}),
    skeleton(8, 2,
             {{.46f, .14f, kDown},
              {.34f, .02f},
              {.18f, .08f},
              {.16f, .24f},
              {.28f, .36f},
              {.44f, .52f},
              {.52f, .76f},
              {.32f, 1.00f},
              {.04f, .92f},
              {.02f, .72f},
              {.20f, .50f},
              {.36f, .34f},
              {.48f, .12f, kMeet}}),
    skeleton(8, 1,
             {{.44f, .10f, kDown},
              {.22f, .00f},
              {.02f, .14f},
              {.04f, .38f},
              {.26f, .52f},
              {.40f, .70f},
              {.36f, .92f},
              {.20f, 1.00f},
              {.06f, .88f},
              {.12f, .68f},
              {.30f, .48f},
              {.48f, .30f},
              {.46f, .10f, kMeet}}),
    // 9: a loop with a straight tail; a curved tail; slanting; a loop closed by a separate stem.
    skeleton(9, 4,
             {{.45f, .10f, kDown},
              {.22f, .00f},
              {.01f, .16f},
              {.05f, .40f},
              {.28f, .44f},
              {.44f, .24f},
              {.45f, .08f, kMeet},
              {.46f, .50f},
              {.46f, 1.00f}}),
    skeleton(9, 3,
             {{.43f, .08f, kDown},
              {.20f, .00f},
              {-.01f, .18f},
              {.05f, .42f},
              {.28f, .44f},
              {.44f, .24f},
              {.45f, .10f, kMeet},
              {.50f, .46f},
              {.45f, .84f},
              {.26f, 1.00f},
              {.05f, .92f}}),
    skeleton(9, 3,
             {{.36f, .06f, kDown},
              {.14f, .04f},
              {-.02f, .24f},
              {.08f, .44f},
              {.27f, .38f},
              {.39f, .18f},
              {.42f, .06f, kMeet},
              {.37f, .40f},
              {.30f, .72f},
              {.24f, 1.00f}}),
    skeleton(9, 2,
             {{.41f, .08f, kDown},
              {.22f, .00f},
              {.03f, .12f},
              {.01f, .34f},
              {.16f, .46f},
              {.35f, .38f},
              {.46f, .20f, kMeet},
              {.46f, .04f, kDown},
              {.47f, .50f},
              {.46f, 1.00f}}),
    skeleton(9, 3,
             {{.42f, .06f, kDown},
              {.26f, .00f},
              {.07f, .10f},
              {.00f, .26f},
              {.09f, .38f},
              {.25f, .34f},
              {.37f, .18f},
              {.43f, .04f, kMeet},
              {.40f, .30f},
              {.33f, .62f},
              {.26f, 1.00f}}),
    skeleton(9, 2,
             {{.32f, .03f, kDown},
              {.12f, .06f},
              {.00f, .24f},
              {.09f, .42f},
              {.29f, .38f},
              {.45f, .10f, kCorner},
              {.45f, .50f},
              {.44f, 1.00f}}),
    skeleton(9, 2,
             {{.41f, .16f, kDown},
              {.30f, .02f},
              {.10f, .04f},
              {-.02f, .24f},
              {.09f, .42f},
              {.27f, .40f},
              {.40f, .26f},
              {.44f, .14f, kMeet},
              {.47f, .40f},
              {.49f, .70f},
              {.50f, 1.00f}}),
};

// A point of the sampled stroke, and the pen's radius there.
struct Sample {
  double x, y, radius;
  bool start;  // the first of a stroke: no segment leads to it
};

constexpr int kSteps = 6;  // samples of a spline between two control points
constexpr int kMaxSamples = kMaxControls * kSteps + 8;

// Roughly normal with standard deviation 1 and never beyond 3: the sum of three uniforms.
double bell(Random& random) { return 2.0 * (random.uniform() + random.uniform() + random.uniform() - 1.5); }

const Skeleton& choose_skeleton(Random& random, int label) {
  int total = 0;
  for (const Skeleton& s : kSkeletons) total += s.label == label ? s.weight : 0;
  int ticket = static_cast<int>(random.below(static_cast<std::uint32_t>(total)));
  for (const Skeleton& s : kSkeletons) {
    if (s.label != label) continue;
    ticket -= s.weight;
    if (ticket < 0) return s;
  }
  return kSkeletons[0];
}

struct Vec {
  double x, y;
};

// The Catmull-Rom spline from b to c at t in [0, 1], with a and d their neighbours.
Vec catmull_rom(Vec a, Vec b, Vec c, Vec d, double t) {
  const auto along = [t](double p0, double p1, double p2, double p3) {
    return p1 +
           0.5 * t *
               ((p2 - p0) + t * ((2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3) + t * (3.0 * (p1 - p2) + p3 - p0)));
  };
  return {along(a.x, b.x, c.x, d.x), along(a.y, b.y, c.y, d.y)};
}

// Steps 1 and 2: the strokes of one drawing as samples. Returns their number.
int sample_strokes(Random& random, const Skeleton& skeleton, Sample* samples) {
  std::array<Vec, kMaxControls> points;
  const double jitter = random.uniform(0.005, 0.025);
  const double drift = (skeleton.label == 1 ? 0.4 : 1.0) * random.uniform(0.01, 0.055);
  for (int i = 0; i < skeleton.count; ++i) {
    points[i].x = skeleton.points[i].x + jitter * bell(random);
    points[i].y = skeleton.points[i].y + jitter * bell(random);
  }
  int count = 0;
  for (int first = 0; first < skeleton.count;) {
    int last = first;
    while (last + 1 < skeleton.count && skeleton.points[last + 1].pen != kDown) ++last;
    // A drift that changes slowly along the stroke keeps it smooth.
    for (int wave = 0; wave < 4; ++wave) {
      const double x = drift * bell(random);
      const double y = drift * bell(random);
      const double phase = random.uniform(0, 2 * math::kPi);
      const double frequency = math::kPi * (wave + 0.5) / (last - first);
      for (int i = first; i <= last; ++i) {
        const double swing = math::sin(frequency * (i - first) + phase);
        points[i].x += x * swing;
        points[i].y += y * swing;
      }
    }
    // Most of the gap that this leaves in a loop is closed, by degrees along the loop.
    for (int meet = first + 1; meet <= last; ++meet) {
      if (skeleton.points[meet].pen != kMeet) continue;
      const auto gap = [&](double Vec::* axis, float Control::* origin) {
        return (points[first].*axis - skeleton.points[first].*origin) -
               (points[meet].*axis - skeleton.points[meet].*origin);
      };
      const double closing = random.uniform(0.4, 1.0);
      const double x = closing * gap(&Vec::x, &Control::x);
      const double y = closing * gap(&Vec::y, &Control::y);
      for (int i = first + 1; i <= last; ++i) {
        const double share = std::min(1.0, static_cast<double>(i - first) / (meet - first));
        points[i].x += x * share;
        points[i].y += y * share;
      }
    }
    // The ends are drawn out or cut short.
    const double begin = random.uniform(-0.2, 0.3);
    const double end = random.uniform(-0.25, 0.35);
    points[first].x += begin * (points[first].x - points[first + 1].x);
    points[first].y += begin * (points[first].y - points[first + 1].y);
    points[last].x += end * (points[last].x - points[last - 1].x);
    points[last].y += end * (points[last].y - points[last - 1].y);
    // The pressure is a parabola along the stroke.
    const double pressure0 = random.uniform(0.8, 1.1);
    const double pressure1 = random.uniform(0.9, 1.15);
    const double pressure2 = random.uniform(0.75, 1.1);
    const double length = last - first;
    for (int i = first; i < last; ++i) {
      const bool corner0 = i == first || skeleton.points[i].pen == kCorner;
      const bool corner1 = i + 1 == last || skeleton.points[i + 1].pen == kCorner;
      const Vec a = corner0 ? points[i] : points[i - 1];
      const Vec d = corner1 ? points[i + 1] : points[i + 2];
      for (int step = i == first ? 0 : 1; step <= kSteps; ++step) {
        const double t = static_cast<double>(step) / kSteps;
        const Vec p = catmull_rom(a, points[i], points[i + 1], d, t);
        const double s = (i - first + t) / length;
        const double radius =
            pressure0 * (1 - s) * (1 - 2 * s) + pressure1 * 4 * s * (1 - s) + pressure2 * s * (2 * s - 1);
        samples[count++] = {p.x, p.y, radius, i == first && step == 0};
      }
    }
    first = last + 1;
  }
  return count;
}

// Step 3: bends, rotates, slants and stretches the drawing about its middle.
void deform(Random& random, int label, std::span<Sample> samples) {
  const double phase_x = random.uniform(0, 2 * math::kPi);
  const double phase_y = random.uniform(0, 2 * math::kPi);
  const double frequency_x = random.uniform(2, 5);
  const double frequency_y = random.uniform(2, 5);
  const double wave_x = 0.03 * bell(random);
  const double wave_y = 0.03 * bell(random);
  const double bend_x = 0.14 * bell(random);
  const double bend_y = 0.14 * bell(random);
  const double taper_x = 0.25 * bell(random);
  const double taper_y = 0.2 * bell(random);
  const double lean_x = 0.25 * bell(random);
  const double lean_y = 0.22 * bell(random);
  const double angle = 0.12 * bell(random);
  const double slant = 0.16 + (label == 1 ? 0.28 : 0.22) * bell(random);
  const double stretch = math::exp(0.22 * bell(random) + (label == 1 ? 0.0 : 0.14));
  const double cosine = math::cos(angle);
  const double sine = math::sin(angle);
  for (Sample& s : samples) {
    const double u = s.x - 0.3;
    const double v = s.y - 0.5;
    double x = u + wave_x * math::sin(frequency_x * v * 2 + phase_x) + bend_x * v * v * 2 + taper_x * u * v +
               lean_x * u * u;
    double y = v + wave_y * math::sin(frequency_y * u * 2 + phase_y) + bend_y * u * u * 2 + taper_y * u * v +
               lean_y * v * v;
    x = x * stretch - slant * y;
    s.x = cosine * x - sine * y;
    s.y = sine * x + cosine * y;
  }
}

// Step 4: moves and scales the samples to pixels.
void normalize(Random& random, std::span<Sample> samples) {
  const double pen = random.uniform(0.65, 1.95);  // the radius in pixels at pressure 1
  double low_x = 1e9, high_x = -1e9, low_y = 1e9, high_y = -1e9;
  for (Sample& s : samples) {
    s.radius *= pen;
    low_x = std::min(low_x, s.x);
    high_x = std::max(high_x, s.x);
    low_y = std::min(low_y, s.y);
    high_y = std::max(high_y, s.y);
  }
  const double extent = std::max(high_x - low_x, high_y - low_y);
  const double scale = (kBox - random.uniform(-0.3, 0.9) - 2 * pen) / std::max(extent, 1e-3);
  double mass = 1e-9, mass_x = 0.0, mass_y = 0.0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    Sample& s = samples[i];
    s.x = (s.x - low_x) * scale;
    s.y = (s.y - low_y) * scale;
    if (s.start) continue;
    const Sample& p = samples[i - 1];
    const double dx = s.x - p.x;
    const double dy = s.y - p.y;
    const double weight = math::sqrt(dx * dx + dy * dy) * (s.radius + p.radius);
    mass += weight;
    mass_x += weight * 0.5 * (s.x + p.x);
    mass_y += weight * 0.5 * (s.y + p.y);
  }
  const double shift_x = kCentre + random.uniform(-0.6, 0.6) - mass_x / mass;
  const double shift_y = kCentre + random.uniform(-0.6, 0.6) - mass_y / mass;
  for (Sample& s : samples) {
    s.x += shift_x;
    s.y += shift_y;
  }
}

// Step 5.
void render(Random& random, std::span<const Sample> samples, std::uint8_t* image) {
  const double softness = random.uniform(1.2, 2.0);  // width of the edge in pixels
  std::array<float, kSide * kSide> depth;            // how far inside the ink, in pixels
  depth.fill(-100.0f);
  for (std::size_t i = 1; i < samples.size(); ++i) {
    if (samples[i].start) continue;
    const Sample& p = samples[i - 1];
    const Sample& q = samples[i];
    const double reach = std::max(p.radius, q.radius) + 0.5 * softness;
    const int x0 = std::max(0, static_cast<int>(std::floor(std::min(p.x, q.x) - reach)));
    const int y0 = std::max(0, static_cast<int>(std::floor(std::min(p.y, q.y) - reach)));
    const int x1 = std::min(kSide - 1, static_cast<int>(std::max(p.x, q.x) + reach) + 1);
    const int y1 = std::min(kSide - 1, static_cast<int>(std::max(p.y, q.y) + reach) + 1);
    const auto dx = static_cast<float>(q.x - p.x);
    const auto dy = static_cast<float>(q.y - p.y);
    const float inverse = 1.0f / std::max(dx * dx + dy * dy, 1e-6f);
    const auto radius = static_cast<float>(0.5 * (p.radius + q.radius));
    for (int y = y0; y <= y1; ++y) {
      float* row = depth.data() + y * kSide;
      const float v = static_cast<float>(y) - static_cast<float>(p.y);
      for (int x = x0; x <= x1; ++x) {
        const float u = static_cast<float>(x) - static_cast<float>(p.x);
        const float t = std::min(1.0f, std::max(0.0f, (u * dx + v * dy) * inverse));
        const float a = u - t * dx;
        const float b = v - t * dy;
        row[x] = std::max(row[x], radius - std::sqrt(a * a + b * b));
      }
    }
  }
  const auto slope = static_cast<float>(1.0 / softness);
  for (int i = 0; i < kSide * kSide; ++i) {
    const float t = std::min(1.0f, std::max(0.0f, 0.5f + depth[i] * slope));
    image[i] = static_cast<std::uint8_t>(t * t * (3.0f - 2.0f * t) * 255.0f + 0.5f);
  }
}

// Images of one split: classes in turn, in a shuffled order. Image i of class c has the index
// first + i, so splits with disjoint ranges of indices share no image.
void fill(Split& split, int count, std::uint64_t seed, std::uint64_t first, int order) {
  constexpr std::size_t kSize = kSide * kSide;
  split.labels.resize(static_cast<std::size_t>(count));
  split.images.resize(static_cast<std::size_t>(count) * kSize);
  for (int i = 0; i < count; ++i) split.labels[i] = static_cast<std::uint16_t>(i % 10);
  // ~order: away from the shuffles of training epochs, which count up from 0.
  Random random(seed, RandomStream::kShuffle, ~static_cast<std::uint64_t>(order));
  for (int i = count - 1; i > 0; --i) {
    std::swap(split.labels[i], split.labels[random.below(static_cast<std::uint32_t>(i) + 1)]);
  }
  for (int i = 0; i < count; ++i) {
    draw_digit(seed, first + static_cast<std::uint64_t>(i), split.labels[i],
               split.images.data() + static_cast<std::size_t>(i) * kSize);
  }
}

}  // namespace

void draw_digit(std::uint64_t seed, std::uint64_t index, int label, std::uint8_t* image) {
  Random random(seed, RandomStream::kDigits, index * 10 + static_cast<std::uint64_t>(label));
  std::array<Sample, kMaxSamples> storage;
  const int count = sample_strokes(random, choose_skeleton(random, label), storage.data());
  const std::span<Sample> samples(storage.data(), static_cast<std::size_t>(count));
  deform(random, label, samples);
  normalize(random, samples);
  render(random, samples, image);
}

Dataset synthetic_digits(int train_count, int test_count, std::uint64_t seed) {
  constexpr std::uint64_t kTestIndices = std::uint64_t{1} << 40;  // beyond any training index
  Dataset dataset;
  dataset.name = "built-in digits";
  dataset.height = kSide;
  dataset.width = kSide;
  for (int label = 0; label < 10; ++label) dataset.class_names.push_back(std::to_string(label));
  fill(dataset.train, train_count, seed, 0, 1);
  fill(dataset.test, test_count, seed, kTestIndices, 2);
  split_validation(dataset);
  return dataset;
}

}  // namespace espalier
