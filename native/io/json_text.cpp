#include "io/json_text.h"

#include <nlohmann/json.hpp>

namespace espalier {
namespace {

// "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error …" from "line" on.
std::string reason(const nlohmann::json::parse_error& error) {
  std::string_view text = error.what();
  if (const auto at = text.find("parse error at "); at != std::string_view::npos) {
    text.remove_prefix(at + std::string_view("parse error at ").size());
  }
  return std::string(text);
}

}  // namespace

nlohmann::json parse_json(std::string_view text, ErrorCode code, const std::string& where) {
  const auto check_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kMaxJsonDepth) {
      throw Error(code, where, "is nested more than " + std::to_string(kMaxJsonDepth) + " deep");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), check_depth);
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(code, where, "is not valid JSON (" + reason(error) + ")");
  } catch (const nlohmann::json::exception& error) {  // a number beyond double
    throw Error(code, where, std::string("is not valid JSON (") + error.what() + ")");
  }
}

}  // namespace espalier
