// bench/measure.h for a page of benchmarks: run with "training", "inference" or "sparse", a quantile and the
// names of models, prints one JSON object for each.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "bench/measure.h"
#include "bench/measure_inference.h"
#include "bench/measure_sparse.h"
#include "graph/graph.h"

int main(int count, char** arguments) {
  using namespace espalier;
  for (int i = 3; i < count; ++i) {
    const auto spec = preset_spec(arguments[i], 1, 28, 28, 10);
    const MeasureOptions options{.seconds = 4, .quantile = std::atof(arguments[2])};
    const std::string_view what = arguments[1];
    const auto measure = what == "inference" ? measure_inference
                         : what == "sparse"  ? measure_sparse
                                             : measure_training;
    std::puts(measure(spec, select_kernels("auto"), options).dump().c_str());
  }
}
