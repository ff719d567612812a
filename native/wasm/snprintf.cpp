// In place of the C library's: nlohmann/json prints character codes ("\u%04x", "<U+%.4X>", "%.2X"),
// which is all that anything here prints, and the whole of printf is 5 KB of every gzipped binary.
#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" int snprintf(char* out, std::size_t size, const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::size_t length = 0;
  const auto put = [&](char c) {
    if (length + 1 < size) out[length] = c;
    ++length;
  };
  for (const char* c = format; *c != '\0'; ++c) {
    if (*c != '%') {
      put(*c);
      continue;
    }
    int digits = 1;
    for (++c; *c == '.' || (*c >= '0' && *c <= '9'); ++c) digits = *c > '0' ? *c - '0' : digits;
    const std::uint32_t value = va_arg(arguments, std::uint32_t);
    while (digits < 8 && value >> (4 * digits) != 0) ++digits;
    const char* hex = *c == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    for (int digit = digits - 1; digit >= 0; --digit) put(hex[value >> (4 * digit) & 15]);
  }
  va_end(arguments);
  if (size > 0) out[length < size ? length : size - 1] = '\0';
  return static_cast<int>(length);
}
