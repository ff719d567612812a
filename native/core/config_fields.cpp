#include "core/config_fields.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_fields.h"

namespace espalier {
namespace {

using nlohmann::json;

[[noreturn]] void fail(std::string_view field, const std::string& message) {
  throw Error(ErrorCode::kArgument, std::string(field), message);
}

std::string number_text(double value) {
  return value == std::floor(value) ? std::to_string(static_cast<long long>(value)) : json(value).dump();
}

double number(const ConfigField& field, const json& value, bool whole) {
  if (!value.is_number()) fail(field.name, "must be a number, found " + value.dump());
  const double x = value.get<double>();
  if (!(x >= field.minimum && x <= field.maximum) || (whole && x != std::floor(x))) {
    fail(field.name, std::string("must be a ") + (whole ? "whole " : "") + "number from " +
                         number_text(field.minimum) + " to " + number_text(field.maximum) + ", found " +
                         value.dump());
  }
  return x;
}

// Whether `word` is one of the comma-separated `choices`.
bool offered(std::string_view choices, std::string_view word) {
  for (std::size_t at = 0; at < choices.size();) {
    const std::size_t end = std::min(choices.find(',', at), choices.size());
    if (choices.substr(at, end - at) == word) return true;
    at = end + 2;
  }
  return false;
}

struct Reader {
  const ConfigField& field;
  const json& value;
  void operator()(int* target) const { *target = static_cast<int>(number(field, value, true)); }
  void operator()(std::uint64_t* target) const {
    *target = static_cast<std::uint64_t>(number(field, value, true));
  }
  void operator()(double* target) const { *target = number(field, value, false); }
  void operator()(bool* target) const {
    if (!value.is_boolean()) fail(field.name, "must be true or false, found " + value.dump());
    *target = value.get<bool>();
  }
  void operator()(std::string* target) const {
    if (!value.is_string()) fail(field.name, "must be a text, found " + value.dump());
    *target = value.get<std::string>();
    if (!field.choices.empty() && !offered(field.choices, *target)) {
      fail(field.name, "must be one of " + std::string(field.choices) + ", found " + value.dump());
    }
  }
  void operator()(std::vector<std::string>* target) const {
    if (!value.is_array()) fail(field.name, "must be a list of texts, found " + value.dump());
    target->clear();
    for (const json& item : value) {
      if (!item.is_string()) fail(field.name, "must be a list of texts, found " + value.dump());
      target->push_back(item.get<std::string>());
    }
  }
};

struct Kind {
  std::string_view operator()(int*) const { return "integer"; }
  std::string_view operator()(std::uint64_t*) const { return "integer"; }
  std::string_view operator()(double*) const { return "number"; }
  std::string_view operator()(bool*) const { return "boolean"; }
  std::string_view operator()(std::string*) const { return "text"; }
  std::string_view operator()(std::vector<std::string>*) const { return "list"; }
};

json value_json(const ConfigField& field, const void* config) {
  return std::visit([](auto* target) { return json(*target); }, field.value(const_cast<void*>(config)));
}

}  // namespace

void read_config(std::span<const ConfigField> fields, const json& object, void* config) {
  if (!object.is_object()) fail("config", "must be a JSON object, found " + object.dump());
  for (const auto& [key, value] : object.items()) {
    const ConfigField* found = nullptr;
    for (const ConfigField& field : fields) {
      if (field.name == key) found = &field;
    }
    if (!found) fail(key, "is unknown; the fields are " + names_of(fields));
    std::visit(Reader{*found, value}, found->value(config));
  }
}

json write_config(std::span<const ConfigField> fields, const void* config) {
  json result = json::object();
  for (const ConfigField& field : fields) result[field.name] = value_json(field, config);
  return result;
}

json describe_config(std::span<const ConfigField> fields, const void* defaults) {
  json rows = json::array();
  for (const ConfigField& field : fields) {
    Fields row;
    row("name", field.name)("kind", std::visit(Kind{}, field.value(const_cast<void*>(defaults))))(
        "default", value_json(field, defaults))("description", field.summary);
    if (field.maximum > field.minimum) row("minimum", field.minimum)("maximum", field.maximum);
    if (!field.choices.empty()) row("choices", field.choices);
    rows.push_back(row.take());
  }
  return rows;
}

}  // namespace espalier
