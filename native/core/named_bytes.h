// A file in memory, with the name that messages give it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace espalier {

struct NamedBytes {
  std::string name;
  std::span<const std::uint8_t> bytes;
};

}  // namespace espalier
