// Weights of two bits: -2 to 1 times a scale for each row.
#include "runtime/low_bit.h"

namespace espalier {

constinit const WeightFormat kInt2Format =
    low_bit_format<2>("int2", "Four weights in a byte, ternary ones among them, on 8-bit features.");

}  // namespace espalier
