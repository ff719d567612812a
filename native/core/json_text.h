// JSON from a stranger: damaged text and absurd nesting are Error, in the project's words.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/error.h"

namespace espalier {

// `where` names the file. Values may be nested kMaxJsonDepth deep (a deeper one would exhaust the stack of
// whoever walks it).
nlohmann::json parse_json(std::string_view text, ErrorCode code, const std::string& where);

inline constexpr int kMaxJsonDepth = 32;

}  // namespace espalier
