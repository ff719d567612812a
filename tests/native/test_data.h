// Where real datasets are, for tests that need them.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace espalier {

// The folder with mnist/ in it: ESPALIER_DATA, or ../shared/data beside the checkout. Empty: none.
inline std::string real_data_folder() {
  const char* variable = std::getenv("ESPALIER_DATA");
  const std::string folder = variable ? variable : ESPALIER_SOURCE_DIR "/../shared/data";
  return std::filesystem::exists(folder + "/mnist") ? folder : "";
}

}  // namespace espalier
