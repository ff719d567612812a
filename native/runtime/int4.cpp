// Weights of four bits: -8 to 7 times a scale for each row.
#include "runtime/low_bit.h"

namespace espalier {

constinit const WeightFormat kInt4Format =
    low_bit_format<4>("int4", "Two weights in a byte, on 8-bit features.");

}  // namespace espalier
