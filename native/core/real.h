// The engine's number. Every layer, kernel and optimizer is written for `real`, which is float
// in every product build. Tests build the whole engine a second time with `ESPALIER_REAL=double`
// and check each gradient against finite differences in that precision.
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef ESPALIER_REAL
#define ESPALIER_REAL float
#endif

namespace espalier {

using real = ESPALIER_REAL;

}  // namespace espalier
