// bench/measure.h for a page of benchmarks: run with a quantile and the names of models, prints one JSON
// object for each.
#include <cstdio>
#include <cstdlib>

#include "bench/measure.h"
#include "graph/graph.h"

int main(int count, char** arguments) {
  using namespace espalier;
  for (int i = 2; i < count; ++i) {
    const auto spec = preset_spec(arguments[i], 1, 28, 28, 10);
    const MeasureOptions options{.seconds = 4, .quantile = std::atof(arguments[1])};
    std::puts(measure_training(spec, select_kernels("auto"), options).dump().c_str());
  }
}
