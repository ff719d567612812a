#include "io/c_header_weights.h"

#include <algorithm>
#include <set>

namespace espalier::c_header {
namespace {

PackedWeights packed(std::vector<float> weights, std::vector<std::uint8_t> gaps, bool integers) {
  PackedWeights result;
  std::set<float> levels(weights.begin(), weights.end());
  if (levels.size() <= (integers ? 16 : 256)) {
    result.levels.assign(levels.begin(), levels.end());
    for (const int bits : {8, 4, 2, 1}) {
      if (levels.size() <= std::size_t{1} << bits) result.bits = bits;
    }
  } else {
    result.bits = integers ? 8 : 32;
  }
  result.gaps = std::move(gaps);
  result.weights = std::move(weights);
  return result;
}

std::string weights_array(const std::string& name, const std::vector<float>& weights, bool integers) {
  if (!integers) return array("float", name, weights);
  return array("signed char", name, std::vector<int>(weights.begin(), weights.end()));
}

}  // namespace

PackedWeights packed(std::span<const float> all, bool integers) {
  PackedWeights dense = packed({all.begin(), all.end()}, {}, integers);
  std::vector<float> kept;
  std::vector<std::uint8_t> gaps;
  std::int64_t last = -1;
  for (std::int64_t i = 0; i < std::ssize(all); ++i) {
    // A gap that a byte cannot say is bridged by a weight of 0.
    if (all[static_cast<std::size_t>(i)] == 0 && i - last < 255) continue;
    kept.push_back(all[static_cast<std::size_t>(i)]);
    gaps.push_back(static_cast<std::uint8_t>(i - last));
    last = i;
  }
  if (kept.empty()) return dense;
  PackedWeights sparse = packed(std::move(kept), std::move(gaps), integers);
  return sparse.bytes() < dense.bytes() ? sparse : dense;
}

std::string unpack_row(Writer& writer, const Node& node, const PackedWeights& weights, std::int64_t row,
                       bool integers) {
  const std::string codes = writer.table("weights", node), levels = writer.table("levels", node);
  const auto element = [&](const std::string& k) -> std::string {
    if (weights.levels.empty()) return codes + "[" + k + "]";
    const int each_byte = 8 / weights.bits;
    if (each_byte == 1) return levels + "[" + codes + "[" + k + "]]";
    return fill("LEVELS[(CODES[KTH / COUNT] >> (KTH % COUNT * BITS)) & MASK]",
                {{"LEVELS", levels},
                 {"CODES", codes},
                 {"KTH", k},
                 {"COUNT", text(each_byte)},
                 {"BITS", text(weights.bits)},
                 {"MASK", text((1 << weights.bits) - 1)}});
  };
  if (weights.levels.empty()) {
    writer.data += weights_array(codes, weights.weights, integers);
  } else {
    std::vector<int> bytes((weights.weights.size() * static_cast<std::size_t>(weights.bits) + 7) / 8);
    for (std::size_t i = 0; i < weights.weights.size(); ++i) {
      const auto rank = std::lower_bound(weights.levels.begin(), weights.levels.end(), weights.weights[i]) -
                        weights.levels.begin();
      const std::size_t bit = i * static_cast<std::size_t>(weights.bits);
      bytes[bit / 8] |= static_cast<int>(rank) << bit % 8;
    }
    writer.data += array("unsigned char", codes, bytes) + weights_array(levels, weights.levels, integers);
  }
  if (weights.gaps.empty()) {
    return fill("for (i = 0; i < SIZE; ++i, ++k) row[i] = VALUE;",
                {{"SIZE", text(row)}, {"VALUE", element("k")}});
  }
  writer.data += array("unsigned char", writer.table("gaps", node), weights.gaps);
  return fill(
      "for (i = 0; i < SIZE; ++i) row[i] = 0;\n    for (; k < COUNT && place + GAPS[k] < (c + 1) * SIZE; "
      "++k) {\n"
      "      place += GAPS[k];\n      row[place - c * SIZE] = VALUE;\n    }",
      {{"SIZE", text(row)},
       {"COUNT", text(weights.weights.size())},
       {"GAPS", writer.table("gaps", node)},
       {"VALUE", element("k")}});
}

void sum_products(Writer& writer, const ConvShape& s, const Convolution& c) {
  const std::string first = s.groups == 1 ? "0" : "c / " + text(s.group_out()) + " * " + text(s.group_in());
  const std::string tap = "(i * " + text(s.kernel_height) + " + m) * " + text(s.kernel_width) + " + n";
  const std::string pixel =
      "((" + first + " + i) * " + text(s.in_height) + " + sy) * " + text(s.in_width) + " + sx";
  const std::string term = fill(c.term, {{"TAP", tap}, {"PIXEL", pixel}});
  writer.line(
      fill("for (c = 0, k = 0, place = -1; c < CHANNELS; ++c) {\n    NUMBER* const row = (NUMBER*)ROW;\n    "
           "UNPACK\n"
           "    for (y = 0; y < HEIGHT; ++y) for (x = 0; x < WIDTH; ++x) {\n      SUM sum = BIAS;\n"
           "      for (i = 0; i < INPUTS; ++i) WINDOW\n      OUT[(c * HEIGHT + y) * WIDTH + x] = RESULT;\n   "
           " }\n  }",
           {{"CHANNELS", text(s.out_channels)},
            {"NUMBER", c.number},
            {"ROW", c.row},
            {"UNPACK", c.unpack},
            {"HEIGHT", text(s.out_height)},
            {"WIDTH", text(s.out_width)},
            {"SUM", c.sum},
            {"BIAS", c.bias},
            {"INPUTS", text(s.group_in())},
            {"WINDOW", window(s, s.dilation_height, s.dilation_width, term)},
            {"OUT", c.out},
            {"RESULT", c.result}}));
}

}  // namespace espalier::c_header
