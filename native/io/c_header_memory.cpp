#include "io/c_header_memory.h"

#include <algorithm>

#include "io/c_header_text.h"

namespace espalier::c_header {

int Memory::make(std::int64_t count, bool floats) {
  buffers_.push_back({.bytes = count * (floats ? 4 : 1), .begin = step_, .end = step_, .floats = floats});
  return static_cast<int>(buffers_.size()) - 1;
}

std::string Memory::use(int buffer) {
  buffers_[static_cast<std::size_t>(buffer)].end = step_;
  return "b" + text(buffer);
}

// First fit: each lies in the first gap that is free as long as it is used.
void Memory::place() {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    Buffer& buffer = buffers_[i];
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t j = 0; j < i; ++j) {
        const Buffer& other = buffers_[j];
        if (other.end < buffer.begin || other.begin > buffer.end) continue;
        if (buffer.offset >= other.offset + other.bytes || other.offset >= buffer.offset + buffer.bytes)
          continue;
        buffer.offset = (other.offset + other.bytes + 3) / 4 * 4;
        moved = true;
      }
    }
    size_ = std::max(size_, (buffer.offset + buffer.bytes + 3) / 4 * 4);
  }
}

std::string Memory::lines() const {
  std::string lines = "  static float memory[" + text(std::max<std::int64_t>(size_ / 4, 1)) + "];\n";
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    const std::string type = buffer.floats ? "float* const " : "unsigned char* const ";
    const std::string start = buffer.floats ? "memory + " + text(buffer.offset / 4)
                                            : "(unsigned char*)memory + " + text(buffer.offset);
    lines += "  " + type + "b" + text(i) + " = " + start + ";\n";
  }
  return lines;
}

}  // namespace espalier::c_header
