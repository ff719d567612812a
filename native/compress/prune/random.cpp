// Chance: what every other criterion has to beat.
#include "core/random.h"

#include "compress/prune/criterion.h"

namespace espalier {
namespace {

void score(const CriterionInput& input, std::span<real> scores) {
  Random random(input.seed, RandomStream::kPruning);
  for_each_weight(input.model.graph, [&](std::size_t i) { scores[i] = static_cast<real>(random.uniform()); });
}

}  // namespace

constinit const Criterion kRandom{
    .name = "random", .summary = "A random number.", .together = Criterion::Together::kFirst, .score = score};

}  // namespace espalier
