#include "cli/config_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace espalier::cli {
namespace {

using nlohmann::json;

constexpr const char* kSwitched = "";

template <class Number>
bool read_all(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && at == end;
}

json read_number(const OptionRow& row, const std::string& text) {
  if (std::int64_t whole = 0; read_all(text, whole)) return whole;
  if (row.kind == OptionKind::kWhole) {
    throw Error(ErrorCode::kArgument, row.flag, "must be a whole number, found \"" + text + "\"");
  }
  double number = 0;
  if (!read_all(text, number) || !std::isfinite(number)) {
    throw Error(ErrorCode::kArgument, row.flag, "must be a number, found \"" + text + "\"");
  }
  return number;
}

json read_list(const OptionRow& row, const std::string& text) {
  json list = json::array();
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    if (end == at) {
      throw Error(ErrorCode::kArgument, row.flag,
                  "must be names with commas between them, found \"" + text + "\"");
    }
    list.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return list;
}

json read_value(const OptionRow& row, const std::string& text) {
  switch (row.kind) {
    case OptionKind::kWhole:
    case OptionKind::kNumber:
      return read_number(row, text);
    case OptionKind::kText:
      return text;
    case OptionKind::kList:
      return read_list(row, text);
    case OptionKind::kSwitchOn:
      return true;
    case OptionKind::kSwitchOff:
      return false;
  }
  return nullptr;
}

const char* placeholder(OptionKind kind) {
  switch (kind) {
    case OptionKind::kWhole:
      return "N";
    case OptionKind::kNumber:
      return "F";
    case OptionKind::kList:
      return "LIST";
    default:
      return "NAME";
  }
}

OptionKind kind_of(const json& field) {
  const std::string kind = field.at("kind").get<std::string>();
  if (kind == "integer") return OptionKind::kWhole;
  if (kind == "number") return OptionKind::kNumber;
  if (kind == "list") return OptionKind::kList;
  if (kind == "boolean")
    return field.at("default").get<bool>() ? OptionKind::kSwitchOff : OptionKind::kSwitchOn;
  return OptionKind::kText;
}

std::string default_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number()) return "";
  std::string text = value.dump();
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

}  // namespace

std::string flag_of(std::string_view field) {
  std::string flag = "--" + std::string(field);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

OptionRow row_of(const json& field) {
  OptionRow row{.field = field.at("name").get<std::string>(),
                .kind = kind_of(field),
                .summary = field.at("description").get<std::string>(),
                .default_text = default_text(field.at("default"))};
  row.flag = flag_of((row.kind == OptionKind::kSwitchOff ? "no_" : "") + row.field);
  if (row.kind == OptionKind::kSwitchOff) row.summary = "Turns off: " + row.summary;
  if (field.contains("choices")) row.summary += ": " + field.at("choices").get<std::string>();
  return row;
}

void ConfigOptions::add(CLI::App& app, OptionRow row, const std::string& group) {
  const auto keep = [this, field = row.field](const std::string& text) { texts_[field] = text; };
  if (row.kind == OptionKind::kSwitchOn || row.kind == OptionKind::kSwitchOff) {
    CLI::Option* option = app.add_flag_callback(row.flag, [keep] { keep(kSwitched); }, row.summary);
    if (!group.empty()) option->group(group);
  } else {
    CLI::Option* option = app.add_option_function<std::string>(row.flag, keep, row.summary);
    option->type_name(placeholder(row.kind));
    if (!group.empty()) option->group(group);
    if (!row.default_text.empty()) option->default_str(row.default_text);
  }
  rows_.push_back(std::move(row));
}

json ConfigOptions::given() const {
  json object = json::object();
  for (const OptionRow& row : rows_) {
    const auto text = texts_.find(row.field);
    if (text != texts_.end()) object[row.field] = read_value(row, text->second);
  }
  return object;
}

void ConfigOptions::rethrow(const Error& error) const {
  for (const OptionRow& row : rows_) {
    if (error.where() == row.field) throw Error(error.code(), row.flag, error.message());
  }
  throw error;
}

}  // namespace espalier::cli
