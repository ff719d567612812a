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
  Fields& operator()(std::string_view name, nlohmann::json value);
  Fields& operator()(std::string_view name, std::string_view value);
  Fields& operator()(std::string_view name, const char* value) {
    return (*this)(name, std::string_view(value));
  }
  Fields& operator()(std::string_view name, const std::string& value) {
    return (*this)(name, std::string_view(value));
  }
  Fields& operator()(std::string_view name, bool value);
  Fields& operator()(std::string_view name, std::floating_point auto value) { return number(name, value); }
  Fields& operator()(std::string_view name, std::integral auto value) { return whole(name, value); }
  template <class Number>
  Fields& operator()(std::string_view name, const std::vector<Number>& values) {
    nlohmann::json list = nlohmann::json::array();
    for (const Number& value : values) list.push_back(value);
    return (*this)(name, std::move(list));
  }

  nlohmann::json take() { return std::move(object_); }
  std::string dump() const;

 private:
  Fields& number(std::string_view name, double value);
  Fields& whole(std::string_view name, std::int64_t value);

  nlohmann::json object_ = nlohmann::json::object();
};

}  // namespace espalier
