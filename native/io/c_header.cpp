// The frame of the header: helpers, tables, and the function that computes, layer after layer.
#include "io/c_header.h"

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "io/c_header_text.h"
#include "io/c_header_writer.h"
#include "ops/op.h"

namespace espalier {
namespace c_header {
namespace {

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

std::string write(Writer& writer) {
  std::string upper = writer.name, safe;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const char c : writer.graph.name) {
    safe += std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == ' ' ? c : '_';
  }
  const Shape& in = writer.graph.input.shape;
  writer.values.resize(writer.graph.nodes.size() + 1);
  writer.known.resize(writer.values.size());
  std::vector<double> factor, shift;
  for (std::size_t c = 0; c < static_cast<std::size_t>(in.channels); ++c) {
    const double mean = writer.graph.input.mean.empty() ? 0 : writer.graph.input.mean[c];
    const double deviation =
        writer.graph.input.standard_deviation.empty() ? 1 : writer.graph.input.standard_deviation[c];
    factor.push_back(1 / (255 * deviation));
    shift.push_back(-mean / deviation);
  }
  writer.data +=
      array("float", writer.name + "_factor", factor) + array("float", writer.name + "_shift", shift);
  const std::string first = writer.begin_numbers(writer.values[0], in);
  writer.line(each(in.size(),
                   fill("{\n    const float t = (float)pixels[i] * NAME_factor[i / PLANE];\n    OUT[i] = t + "
                        "NAME_shift[i / PLANE];\n  }",
                        {{"NAME", writer.name}, {"PLANE", text(in.pixels())}, {"OUT", first}})));
  for (const Node& node : writer.graph.nodes) {
    writer.memory.next_step();
    if (writer.known[node.index + 1]) continue;
    writer.body += "\n  /* " + std::string(node.op->name) + " " + text(node.index + 1) + " */\n";
    if (!write_on_codes(writer, node)) write_on_numbers(writer, node);
    writer.known[node.index + 1] = true;
  }
  writer.memory.next_step();
  const std::string last = writer.numbers(writer.values.back());
  writer.line(each(writer.graph.classes, "logits[i] = " + last + "[i];"));
  writer.memory.place();

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
              {"MATH", writer.needs_math ? "#include <math.h>\n" : ""},
              {"COUNT", text(writer.graph.classes)},
              {"SIZE", text(in.size())}}) +
         fill(kHelpers, {{"NAME", writer.name}}) + "\n" + writer.data + "\nstatic inline void " +
         writer.name + "_logits(const unsigned char* pixels, float* logits) {\n" + writer.memory.lines() +
         "  int i, c, y, x, m, n, k, place;\n" + writer.body +
         "  (void)c; (void)y; (void)x; (void)m; (void)n; (void)k; (void)place;\n}\n\nstatic inline int " +
         writer.name + "_class(const unsigned char* pixels) {\n  float logits[" + text(writer.graph.classes) +
         "];\n  int i, best = 0;\n  " + writer.name + "_logits(pixels, logits);\n  for (i = 1; i < " +
         text(writer.graph.classes) +
         "; ++i) if (logits[i] > logits[best]) best = i;\n  return best;\n}\n#endif\n";
}

}  // namespace
}  // namespace c_header

std::string save_c(const Model& model, std::string_view name) {
  const auto letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) ||
      !std::all_of(name.begin(), name.end(), letter)) {
    throw Error(ErrorCode::kArgument, "name",
                "is \"" + std::string(name) + "\", which C does not take; use letters, digits and _");
  }
  c_header::Writer writer(model, name);
  return c_header::write(writer);
}

}  // namespace espalier
