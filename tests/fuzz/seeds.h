// Where fuzzing begins: `--seeds FOLDER` writes a fuzzer's first files there.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace espalier {

// From LLVMFuzzerInitialize: writes what `make` gives, and ends the program, if the arguments ask for it.
template <class Make>
void write_seeds_if_asked(int argc, char** argv, Make&& make) {
  if (argc != 3 || std::string_view(argv[1]) != "--seeds") return;
  int number = 0;
  const std::vector<std::vector<std::uint8_t>> seeds = make();
  for (const auto& bytes : seeds) {
    std::ofstream file(std::string(argv[2]) + "/seed" + std::to_string(number++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  std::exit(0);
}

}  // namespace espalier
