// The built-in specs. Their text is graph/presets/*.json; CMake puts it into presets.inc.
#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"
#include "core/json_text.h"
#include "graph/graph.h"

namespace espalier {
namespace {

constexpr Preset kPresets[] = {
#include "presets.inc"
};

}  // namespace

std::span<const Preset> presets() { return kPresets; }

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : kPresets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

nlohmann::json preset_spec(std::string_view name, int channels, int height, int width, int classes) {
  const Preset* preset = find_preset(name);
  if (!preset) {
    std::string names;
    for (const Preset& other : kPresets) names += (names.empty() ? "" : ", ") + std::string(other.name);
    throw Error(ErrorCode::kArgument, std::string(name), "is not a preset; the presets are " + names);
  }
  auto spec = parse_json(preset->spec, ErrorCode::kSpec, std::string(name));
  spec["input"] = {{"channels", channels}, {"height", height}, {"width", width}};
  spec["classes"] = classes;
  return spec;
}

}  // namespace espalier
