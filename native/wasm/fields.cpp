#include "wasm/fields.h"

namespace espalier {

using nlohmann::json;

Fields& Fields::operator()(const char* name, json value) {
  object_[name] = std::move(value);
  return *this;
}
Fields& Fields::operator()(const char* name, std::string_view value) { return (*this)(name, json(value)); }
Fields& Fields::operator()(const char* name, bool value) { return (*this)(name, json(value)); }
Fields& Fields::number(const char* name, double value) { return (*this)(name, json(value)); }
Fields& Fields::whole(const char* name, std::int64_t value) { return (*this)(name, json(value)); }
std::string Fields::dump() const { return object_.dump(); }

}  // namespace espalier
