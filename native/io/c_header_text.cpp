#include "io/c_header_text.h"

#include <bit>
#include <cmath>

namespace espalier::c_header {

std::string text(double number) {
  const auto exact = static_cast<float>(number);
  if (std::abs(exact) < 1e6f && exact == std::trunc(exact)) {
    return (std::signbit(exact) ? "-" : "") + std::to_string(static_cast<int>(std::abs(exact))) + ".0f";
  }
  const auto bits = std::bit_cast<std::uint32_t>(exact);
  const auto exponent = static_cast<int>(bits >> 23 & 0xFF);
  std::string result = std::signbit(exact) ? "-0x" : "0x";
  result += exponent > 0 ? "1." : "0.";
  for (int shift = 20; shift >= 0; shift -= 4)
    result += "0123456789abcdef"[(bits << 1 & 0xFFFFFF) >> shift & 0xF];
  return result + "p" + std::to_string(exponent > 0 ? exponent - 127 : -126) + "f";
}

std::string fill(std::string_view form,
                 std::initializer_list<std::pair<std::string_view, std::string>> words) {
  std::string result;
  while (!form.empty()) {
    std::string_view key;
    const std::string* word = nullptr;
    for (const auto& [name, replacement] : words) {
      if (!form.starts_with(name) || name.size() <= key.size()) continue;
      key = name;
      word = &replacement;
    }
    result += word ? *word : std::string(1, form[0]);
    form.remove_prefix(word ? key.size() : 1);
  }
  return result;
}

std::string each(std::int64_t count, const std::string& code) {
  return "for (i = 0; i < " + text(count) + "; ++i) " + code;
}

}  // namespace espalier::c_header
