// Weight sharing: codebooks that k-means finds.
#include "compress/share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/random.h"
#include "graph/executor.h"
#include "ops/weights.h"

namespace espalier {
namespace {

constexpr CodebookStart kStarts[] = {CodebookStart::kLinear, CodebookStart::kDensity, CodebookStart::kRandom};

std::vector<real> bell(Random& random, int count) {
  std::vector<real> values;
  for (int i = 0; i < count; ++i) {
    values.push_back(
        static_cast<real>(random.uniform(-1, 1) + random.uniform(-1, 1) + random.uniform(-1, 1)));
  }
  return values;
}

std::size_t nearest(const std::vector<real>& levels, real x) {
  return static_cast<std::size_t>(
      std::min_element(levels.begin(), levels.end(),
                       [x](real a, real b) { return std::abs(a - x) < std::abs(b - x); }) -
      levels.begin());
}

TEST(Codebook, every_free_level_is_the_mean_of_its_weights) {
  Random random(1, RandomStream::kInitialization, 20);
  for (const CodebookStart start : kStarts) {
    for (const bool pinned : {true, false}) {
      for (int bits = 1; bits <= 8; ++bits) {
        const auto values = bell(random, 700);
        const auto levels = find_codebook(values, 1 << bits, pinned, start, 3, 0);
        ASSERT_EQ(levels.size(), std::size_t{1} << bits);
        if (pinned) {
          ASSERT_EQ(levels[0], real{0});
        }
        std::vector<double> sum(levels.size()), count(levels.size());
        for (const real x : values) {
          const std::size_t at = nearest(levels, x);
          sum[at] += x;
          ++count[at];
        }
        for (std::size_t i = pinned ? 1 : 0; i < levels.size(); ++i) {
          if (count[i] > 0) {
            ASSERT_NEAR(levels[i], sum[i] / count[i], 1e-5) << bits << " bits";
          }
        }
      }
    }
  }
}

TEST(Codebook, finds_clusters_that_are_there) {
  Random random(1, RandomStream::kInitialization, 21);
  const double centres[] = {-2, -1, 0.5, 1.5, 3};
  std::vector<real> values;
  for (int i = 0; i < 1000; ++i)
    values.push_back(static_cast<real>(centres[i % 5] + random.uniform(-0.05, 0.05)));
  const auto levels = find_codebook(values, 8, true, CodebookStart::kLinear, 1, 0);
  for (const real x : values) ASSERT_NEAR(levels[nearest(levels, x)], x, 0.11);
}

TEST(Codebook, levels_ascend_behind_the_pinned_zero) {
  Random random(1, RandomStream::kInitialization, 22);
  for (const CodebookStart start : kStarts) {
    for (const bool pinned : {true, false}) {
      const auto levels = find_codebook(bell(random, 300), 16, pinned, start, 3, 0);
      EXPECT_TRUE(std::is_sorted(levels.begin() + (pinned ? 1 : 0), levels.end()));
    }
  }
}

TEST(Codebook, no_weights_one_weight_and_equal_weights_are_no_trouble) {
  for (const CodebookStart start : kStarts) {
    for (const bool pinned : {true, false}) {
      for (const int count : {2, 4, 256}) {
        EXPECT_EQ(find_codebook({}, count, pinned, start, 1, 0).size(), static_cast<std::size_t>(count));
        for (const real x : {real(-0.25), real(0), real(7)}) {
          for (const int copies : {1, 50}) {
            const std::vector<real> same(static_cast<std::size_t>(copies), x);
            const auto levels = find_codebook(same, count, pinned, start, 1, 0);
            ASSERT_EQ(levels[nearest(levels, x)], x);
          }
        }
      }
    }
  }
}

TEST(Codebook, random_starts_are_a_function_of_the_seed) {
  Random random(1, RandomStream::kInitialization, 23);
  const auto values = bell(random, 500);
  const auto first = find_codebook(values, 16, true, CodebookStart::kRandom, 1, 0);
  EXPECT_EQ(first, find_codebook(values, 16, true, CodebookStart::kRandom, 1, 0));
  EXPECT_NE(first, find_codebook(values, 16, true, CodebookStart::kRandom, 2, 0));
}

TEST(Codebook, unknown_starts_are_named) {
  EXPECT_EQ(codebook_start("density"), CodebookStart::kDensity);
  EXPECT_THROW(codebook_start("middle"), Error);
}

TEST(ShareWeights, every_weight_takes_the_nearest_level_and_pruned_ones_zero) {
  const nlohmann::json spec = {{"input", {{"channels", 30}, {"height", 1}, {"width", 1}}},
                               {"classes", 7},
                               {"layers",
                                {{{"type", "dense"},
                                  {"name", "fc"},
                                  {"units", 7},
                                  {"quantize", {{"scheme", "codebook"}, {"bits", 3}}}}}}};
  const Graph graph = compile(spec);
  Parameters parameters(graph);
  initialize(graph, 5, parameters);
  const Node& node = graph.nodes[0];
  const ParameterInfo& weight = weight_of(node);
  parameters.mask.assign(static_cast<std::size_t>(graph.trainable_size), real{1});
  for (std::int64_t i = 0; i < weight.size; i += 3)
    parameters.mask[static_cast<std::size_t>(weight.offset + i)] = 0;
  real* value = parameters.value.data();
  share_weights(node, CodebookStart::kDensity, 1, value, parameters.mask.data());
  std::vector<real> effective(parameters.value.begin(), parameters.value.end());
  fake_quantize_weights(node, value, effective.data());
  const std::vector<real> levels(value + codebook_of(node)->offset, value + codebook_of(node)->offset + 8);
  const auto codes = weight_codes(node, value);
  for (std::int64_t i = 0; i < weight.size; ++i) {
    const auto at = static_cast<std::size_t>(weight.offset + i);
    if (i % 3 == 0) {
      ASSERT_EQ(codes[static_cast<std::size_t>(i)], 0);
      ASSERT_EQ(effective[at], real{0});
    } else {
      ASSERT_EQ(effective[at], levels[nearest(levels, value[at])]);
    }
  }
}

}  // namespace
}  // namespace espalier
