// Layers with weights in a C header: their weights packed, and the loops over them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/c_header_writer.h"
#include "ops/shapes.h"

namespace espalier::c_header {

// A layer's weights, all of them or those that are not 0, each as a code of so few bits as tell them apart.
struct PackedWeights {
  std::vector<float> levels;       // ascending; none: the codes are the weights
  int bits = 8;                    // of a code: 1, 2, 4, 8; 32: floats
  std::vector<std::uint8_t> gaps;  // from one weight to the next; none: all are there
  std::vector<float> weights;      // those that are there
  std::int64_t bytes() const {
    const auto count = static_cast<std::int64_t>(weights.size());
    const std::int64_t level_bytes = bits == 32 ? 0 : 4 * static_cast<std::int64_t>(levels.size());
    return (count * bits + 7) / 8 + static_cast<std::int64_t>(gaps.size()) + level_bytes;
  }
};

// Dense or sparse, whichever is fewer bytes.
PackedWeights packed(std::span<const float> all, bool integers);

// Writes the weights down; the loop that unpacks row `c` of them into `row`.
std::string unpack_row(Writer& writer, const Node& node, const PackedWeights& weights, std::int64_t row,
                       bool integers);

// What a convolution multiplies and adds, as C.
struct Convolution {
  std::string number;  // type of a weight
  std::string row;     // where a row of them is unpacked,
  std::string unpack;  // and how
  std::string sum;     // type
  std::string bias;    // of channel c
  std::string term;    // adds row[TAP] times the number at PIXEL
  std::string out;
  std::string result;  // of the sum
};

// A row of weights is unpacked for each output channel, then meets every pixel.
void sum_products(Writer& writer, const ConvShape& s, const Convolution& c);

}  // namespace espalier::c_header
