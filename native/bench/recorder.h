// A table of kernels that notes how long each call of another table takes. One thread, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace espalier {

struct KernelTime {
  std::string kernel;              // the name in the table
  std::string layer;               // the shape it worked on; empty where the kernel multiplies nothing
  std::int64_t multiply_adds = 0;  // in all steps
  double seconds = 0;              // in the step under way
  std::vector<double> steps;       // seconds in each step that ended
};

class Recorder {
 public:
  // `kernels` must outlive the recorder.
  explicit Recorder(const Kernels& kernels);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  const Kernels& kernels() const { return wrapped_; }
  void end_step();
  void clear();
  // In the order of their first calls.
  const std::vector<KernelTime>& times() const;

 private:
  Kernels wrapped_;
};

double now_in_seconds();

}  // namespace espalier
