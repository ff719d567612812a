// Pieces of C as text: numbers, arrays, loops, and forms whose keys are filled in.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace espalier::c_header {

// A float, exactly: hexadecimal where it is no whole number. Without printf, which WebAssembly has not for
// fractions.
std::string text(double number);
template <std::integral Whole>
std::string text(Whole number) {
  return std::to_string(number);
}

template <class Numbers>
std::string array(const std::string& type, const std::string& name, const Numbers& numbers) {
  std::string out = "static const " + type + " " + name + "[" + text(numbers.size()) + "] = {";
  std::size_t line = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0) out += ",";
    if (out.size() - line > 100) {
      out += "\n";
      line = out.size();
    }
    if constexpr (std::is_floating_point_v<typename Numbers::value_type>) {
      out += text(static_cast<double>(numbers[i]));
    } else {
      out += text(static_cast<std::int64_t>(numbers[i]));
    }
  }
  return out + "};\n";
}

// `form` with every KEY replaced by its word; of keys that fit, the longest.
std::string fill(std::string_view form,
                 std::initializer_list<std::pair<std::string_view, std::string>> words);

// A window of PoolShape or ConvShape over the input `c`, whose pixels are at `sy`, `sx`.
template <class Window>
std::string window(const Window& s, int dilation_height, int dilation_width, const std::string& inner) {
  return fill(
      "for (m = 0; m < KH; ++m) for (n = 0; n < KW; ++n) {\n"
      "        const int sy = y * SH + m * DH - PT, sx = x * SW + n * DW - PL;\n"
      "        if (sy < 0 || sy >= IH || sx < 0 || sx >= IW) continue;\n"
      "        INNER\n      }",
      {{"KH", text(s.kernel_height)},
       {"KW", text(s.kernel_width)},
       {"SH", text(s.stride_height)},
       {"SW", text(s.stride_width)},
       {"DH", text(dilation_height)},
       {"DW", text(dilation_width)},
       {"PT", text(s.pad_top)},
       {"PL", text(s.pad_left)},
       {"IH", text(s.in_height)},
       {"IW", text(s.in_width)},
       {"INNER", inner}});
}

// A loop of `count` over i.
std::string each(std::int64_t count, const std::string& code);

}  // namespace espalier::c_header
