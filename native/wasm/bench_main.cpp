// bench/ for a page of benchmarks: run with what to measure, a quantile and the names of models, prints one
// JSON object for each; "requantizations" alone prints one.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "bench/measure.h"
#include "bench/measure_inference.h"
#include "bench/measure_sparse.h"
#include "graph/graph.h"

int main(int count, char** arguments) {
  using namespace espalier;
  const std::string_view what = arguments[1];
  if (what == "requantizations") {
    for (const IntegerKernels* kernels : all_integer_kernels(select_kernels("auto"))) {
      std::puts(check_requantizations(*kernels).dump().c_str());
    }
    return 0;
  }
  const auto measure = what == "inference"    ? measure_inference
                       : what == "formats"    ? measure_formats
                       : what == "break-even" ? measure_break_even
                       : what == "sparse"     ? measure_sparse
                                              : measure_training;
  for (int i = 3; i < count; ++i) {
    const auto spec = preset_spec(arguments[i], 1, 28, 28, 10);
    const MeasureOptions options{.seconds = what == "formats" ? 8.0 : 4.0,
                                 .quantile = std::atof(arguments[2])};
    std::puts(measure(spec, select_kernels("auto"), options).dump().c_str());
  }
}
