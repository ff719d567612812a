// The walk over the graph is that of runtime/reference.cpp, which decides what has an integer form and
// defines its arithmetic: where that one computes, this one writes the same computation down.
#include "io/c_header.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <set>

#include "core/error.h"
#include "core/math.h"
#include "ops/op.h"
#include "ops/shapes.h"
#include "ops/weights.h"
#include "runtime/format.h"
#include "runtime/instructions.h"
#include "runtime/tail.h"

namespace espalier {
namespace {

// A float, exactly: hexadecimal where it is no whole number. Without printf, which WebAssembly has not for
// fractions.
std::string text(double number) {
  const auto exact = static_cast<float>(number);
  if (std::abs(exact) < 1e6f && exact == std::trunc(exact)) {
    return (std::signbit(exact) ? "-" : "") + std::to_string(static_cast<int>(std::abs(exact))) + ".0f";
  }
  const auto bits = std::bit_cast<std::uint32_t>(exact);
  const auto exponent = static_cast<int>(bits >> 23 & 0xFF);
  std::string result = std::signbit(exact) ? "-0x" : "0x";
  result += exponent > 0 ? "1." : "0.";
  for (int shift = 20; shift >= 0; shift -= 4)
    result += "0123456789abcdef"[(bits << 1 & 0xFFFFFF) >> shift & 0xF];
  return result + "p" + std::to_string(exponent > 0 ? exponent - 127 : -126) + "f";
}
template <std::integral Whole>
std::string text(Whole number) {
  return std::to_string(number);
}

template <class Numbers>
std::string array(const std::string& type, const std::string& name, const Numbers& numbers) {
  std::string out = "static const " + type + " " + name + "[" + text(numbers.size()) + "] = {";
  std::size_t line = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0) out += ",";
    if (out.size() - line > 100) {
      out += "\n";
      line = out.size();
    }
    if constexpr (std::is_floating_point_v<typename Numbers::value_type>) {
      out += text(static_cast<double>(numbers[i]));
    } else {
      out += text(static_cast<std::int64_t>(numbers[i]));
    }
  }
  return out + "};\n";
}

std::string weights_array(const std::string& name, const std::vector<float>& weights, bool integers) {
  if (!integers) return array("float", name, weights);
  return array("signed char", name, std::vector<int>(weights.begin(), weights.end()));
}

// `form` with every KEY replaced by its word; of keys that fit, the longest.
std::string fill(std::string_view form,
                 std::initializer_list<std::pair<std::string_view, std::string>> words) {
  std::string result;
  while (!form.empty()) {
    std::string_view key;
    const std::string* word = nullptr;
    for (const auto& [name, replacement] : words) {
      if (!form.starts_with(name) || name.size() <= key.size()) continue;
      key = name;
      word = &replacement;
    }
    result += word ? *word : std::string(1, form[0]);
    form.remove_prefix(word ? key.size() : 1);
  }
  return result;
}

// The numbers that layers compute with, as the executor makes them.
std::vector<real> effective_values(const Model& model) {
  std::vector<real> values(model.parameters.value.begin(), model.parameters.value.end());
  const auto& mask = model.parameters.mask;
  const auto apply_mask = [&] {
    for (std::size_t i = 0; i < mask.size(); ++i) values[i] *= mask[i];
  };
  apply_mask();
  for (const Node& node : model.graph.nodes) {
    if (node.attributes.quantize.scheme)
      fake_quantize_weights(node, model.parameters.value.data(), values.data());
  }
  apply_mask();
  return values;
}

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

// Dense or sparse, whichever is fewer bytes.
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

class Header {
 public:
  Header(const Model& model, std::string_view name)
      : graph_(model.graph), name_(name), effective_(effective_values(model)) {}

  std::string write();

 private:
  // A piece of the memory, between the steps that use it.
  struct Buffer {
    std::int64_t bytes = 0, begin = 0, end = 0;  // steps
    std::int64_t offset = 0;
    bool floats = false;
  };
  // A feature map, as the reference keeps it.
  struct Value {
    bool is_codes = false;
    CodeGrid grid;
    Shape shape;
    int buffer = -1;
    int numbers = -1;  // the buffer of the codes' numbers; -1: not made yet
  };

  int make_buffer(std::int64_t count, bool floats) {
    buffers_.push_back({.bytes = count * (floats ? 4 : 1), .begin = step_, .end = step_, .floats = floats});
    return static_cast<int>(buffers_.size()) - 1;
  }
  std::string use(int buffer) {
    buffers_[static_cast<std::size_t>(buffer)].end = step_;
    return "b" + text(buffer);
  }
  std::string codes(const Value& value) { return use(value.buffer); }
  std::string numbers(Value& value);
  std::string begin_codes(Value& value, const Shape& shape, const CodeGrid& grid) {
    value = {.is_codes = true, .grid = grid, .shape = shape, .buffer = make_buffer(shape.size(), false)};
    return use(value.buffer);
  }
  std::string begin_numbers(Value& value, const Shape& shape) {
    value = {.shape = shape, .buffer = make_buffer(shape.size(), true)};
    return use(value.buffer);
  }
  void place_buffers();
  std::string buffer_lines() const;

  std::span<const real> numbers_of(const ParameterInfo& info) const {
    return {effective_.data() + info.offset, static_cast<std::size_t>(info.size)};
  }
  std::string table(const std::string& what, const Node& node) const {
    return name_ + "_" + what + text(node.index + 1);
  }
  void line(const std::string& code) { body_ += "  " + code + "\n"; }

  void layer(const Node& node);
  bool on_codes(const Node& node);
  void on_numbers(const Node& node);
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
  void sum_products(const ConvShape& s, const Convolution& c);
  void quantize(const Node& node);
  void convolve(const Node& node, const LayerWeights& weights, const Value& in);
  void end_tail(const Node& node);
  // Writes the weights down, and the loop that unpacks row `c` of them into `row`.
  std::string unpack_row(const Node& node, const PackedWeights& weights, std::int64_t row, bool integers);

  const Graph& graph_;
  std::string name_;
  std::vector<real> effective_;
  std::vector<Value> values_;
  std::vector<bool> known_;
  std::vector<Buffer> buffers_;
  std::int64_t memory_ = 0;
  int step_ = 0;
  bool needs_math_ = false;
  std::string data_, body_;
};

// What layers share. `NAME` is the model's.
constexpr const char* kHelpers = R"(
/* The nearest whole number, half to even, of what is below 2^22. */
static inline float NAME_round(float x) {
  x += 12582912.0f;
  return x - 12582912.0f;
}
static inline float NAME_clamp(float x, int lowest, int highest) {
  return x < (float)lowest ? (float)lowest : x > (float)highest ? (float)highest : x;
}
static inline unsigned char NAME_requantize(int32_t sum, float multiplier, int zero, int lowest, int highest) {
  const float x = (float)sum * multiplier;
  return (unsigned char)((int)NAME_round(NAME_clamp(x, lowest - zero, highest - zero)) + zero);
}
static inline unsigned char NAME_quantize(float x, float scale, int zero, int highest) {
  return (unsigned char)((int)NAME_round(NAME_clamp(x / scale, -zero, highest - zero)) + zero);
}
)";

// A window of PoolShape or ConvShape over the input `c`, whose pixels are at `sy`, `sx`.
template <class Window>
std::string window(const Window& s, int dilation_height, int dilation_width, const std::string& inner) {
  return fill(
      "for (m = 0; m < KH; ++m) for (n = 0; n < KW; ++n) {\n"
      "        const int sy = y * SH + m * DH - PT, sx = x * SW + n * DW - PL;\n"
      "        if (sy < 0 || sy >= IH || sx < 0 || sx >= IW) continue;\n"
      "        INNER\n      }",
      {{"KH", text(s.kernel_height)},
       {"KW", text(s.kernel_width)},
       {"SH", text(s.stride_height)},
       {"SW", text(s.stride_width)},
       {"DH", text(dilation_height)},
       {"DW", text(dilation_width)},
       {"PT", text(s.pad_top)},
       {"PL", text(s.pad_left)},
       {"IH", text(s.in_height)},
       {"IW", text(s.in_width)},
       {"INNER", inner}});
}

std::string each(std::int64_t count, const std::string& code) {
  return "for (i = 0; i < " + text(count) + "; ++i) " + code;
}

std::string Header::numbers(Value& value) {
  if (!value.is_codes) return use(value.buffer);
  if (value.numbers < 0) {
    value.numbers = make_buffer(value.shape.size(), true);
    line(each(value.shape.size(),
              fill("OUT[i] = (float)(IN[i] - ZERO) * SCALE;", {{"OUT", use(value.numbers)},
                                                               {"IN", codes(value)},
                                                               {"ZERO", text(value.grid.zero_point)},
                                                               {"SCALE", text(double{value.grid.scale})}})));
  }
  return use(value.numbers);
}

// First fit: each lies in the first gap that is free as long as it is used.
void Header::place_buffers() {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    Buffer& buffer = buffers_[i];
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t j = 0; j < i; ++j) {
        const Buffer& other = buffers_[j];
        if (other.end < buffer.begin || other.begin > buffer.end) continue;
        if (buffer.offset >= other.offset + other.bytes || other.offset >= buffer.offset + buffer.bytes)
          continue;
        buffer.offset = (other.offset + other.bytes + 3) / 4 * 4;
        moved = true;
      }
    }
    memory_ = std::max(memory_, (buffer.offset + buffer.bytes + 3) / 4 * 4);
  }
}

std::string Header::buffer_lines() const {
  std::string lines = "  static float memory[" + text(std::max<std::int64_t>(memory_ / 4, 1)) + "];\n";
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    const std::string type = buffer.floats ? "float* const " : "unsigned char* const ";
    const std::string start = buffer.floats ? "memory + " + text(buffer.offset / 4)
                                            : "(unsigned char*)memory + " + text(buffer.offset);
    lines += "  " + type + "b" + text(i) + " = " + start + ";\n";
  }
  return lines;
}

std::string Header::write() {
  std::string upper = name_, safe;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const char c : graph_.name) {
    safe += std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == ' ' ? c : '_';
  }
  const Shape& in = graph_.input.shape;
  values_.resize(graph_.nodes.size() + 1);
  known_.resize(values_.size());
  std::vector<double> factor, shift;
  for (std::size_t c = 0; c < static_cast<std::size_t>(in.channels); ++c) {
    const double mean = graph_.input.mean.empty() ? 0 : graph_.input.mean[c];
    const double deviation = graph_.input.standard_deviation.empty() ? 1 : graph_.input.standard_deviation[c];
    factor.push_back(1 / (255 * deviation));
    shift.push_back(-mean / deviation);
  }
  data_ += array("float", name_ + "_factor", factor) + array("float", name_ + "_shift", shift);
  const std::string first = begin_numbers(values_[0], in);
  line(each(in.size(),
            fill("{\n    const float t = (float)pixels[i] * NAME_factor[i / PLANE];\n    OUT[i] = t + "
                 "NAME_shift[i / PLANE];\n  }",
                 {{"NAME", name_}, {"PLANE", text(in.pixels())}, {"OUT", first}})));
  for (const Node& node : graph_.nodes) {
    ++step_;
    if (known_[node.index + 1]) continue;
    body_ += "\n  /* " + std::string(node.op->name) + " " + text(node.index + 1) + " */\n";
    if (!on_codes(node)) on_numbers(node);
    known_[node.index + 1] = true;
  }
  ++step_;
  const std::string last = numbers(values_.back());
  line(each(graph_.classes, "logits[i] = " + last + "[i];"));
  place_buffers();

  return fill(
             R"(/* The model "TITLE", written by Espalier. Portable C99; not for several threads. Its arithmetic is that of
   Espalier's packed runtime, bit for bit where products and sums are rounded apart (-ffp-contract=off). */
#ifndef UPPER_MODEL_H
#define UPPER_MODEL_H
#include <stdint.h>
MATH
#define UPPER_CLASSES COUNT
#define UPPER_PIXELS SIZE
)",
             {{"TITLE", safe},
              {"UPPER", upper},
              {"MATH", needs_math_ ? "#include <math.h>\n" : ""},
              {"COUNT", text(graph_.classes)},
              {"SIZE", text(in.size())}}) +
         fill(kHelpers, {{"NAME", name_}}) + "\n" + data_ + "\nstatic inline void " + name_ +
         "_logits(const unsigned char* pixels, float* logits) {\n" + buffer_lines() +
         "  int i, c, y, x, m, n, k, place;\n" + body_ +
         "  (void)c; (void)y; (void)x; (void)m; (void)n; (void)k; (void)place;\n}\n\nstatic inline int " +
         name_ + "_class(const unsigned char* pixels) {\n  float logits[" + text(graph_.classes) +
         "];\n  int i, best = 0;\n  " + name_ + "_logits(pixels, logits);\n  for (i = 1; i < " +
         text(graph_.classes) + "; ++i) if (logits[i] > logits[best]) best = i;\n  return best;\n}\n#endif\n";
}

std::string Header::unpack_row(const Node& node, const PackedWeights& weights, std::int64_t row,
                               bool integers) {
  const std::string codes = table("weights", node), levels = table("levels", node);
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
    data_ += weights_array(codes, weights.weights, integers);
  } else {
    std::vector<int> bytes((weights.weights.size() * static_cast<std::size_t>(weights.bits) + 7) / 8);
    for (std::size_t i = 0; i < weights.weights.size(); ++i) {
      const auto rank = std::lower_bound(weights.levels.begin(), weights.levels.end(), weights.weights[i]) -
                        weights.levels.begin();
      const std::size_t bit = i * static_cast<std::size_t>(weights.bits);
      bytes[bit / 8] |= static_cast<int>(rank) << bit % 8;
    }
    data_ += array("unsigned char", codes, bytes) + weights_array(levels, weights.levels, integers);
  }
  if (weights.gaps.empty()) {
    return fill("for (i = 0; i < SIZE; ++i, ++k) row[i] = VALUE;",
                {{"SIZE", text(row)}, {"VALUE", element("k")}});
  }
  data_ += array("unsigned char", table("gaps", node), weights.gaps);
  return fill(
      "for (i = 0; i < SIZE; ++i) row[i] = 0;\n    for (; k < COUNT && place + GAPS[k] < (c + 1) * SIZE; "
      "++k) {\n"
      "      place += GAPS[k];\n      row[place - c * SIZE] = VALUE;\n    }",
      {{"SIZE", text(row)},
       {"COUNT", text(weights.weights.size())},
       {"GAPS", table("gaps", node)},
       {"VALUE", element("k")}});
}

void Header::end_tail(const Node& node) {
  for (const std::size_t v : tail_of(graph_, node.index + 1).values) {
    values_[v] = values_[node.index + 1];
    known_[v] = true;
  }
}

bool Header::on_codes(const Node& node) {
  const auto id = [&](std::size_t i) { return static_cast<std::size_t>(node.inputs[i]); };
  Value& out = values_[node.index + 1];
  Value& first = values_[id(0)];
  if (node.op == &kFakeQuantize) {
    quantize(node);
    return true;
  }
  if (node.op == &kDropout || node.op == &kFlatten) {
    out = first;
    return true;
  }
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Value& in = values_[id(i)];
    if (!in.is_codes || (in.shape != node.in_shapes[i] && node.op != &kDense)) return false;
  }
  if (has_weights(node)) {
    const LayerWeights weights = layer_weights(node, conv_shape(node), effective_.data());
    if (weights.integers.empty()) return false;
    convolve(node, weights, first);
    return true;
  }
  const bool average = node.op == &kAvgPool || node.op == &kGlobalAvgPool;
  const PoolShape pool = average || node.op == &kMaxPool ? pool_shape(node) : PoolShape{};
  const Shape& shape = node.out_shape;
  const std::string from = codes(first), zero = text(first.grid.zero_point);
  const std::string pixel =
      from + "[(c * " + text(pool.in_height) + " + sy) * " + text(pool.in_width) + " + sx]";
  const std::string at = fill("[(c * H + y) * W + x]", {{"H", text(shape.height)}, {"W", text(shape.width)}});
  const std::string pixels =
      fill("for (c = 0; c < C; ++c) for (y = 0; y < H; ++y) for (x = 0; x < W; ++x) {\n      ",
           {{"C", text(shape.channels)}, {"H", text(shape.height)}, {"W", text(shape.width)}});
  if (node.op == &kRelu) {
    const CodeGrid grid = first.grid;
    const std::string to = begin_codes(out, shape, grid);
    line(each(shape.size(), to + "[i] = " + from + "[i] > " + zero + " ? " + from + "[i] : " + zero + ";"));
    return true;
  }
  if (node.op == &kMaxPool) {
    const CodeGrid grid = first.grid;
    const std::string to = begin_codes(out, shape, grid);
    line(pixels + "unsigned char best = 0;\n      " +
         window(pool, 1, 1, "if (" + pixel + " > best) best = " + pixel + ";") + "\n      " + to + at +
         " = best;\n  }");
    return true;
  }
  const bool sum = node.op == &kAdd && node.inputs.size() == 2;
  if (!average && !sum && node.op != &kConcat) return false;
  const Tail tail = tail_of(graph_, node.index + 1);
  if (!tail.quantizer) return false;
  const CodeGrid grid = grid_of(*tail.quantizer, effective_.data());
  const CodeRange range = range_of(grid, tail.rectifier);
  const std::string to = begin_codes(out, shape, grid);
  const std::string bounds = text(grid.zero_point) + ", " + text(range.lowest) + ", " + text(range.highest);
  if (average) {
    std::set<int> counts;  // of the pixels of a window; few, so there is a multiplier for each
    for (int y = 0; y < pool.out_height; ++y) {
      for (int x = 0; x < pool.out_width; ++x) {
        const auto inside = [](int o, int stride, int pad, int kernel, int size) {
          return std::min(o * stride - pad + kernel, size) - std::max(o * stride - pad, 0);
        };
        counts.insert(inside(y, pool.stride_height, pool.pad_top, pool.kernel_height, pool.in_height) *
                      inside(x, pool.stride_width, pool.pad_left, pool.kernel_width, pool.in_width));
      }
    }
    std::vector<float> multipliers(static_cast<std::size_t>(*counts.rbegin()) + 1);
    for (const int count : counts) {
      multipliers[static_cast<std::size_t>(count)] =
          first.grid.scale / (grid.scale * static_cast<float>(count));
    }
    data_ += array("float", table("multipliers", node), multipliers);
    line(pixels + "int32_t sum = 0;\n      int count = 0;\n      " +
         window(pool, 1, 1, "sum += " + pixel + " - " + zero + ";\n        ++count;") + "\n      " + to + at +
         " = " + name_ + "_requantize(sum, " + table("multipliers", node) + "[count], " + bounds + ");\n  }");
  } else if (sum) {
    const Value& other = values_[id(1)];
    const auto number = [&](const Value& value) {
      return "(float)(" + codes(value) + "[i] - " + text(value.grid.zero_point) + ") * " +
             text(double{value.grid.scale});
    };
    line(each(
        shape.size(),
        fill("{\n    const float a = A, b = B;\n    const float t = NAME_clamp((a + b) / SCALE, LOW, HIGH);\n"
             "    OUT[i] = (unsigned char)NAME_round(t + ZERO);\n  }",
             {{"NAME", name_},
              {"SCALE", text(double{grid.scale})},
              {"LOW", text(range.lowest - grid.zero_point)},
              {"HIGH", text(range.highest - grid.zero_point)},
              {"OUT", to},
              {"ZERO", text(double(grid.zero_point))},
              {"A", number(first)},
              {"B", number(other)}})));
  } else {
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Value& in = values_[id(i)];
      std::vector<int> translated;
      for (int code = 0; code <= in.grid.highest; ++code) {
        const float number = static_cast<float>(code - in.grid.zero_point) * in.grid.scale;
        translated.push_back(
            std::clamp(in.grid == grid ? code : code_of(number, grid), range.lowest, range.highest));
      }
      const std::string codes_of_input = table("codes" + text(i) + "_", node);
      data_ += array("unsigned char", codes_of_input, translated);
      line(each(in.shape.size(),
                to + "[i + " + text(begin) + "] = " + codes_of_input + "[" + codes(in) + "[i]];"));
      begin += in.shape.size();
    }
  }
  end_tail(node);
  return true;
}

// Of integers: sums from the bias on, then codes, or numbers where no quantizer follows.
void Header::convolve(const Node& node, const LayerWeights& weights, const Value& in) {
  const ConvShape& s = weights.shape;
  const Tail tail = tail_of(graph_, node.index + 1);
  const std::string from = codes(in);
  const CodeGrid in_grid = in.grid;
  Value& out = values_[node.index + 1];
  std::string to;
  if (tail.quantizer) {
    to = begin_codes(out, node.out_shape, grid_of(*tail.quantizer, effective_.data()));
  } else {
    to = begin_numbers(out, node.out_shape);
  }
  std::vector<std::int32_t> bias;
  std::vector<float> multipliers;
  for (std::size_t o = 0; o < static_cast<std::size_t>(s.out_channels); ++o) {
    const float sum_scale = in_grid.scale * weights.scales[o];
    multipliers.push_back(tail.quantizer ? sum_scale / out.grid.scale : sum_scale);
    bias.push_back(weights.bias.empty()
                       ? 0
                       : bias_code(static_cast<float>(weights.bias[o]), in_grid.scale, weights.scales[o]));
  }
  data_ +=
      array("int32_t", table("bias", node), bias) + array("float", table("multipliers", node), multipliers);
  const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
  const std::vector<float> all(weights.integers.begin(), weights.integers.end());
  const std::string unpack = unpack_row(node, packed(all, true), row, true);
  std::string result = "(float)sum * " + table("multipliers", node) + "[c]";
  if (tail.quantizer) {
    const CodeRange range = range_of(out.grid, tail.rectifier);
    result = name_ + "_requantize(sum, " + table("multipliers", node) + "[c], " + text(out.grid.zero_point) +
             ", " + text(range.lowest) + ", " + text(range.highest) + ")";
  }
  sum_products(s, {.number = "signed char",
                   .row = use(make_buffer(row, false)),
                   .unpack = unpack,
                   .sum = "int32_t",
                   .bias = table("bias", node) + "[c]",
                   .term = fill("sum += row[TAP] * (FROM[PIXEL] - ZERO);",
                                {{"FROM", from}, {"ZERO", text(in_grid.zero_point)}}),
                   .out = to,
                   .result = result});
  if (tail.quantizer) end_tail(node);
}

void Header::quantize(const Node& node) {
  Value& in = values_[static_cast<std::size_t>(node.inputs[0])];
  Value& out = values_[node.index + 1];
  const CodeGrid grid = grid_of(node, effective_.data());
  if (in.is_codes && in.grid == grid) {
    out = in;
    return;
  }
  const Shape shape = in.shape;
  const std::string from = numbers(in), to = begin_codes(out, shape, grid);
  line(each(shape.size(),
            fill("OUT[i] = NAME_quantize(IN[i], SCALE, ZERO, HIGHEST);", {{"NAME", name_},
                                                                          {"OUT", to},
                                                                          {"IN", from},
                                                                          {"SCALE", text(double{grid.scale})},
                                                                          {"ZERO", text(grid.zero_point)},
                                                                          {"HIGHEST", text(grid.highest)}})));
}

// A row of weights is unpacked for each output channel, then meets every pixel.
void Header::sum_products(const ConvShape& s, const Convolution& c) {
  const std::string first = s.groups == 1 ? "0" : "c / " + text(s.group_out()) + " * " + text(s.group_in());
  const std::string tap = "(i * " + text(s.kernel_height) + " + m) * " + text(s.kernel_width) + " + n";
  const std::string pixel =
      "((" + first + " + i) * " + text(s.in_height) + " + sy) * " + text(s.in_width) + " + sx";
  const std::string term = fill(c.term, {{"TAP", tap}, {"PIXEL", pixel}});
  line(
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

// The layers of training, in their order of sums.
void Header::on_numbers(const Node& node) {
  std::vector<std::string> in;
  for (const int input : node.inputs) in.push_back(numbers(values_[static_cast<std::size_t>(input)]));
  Value& out = values_[node.index + 1];
  const Shape& shape = node.out_shape;
  const std::string to = begin_numbers(out, shape);
  const std::string at = fill("[(c * H + y) * W + x]", {{"H", text(shape.height)}, {"W", text(shape.width)}});
  const std::string pixels =
      fill("for (c = 0; c < C; ++c) for (y = 0; y < H; ++y) for (x = 0; x < W; ++x) {\n      ",
           {{"C", text(shape.channels)}, {"H", text(shape.height)}, {"W", text(shape.width)}});
  const auto unary = [&](const std::string& f) {
    line(each(shape.size(), "{\n    const float t = " + in[0] + "[i];\n    " + to + "[i] = " + f + ";\n  }"));
  };
  if (has_weights(node)) {
    const ConvShape s = conv_shape(node);
    const std::int64_t row = std::int64_t{s.group_in()} * s.taps();
    const std::span<const real> weights = numbers_of(weight_of(node));
    const std::string unpack =
        unpack_row(node, packed(std::vector<float>(weights.begin(), weights.end()), false), row, false);
    std::string bias = "0";
    if (const ParameterInfo* info = bias_of(node)) {
      const std::span<const real> b = numbers_of(*info);
      data_ += array("float", table("bias", node), std::vector<float>(b.begin(), b.end()));
      bias = table("bias", node) + "[c]";
    }
    sum_products(s, {.number = "float",
                     .row = use(make_buffer(row, true)),
                     .unpack = unpack,
                     .sum = "float",
                     .bias = bias,
                     .term = fill("const float product = row[TAP] * FROM[PIXEL];\n        sum += product;",
                                  {{"FROM", in[0]}}),
                     .out = to,
                     .result = "sum"});
    return;
  }
  const bool average = node.op == &kAvgPool || node.op == &kGlobalAvgPool;
  if (average || node.op == &kMaxPool) {
    const PoolShape s = pool_shape(node);
    const std::string pixel =
        in[0] + "[(c * " + text(s.in_height) + " + sy) * " + text(s.in_width) + " + sx]";
    if (average) {
      line(pixels + "float sum = 0;\n      int count = 0;\n      " +
           window(s, 1, 1, "sum += " + pixel + ";\n        ++count;") + "\n      " + to + at +
           " = sum * (1.0f / (float)count);\n  }");
    } else {
      line(pixels + "float best = 0;\n      int count = 0;\n      " +
           window(s, 1, 1, "if (count++ == 0 || " + pixel + " > best) best = " + pixel + ";") + "\n      " +
           to + at + " = best;\n  }");
    }
    return;
  }
  if (node.op == &kBatchNorm) {
    std::vector<float> scale, shift;
    for (std::size_t c = 0; c < static_cast<std::size_t>(shape.channels); ++c) {
      const auto p = [&](std::size_t i) { return double{numbers_of(node.parameters[i])[c]}; };
      const double factor = p(0) * (1.0 / math::sqrt(p(3) + node.attributes.epsilon));
      scale.push_back(static_cast<float>(factor));
      shift.push_back(static_cast<float>(p(1) - p(2) * factor));
    }
    data_ += array("float", table("scale", node), scale) + array("float", table("shift", node), shift);
    line(
        each(shape.size(),
             fill("{\n    const float t = IN[i] * SCALE[i / PLANE];\n    OUT[i] = t + SHIFT[i / PLANE];\n  }",
                  {{"IN", in[0]},
                   {"SCALE", table("scale", node)},
                   {"SHIFT", table("shift", node)},
                   {"PLANE", text(shape.pixels())},
                   {"OUT", to}})));
    return;
  }
  if (node.op == &kRelu) return unary("t > 0 ? t : 0");
  if (node.op == &kRelu6) return unary("t > 6 ? 6 : t > 0 ? t : 0");
  if (node.op == &kLeakyRelu) return unary("t > 0 ? t : " + text(node.attributes.slope) + " * t");
  if (node.op == &kTanh || node.op == &kSigmoid) {
    needs_math_ = true;
    return unary(node.op == &kTanh ? "tanhf(t)" : "1 / (1 + expf(-t))");
  }
  if (node.op == &kAdd || node.op == &kConcat) {
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool add = node.op == &kAdd;
      line(each(node.in_shapes[i].size(),
                to + "[i + " + text(begin) + "] " + (add && i > 0 ? "+=" : "=") + " " + in[i] + "[i];"));
      if (!add) begin += node.in_shapes[i].size();
    }
    return;
  }
  throw Error(ErrorCode::kUnsupported, node.name,
              "is a layer of type " + std::string(node.op->name) +
                  ", which the C export does not have; export to ONNX");
}

}  // namespace

std::string save_c(const Model& model, std::string_view name) {
  const auto letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) ||
      !std::all_of(name.begin(), name.end(), letter)) {
    throw Error(ErrorCode::kArgument, "name",
                "is \"" + std::string(name) + "\", which C does not take; use letters, digits and _");
  }
  return Header(model, name).write();
}

}  // namespace espalier
