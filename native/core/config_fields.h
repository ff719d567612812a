// A configuration struct as JSON, through one table of rows: reading, checking, writing, command-line options
// and documentation cannot disagree. A row points at a member: member<&TrainingConfig::epochs>.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace espalier {

using ConfigValue =
    std::variant<int*, double*, std::uint64_t*, bool*, std::string*, std::vector<std::string>*>;

struct ConfigField {
  std::string_view name;
  std::string_view summary;
  ConfigValue (*value)(void* config);
  double minimum = 0;  // of numbers
  double maximum = 0;
  std::string_view choices = {};  // of texts: "min-max, mse"; empty: any
};

template <auto Member>
struct MemberOf;
template <class Config, class Value, Value Config::* Member>
struct MemberOf<Member> {
  static ConfigValue value(void* config) { return &(static_cast<Config*>(config)->*Member); }
};
template <auto Member>
inline constexpr auto member = &MemberOf<Member>::value;

// Reads the fields that `json` has into `config`. A field that is unknown, of the wrong kind or out of range
// is Error{kArgument} naming it.
void read_config(std::span<const ConfigField> fields, const nlohmann::json& json, void* config);

nlohmann::json write_config(std::span<const ConfigField> fields, const void* config);

// For menus and the TypeScript catalogue: name, kind ("integer", "number", "boolean", "text", "list"),
// default, minimum, maximum, choices, description.
nlohmann::json describe_config(std::span<const ConfigField> fields, const void* defaults);

// "a, b, c" of the rows of a table that have names.
template <class Rows>
std::string names_of(const Rows& rows) {
  std::string text;
  for (const auto& row : rows) {
    if constexpr (requires { row->name; }) {
      text += (text.empty() ? "" : ", ") + std::string(row->name);
    } else {
      text += (text.empty() ? "" : ", ") + std::string(row.name);
    }
  }
  return text;
}

}  // namespace espalier
