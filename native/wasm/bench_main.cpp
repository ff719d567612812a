// bench/measure.h for a page of benchmarks: run with "training" or "inference", a quantile and the names of
// models, prints one JSON object for each.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "bench/measure.h"
#include "bench/measure_inference.h"
#include "graph/graph.h"

int main(int count, char** arguments) {
  using namespace espalier;
  for (int i = 3; i < count; ++i) {
    const auto spec = preset_spec(arguments[i], 1, 28, 28, 10);
    const MeasureOptions options{.seconds = 4, .quantile = std::atof(arguments[2])};
    const auto measure = std::string_view(arguments[1]) == "inference" ? measure_inference : measure_training;
    std::puts(measure(spec, select_kernels("auto"), options).dump().c_str());
  }
}
