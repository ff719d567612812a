#include "core/number_text.h"

#include <cstdint>
#include <nlohmann/json.hpp>

namespace espalier {

std::string decimal(double number, int decimals) {
  std::int64_t unit = 1;
  for (int i = 0; i < decimals; ++i) unit *= 10;
  const bool negative = number < 0;
  const auto parts =
      static_cast<std::int64_t>((negative ? -number : number) * static_cast<double>(unit) + 0.5);
  const std::string sign = negative && parts > 0 ? "-" : "";
  if (decimals == 0) return sign + std::to_string(parts);
  std::string fraction = std::to_string(parts % unit);
  fraction.insert(0, static_cast<std::size_t>(decimals) - fraction.size(), '0');
  return sign + std::to_string(parts / unit) + "." + fraction;
}

std::string percent(double share, int decimals) { return decimal(100 * share, decimals) + " %"; }

std::string shortened(double number) {
  constexpr int kDigits = 4;
  double size = number < 0 ? -number : number;
  if (size == 0) return "0";
  if (!(size >= 1e-5 && size < 1e9)) return nlohmann::json(number).dump();
  int decimals = kDigits - 1;
  for (; size >= 10 && decimals > 0; size /= 10) --decimals;
  for (; size < 1; size *= 10) ++decimals;
  return decimal(number, decimals);
}

}  // namespace espalier
