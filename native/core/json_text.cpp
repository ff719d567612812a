#include "core/json_text.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace espalier {
namespace {

using nlohmann::json;

// "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error …" from "line" on.
std::string reason(const json::exception& error) {
  std::string_view text = error.what();
  if (const auto at = text.find("parse error at "); at != std::string_view::npos) {
    text.remove_prefix(at + std::string_view("parse error at ").size());
  }
  return std::string(text);
}

// Builds the value that the parser reads out. (json::parse does too, in three times the code.)
class Builder final : public nlohmann::json_sax<json> {
 public:
  Builder(ErrorCode code, const std::string& where) : code_(code), where_(where) {}

  json take() { return std::move(root_); }

  bool null() override { return add(json()); }
  bool boolean(bool value) override { return add(json(value)); }
  bool number_integer(std::int64_t value) override { return add(json(value)); }
  bool number_unsigned(std::uint64_t value) override { return add(json(value)); }
  bool number_float(double value, const std::string&) override { return add(json(value)); }
  bool string(std::string& value) override { return add(json(std::move(value))); }
  bool binary(binary_t& value) override { return add(json(std::move(value))); }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
    throw Error(code_, where_, "is not valid JSON (" + reason(error) + ")");
  }

 private:
  json& place(json value) {
    if (open_.empty()) return root_ = std::move(value);
    json& parent = *open_.back();
    if (parent.is_object()) return parent[key_] = std::move(value);
    parent.push_back(std::move(value));
    return parent.back();
  }
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json value) {
    if (open_.size() > kMaxJsonDepth) {
      throw Error(code_, where_, "is nested more than " + std::to_string(kMaxJsonDepth) + " deep");
    }
    open_.push_back(&place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  ErrorCode code_;
  const std::string& where_;
  json root_;
  std::vector<json*> open_;  // from the root to where the next value goes; nobody else moves them
  std::string key_;
};

}  // namespace

json parse_json(std::string_view text, ErrorCode code, const std::string& where) {
  Builder builder(code, where);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace espalier
