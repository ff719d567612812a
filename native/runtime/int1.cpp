// Weights of one bit: signs times a scale for each row.
#include "runtime/low_bit.h"

namespace espalier {

constinit const WeightFormat kInt1Format =
    low_bit_format<1>("int1", "Eight weights in a byte, each 1 or -1, on 8-bit features.");

}  // namespace espalier
