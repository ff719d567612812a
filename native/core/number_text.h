// Numbers for people, written with whole arithmetic: the WebAssembly build has no printf for fractions.
#pragma once

#include <string>

namespace espalier {

std::string decimal(double number, int decimals);  // "12.3"; numbers below 10^9
std::string percent(double share, int decimals);   // "12.3 %" of 0.123
std::string shortened(double number);              // four digits that count: "0.01235", "12.35"

}  // namespace espalier
