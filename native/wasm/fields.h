// A JSON object, field by field: Fields()("step", 3)("name", "small"). Says the same as an initializer
// list, which compiles to five times the code.
#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace espalier {

class Fields {
 public:
  Fields& operator()(const char* name, nlohmann::json value);
  Fields& operator()(const char* name, std::string_view value);
  Fields& operator()(const char* name, const char* value) { return (*this)(name, std::string_view(value)); }
  Fields& operator()(const char* name, const std::string& value) { return (*this)(name, std::string_view(value)); }
  Fields& operator()(const char* name, bool value);
  Fields& operator()(const char* name, std::floating_point auto value) { return number(name, value); }
  Fields& operator()(const char* name, std::integral auto value) { return whole(name, value); }
  template <class Number>
  Fields& operator()(const char* name, const std::vector<Number>& values) {
    nlohmann::json list = nlohmann::json::array();
    for (const Number& value : values) list.push_back(value);
    return (*this)(name, std::move(list));
  }

  nlohmann::json take() { return std::move(object_); }
  std::string dump() const;

 private:
  Fields& number(const char* name, double value);
  Fields& whole(const char* name, std::int64_t value);

  nlohmann::json object_ = nlohmann::json::object();
};

}  // namespace espalier
