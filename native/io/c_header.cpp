#include "io/c_header.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <concepts>
#include <cstdio>

#include "core/error.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

std::string text(double number) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.8ef", static_cast<double>(static_cast<float>(number)));
  return buffer;
}
template <std::integral Whole>
std::string text(Whole number) {
  return std::to_string(number);
}

template <class Numbers>
std::string array(const std::string& type, const std::string& name, const Numbers& numbers) {
  std::string out = "static const " + type + " " + name + "[" + std::to_string(numbers.size()) + "] = {";
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

class Header {
 public:
  Header(const Model& model, std::string_view name)
      : graph_(model.graph), name_(name), values_(effective_values(model)) {}

  std::string write() {
    std::string upper = name_;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const Shape& in = graph_.input.shape;
    std::string body;
    std::int64_t largest_row = 1;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      body += "  static float v" + std::to_string(i + 1) + "[" + text(node.out_shape.size()) + "];\n";
      if (has_weights(node))
        largest_row = std::max(largest_row, weight_of(node).size / weight_of(node).shape[0]);
    }
    body += "  for (i = 0; i < " + text(in.size()) + "; ++i) v0[i] = ((float)pixels[i] / 255.0f - mean[i / " +
            text(in.pixels()) + "]) / deviation[i / " + text(in.pixels()) + "];\n";
    for (const Node& node : graph_.nodes) body += layer(node);
    std::vector<double> mean = graph_.input.mean, deviation = graph_.input.standard_deviation;
    mean.resize(static_cast<std::size_t>(in.channels), 0);
    deviation.resize(static_cast<std::size_t>(in.channels), 1);
    const std::string last = "v" + std::to_string(graph_.nodes.size());
    return "/* The model \"" + safe(graph_.name) +
           "\", written by Espalier. Portable C99; not for several threads. */\n#ifndef " + upper +
           "_MODEL_H\n#define " + upper + "_MODEL_H\n#include <math.h>\n\n#define " + upper + "_CLASSES " +
           text(graph_.classes) + "\n#define " + upper + "_PIXELS " + text(in.size()) + "\n\n" + data_ +
           "\nstatic inline void " + name_ +
           "_logits(const unsigned char* pixels, float* logits) {\n  static float v0[" + text(in.size()) +
           "], row[" + text(largest_row) + "];\n  " + array("float", "mean", mean) + "  " +
           array("float", "deviation", deviation) + "  int i, c, y, x, k, m, n;\n" + body +
           "  (void)row; (void)c; (void)y; (void)x; (void)k; (void)m; (void)n;\n  for (i = 0; i < " +
           text(graph_.classes) + "; ++i) logits[i] = " + last + "[i];\n}\n\nstatic inline int " + name_ +
           "_class(const unsigned char* pixels) {\n  float logits[" + text(graph_.classes) +
           "];\n  int i, best = 0;\n  " + name_ + "_logits(pixels, logits);\n  for (i = 1; i < " +
           text(graph_.classes) +
           "; ++i) if (logits[i] > logits[best]) best = i;\n  return best;\n}\n#endif\n";
  }

 private:
  static std::string safe(const std::string& name) {
    std::string out;
    for (const char c : name)
      out += std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == ' ' ? c : '_';
    return out;
  }
  std::span<const real> numbers(const ParameterInfo& info) const {
    return {values_.data() + info.offset, static_cast<std::size_t>(info.size)};
  }
  static std::string fill(std::string form,
                          std::initializer_list<std::pair<const char*, std::string>> words) {
    for (const auto& [key, word] : words) {
      for (std::size_t at; (at = form.find(key)) != std::string::npos;) {
        form.replace(at, std::string_view(key).size(), word);
      }
    }
    return form;
  }

  // Packs the weights and writes the function that unpacks a row of them.
  void weights(const Node& node, const std::string& id) {
    const std::span<const real> all = numbers(weight_of(node));
    const std::size_t rows = static_cast<std::size_t>(weight_of(node).shape[0]), row = all.size() / rows;
    const auto zeros = static_cast<std::size_t>(std::count(all.begin(), all.end(), real{0}));
    const bool sparse = zeros * 2 > all.size() && row <= 65536;
    std::vector<real> kept;
    std::vector<std::int64_t> places, first{0};
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!sparse || all[i] != 0) {
        kept.push_back(all[i]);
        places.push_back(static_cast<std::int64_t>(i % row));
      }
      if ((i + 1) % row == 0) first.push_back(static_cast<std::int64_t>(kept.size()));
    }
    if (kept.empty()) {
      kept.push_back(0);
      places.push_back(0);
    }
    const std::string value = pack(node, kept, first, sparse, id);
    std::string loop = "  for (i = 0; i < " + text(static_cast<std::int64_t>(row)) + "; ++i) out[i] = ";
    if (sparse) {
      data_ += array("unsigned short", name_ + "_places" + id, places) +
               array("int", name_ + "_first" + id, first);
      loop += "0;\n  for (k = " + name_ + "_first" + id + "[r]; k < " + name_ + "_first" + id +
              "[r + 1]; ++k) out[" + name_ + "_places" + id + "[k]] = " + value + ";\n";
    } else {
      loop += "0;\n  for (i = 0; i < " + text(static_cast<std::int64_t>(row)) + "; ++i) {\n    k = r * " +
              text(static_cast<std::int64_t>(row)) + " + i;\n    out[i] = " + value + ";\n  }\n";
    }
    data_ +=
        "static inline void " + name_ + "_row" + id + "(int r, float* out) {\n  int i, k;\n" + loop + "}\n";
  }

  // The expression of the k-th packed number, of row r.
  std::string pack(const Node& node, const std::vector<real>& kept, const std::vector<std::int64_t>& first,
                   bool sparse, const std::string& id) {
    std::vector<real> table = kept;
    std::sort(table.begin(), table.end());
    table.erase(std::unique(table.begin(), table.end()), table.end());
    if (table.size() <= 256) {
      const bool half = table.size() <= 16;
      std::vector<int> bytes;
      for (std::size_t i = 0; i < kept.size(); ++i) {
        const int at =
            static_cast<int>(std::lower_bound(table.begin(), table.end(), kept[i]) - table.begin());
        if (half && i % 2 == 1) {
          bytes.back() |= at << 4;
        } else {
          bytes.push_back(at);
        }
      }
      data_ +=
          array("float", name_ + "_table" + id, table) + array("unsigned char", name_ + "_codes" + id, bytes);
      return name_ + "_table" + id + "[" + name_ + "_codes" + id +
             (half ? "[k / 2] >> (k % 2 * 4) & 15]" : "[k]]");
    }
    if (const ParameterInfo* scale = grid_scale_of(node);
        scale && !sparse && scale->size + 1 == std::ssize(first)) {
      const std::span<const real> scales = numbers(*scale);
      std::vector<int> codes;
      for (std::size_t i = 0; i < kept.size(); ++i) {
        const real step = scales[i / (kept.size() / scales.size())];
        const real code = std::nearbyint(kept[i] / step);
        if (!(std::abs(code) < 128) || code * step != kept[i]) break;
        codes.push_back(static_cast<int>(code));
      }
      if (codes.size() == kept.size()) {
        data_ += array("float", name_ + "_scales" + id, std::vector<real>(scales.begin(), scales.end())) +
                 array("signed char", name_ + "_codes" + id, codes);
        return name_ + "_scales" + id + "[r] * (float)" + name_ + "_codes" + id + "[k]";
      }
    }
    data_ += array("float", name_ + "_weights" + id, kept);
    return name_ + "_weights" + id + "[k]";
  }

  std::string window(const Node& node, const std::string& inner) const {
    const Attributes& a = node.attributes;
    const Shape& in = node.in_shape();
    return fill(
        "        for (m = 0; m < KH; ++m) for (n = 0; n < KW; ++n) {\n          const int sy = y * SH + m * "
        "DH - PT, sx = x * "
        "SW + n * DW - PL;\n          if (sy < 0 || sy >= IH || sx < 0 || sx >= IW) continue;\n          "
        "INNER\n        }\n",
        {{"KH", text(a.kernel.height)},
         {"KW", text(a.kernel.width)},
         {"SH", text(a.stride.height)},
         {"SW", text(a.stride.width)},
         {"DH", text(a.dilation.height)},
         {"DW", text(a.dilation.width)},
         {"PT", text(a.padding.top)},
         {"PL", text(a.padding.left)},
         {"IH", text(in.height)},
         {"IW", text(in.width)},
         {"INNER", inner}});
  }

  std::string layer(const Node& node) {
    const std::string id = std::to_string(node.index + 1), out = "v" + id;
    const std::string in = node.inputs.empty() ? "v0" : "v" + std::to_string(node.inputs[0]);
    const Shape& shape = node.out_shape;
    const std::string size = text(shape.size()), pixels = text(shape.pixels());
    const std::string each = "  for (i = 0; i < " + size + "; ++i) ";
    const std::string map = "  for (c = 0; c < " + text(shape.channels) + "; ++c) {\n";
    const std::string places = "      for (y = 0; y < " + text(shape.height) + "; ++y) for (x = 0; x < " +
                               text(shape.width) + "; ++x) {\n";
    const std::string at = out + "[(c * " + text(shape.height) + " + y) * " + text(shape.width) + " + x]";
    const auto source = [&](const std::string& channel) {
      return in + "[(" + channel + " * " + text(node.in_shape().height) + " + sy) * " +
             text(node.in_shape().width) + " + sx]";
    };
    const auto unary = [&](const std::string& f) {
      return each + "{ const float t = " + in + "[i]; " + out + "[i] = " + f + "; }\n";
    };
    if (has_weights(node)) {
      weights(node, id);
      std::string bias = "0.0f";
      if (const ParameterInfo* info = bias_of(node)) {
        const auto b = numbers(*info);
        data_ += array("float", name_ + "_bias" + id, std::vector<real>(b.begin(), b.end()));
        bias = name_ + "_bias" + id + "[c]";
      }
      const std::string begin = map + "    " + name_ + "_row" + id + "(c, row);\n";
      if (node.op == &kDense) {
        return begin + "    {\n      float sum = " + bias + ";\n      for (i = 0; i < " +
               text(node.in_shape().size()) + "; ++i) sum += row[i] * " + in + "[i];\n      " + out +
               "[c] = sum;\n    }\n  }\n";
      }
      const int groups = node.attributes.groups, inputs = node.in_shape().channels / groups;
      const std::string per_group = text(shape.channels / groups);
      const Attributes& a = node.attributes;
      return begin + places + "        float sum = " + bias + ";\n        for (k = 0; k < " + text(inputs) +
             "; ++k)\n" +
             window(node, "sum += row[(k * " + text(a.kernel.height) + " + m) * " + text(a.kernel.width) +
                              " + n] * " + source("(c / " + per_group + " * " + text(inputs) + " + k)") +
                              ";") +
             "        " + at + " = sum;\n      }\n  }\n";
    }
    if (node.op == &kMaxPool) {
      return map + places + "        float best = -INFINITY;\n" +
             window(node, "if (" + source("c") + " > best) best = " + source("c") + ";") + "        " + at +
             " = best;\n      }\n  }\n";
    }
    if (node.op == &kAvgPool) {
      const int count = node.attributes.kernel.height * node.attributes.kernel.width;
      return map + places + "        float sum = 0;\n" + window(node, "sum += " + source("c") + ";") +
             "        " + at + " = sum / " + text(static_cast<double>(count)) + ";\n      }\n  }\n";
    }
    if (node.op == &kGlobalAvgPool) {
      const std::string count = text(node.in_shape().pixels());
      return map + "    float sum = 0;\n    for (i = 0; i < " + count + "; ++i) sum += " + in + "[c * " +
             count + " + i];\n    " + out + "[c] = sum / " + text(double(node.in_shape().pixels())) +
             ";\n  }\n";
    }
    if (node.op == &kBatchNorm) {
      std::vector<float> scale, shift;
      for (int c = 0; c < shape.channels; ++c) {
        const auto p = [&](std::size_t i) {
          return double{numbers(node.parameters[i])[static_cast<std::size_t>(c)]};
        };
        scale.push_back(static_cast<float>(p(0) / std::sqrt(p(3) + node.attributes.epsilon)));
        shift.push_back(static_cast<float>(p(1) - p(2) * p(0) / std::sqrt(p(3) + node.attributes.epsilon)));
      }
      data_ += array("float", name_ + "_scale" + id, scale) + array("float", name_ + "_shift" + id, shift);
      return each + out + "[i] = " + in + "[i] * " + name_ + "_scale" + id + "[i / " + pixels + "] + " +
             name_ + "_shift" + id + "[i / " + pixels + "];\n";
    }
    if (node.op == &kRelu) return unary("t > 0 ? t : 0");
    if (node.op == &kRelu6) return unary("t > 6 ? 6 : t > 0 ? t : 0");
    if (node.op == &kLeakyRelu) return unary("t > 0 ? t : " + text(node.attributes.slope) + " * t");
    if (node.op == &kTanh) return unary("tanhf(t)");
    if (node.op == &kSigmoid) return unary("1 / (1 + expf(-t))");
    if (node.op == &kDropout || node.op == &kFlatten) return unary("t");
    if (node.op == &kFakeQuantize) {
      const double scale = std::max(double{numbers(node.parameters[0])[0]}, 1e-12);
      const double zero = double{numbers(node.parameters[1])[0]};
      const double highest = (1 << node.attributes.bits) - 1;
      return unary(fill("SCALE * (rintf(fminf(fmaxf(t / SCALE, LOW), HIGH)))",
                        {{"SCALE", text(scale)}, {"LOW", text(-zero)}, {"HIGH", text(highest - zero)}}));
    }
    if (node.op == &kAdd || node.op == &kConcat) {
      std::string lines;
      std::int64_t begin = 0;
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const bool add = node.op == &kAdd;
        lines += "  for (i = 0; i < " + text(node.in_shapes[i].size()) + "; ++i) " + out + "[i + " +
                 text(begin) + "] " + (add && i > 0 ? "+=" : "=") + " v" + std::to_string(node.inputs[i]) +
                 "[i];\n";
        if (!add) begin += node.in_shapes[i].size();
      }
      return lines;
    }
    throw Error(ErrorCode::kUnsupported, node.name,
                "is a layer of type " + std::string(node.op->name) +
                    ", which the C export does not have; export to ONNX");
  }

  const Graph& graph_;
  std::string name_;
  std::vector<real> values_;
  std::string data_;
};

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
