// Options on the command line that become the fields of a configuration in JSON.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace espalier::cli {

enum class OptionKind { kWhole, kNumber, kText, kList, kSwitchOn, kSwitchOff };

struct OptionRow {
  std::string flag;   // "--lr"
  std::string field;  // "learning_rate"
  OptionKind kind = OptionKind::kText;
  std::string summary;
  std::string default_text;  // shown in --help; empty: none
};

// "group_size" as "--group-size".
std::string flag_of(std::string_view field);

// The row of a field as describe_config() describes it. Texts show their choices; what is true by default
// becomes "--no-…".
OptionRow row_of(const nlohmann::json& field);

class ConfigOptions {
 public:
  // `group` is the heading in --help, if it has one of its own. The options write here, so this must outlive
  // the parsing.
  void add(CLI::App& app, OptionRow row, const std::string& group);

  // The fields of the options that were given. Error{kArgument} naming the option.
  nlohmann::json given() const;

  // Throws the error again, at the option where it was at its field.
  [[noreturn]] void rethrow(const Error& error) const;

 private:
  std::vector<OptionRow> rows_;
  std::map<std::string, std::string> texts_;  // by field, as typed
};

}  // namespace espalier::cli
