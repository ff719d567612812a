// bench/measure.h for a page of benchmarks: run with the names of models, prints one JSON object for each.
#include <cstdio>

#include "bench/measure.h"
#include "graph/graph.h"

int main(int count, char** names) {
  using namespace espalier;
  for (int i = 1; i < count; ++i) {
    const auto spec = preset_spec(names[i], 1, 28, 28, 10);
    std::puts(measure_training(spec, select_kernels("auto"), {.seconds = 4}).dump().c_str());
  }
}
