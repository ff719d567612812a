#include "core/json_fields.h"

namespace espalier {

using nlohmann::json;

Fields& Fields::operator()(std::string_view name, json value) {
  object_[std::string(name)] = std::move(value);
  return *this;
}
Fields& Fields::operator()(std::string_view name, std::string_view value) {
  return (*this)(name, json(value));
}
Fields& Fields::operator()(std::string_view name, bool value) { return (*this)(name, json(value)); }
Fields& Fields::number(std::string_view name, double value) { return (*this)(name, json(value)); }
Fields& Fields::whole(std::string_view name, std::int64_t value) { return (*this)(name, json(value)); }
std::string Fields::dump() const { return object_.dump(); }

}  // namespace espalier
