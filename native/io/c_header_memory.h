// The memory of a C header: one static array, in which each buffer has its place as long as it is used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier::c_header {

class Memory {
 public:
  // A buffer of `count` floats or bytes, from this step on.
  int make(std::int64_t count, bool floats);
  // Its name in C; it is used in this step.
  std::string use(int buffer);
  void next_step() { ++step_; }

  // When all are known.
  void place();
  // The declarations, after place().
  std::string lines() const;

 private:
  // A piece of the memory, between the steps that use it.
  struct Buffer {
    std::int64_t bytes = 0, begin = 0, end = 0;  // steps
    std::int64_t offset = 0;
    bool floats = false;
  };

  std::vector<Buffer> buffers_;
  std::int64_t size_ = 0;  // bytes
  int step_ = 0;
};

}  // namespace espalier::c_header
