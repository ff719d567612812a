// Rounding as IEEE does it (half to even), inline and the same on every machine: adding and taking away
// 1.5 · 2^mantissa leaves a whole number.
#pragma once

#include "core/real.h"

namespace espalier {

// |x| below 2^22. Not for compilers that reassociate (-ffast-math).
inline real round_half_even(real x) {
  constexpr real kMagic = sizeof(real) == 4 ? real(12582912.0) : real(6755399441055744.0);
  return (x + kMagic) - kMagic;
}

}  // namespace espalier
