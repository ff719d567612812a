// The pass "round": numbers that stay float keep few significant bits, so that a file can say them in fewer
// bytes:
//
//   x = m · 2^e with 1/2 <= |m| < 1   ->   round(m · 2^bits) · 2^(e - bits), half to even
//
// The relative error is at most 2^-bits. Codes of weights do not change: quantized weights become the numbers
// of their codes on the rounded grid. Rounded anew, those that training left at a border between two codes
// would flip: it cost a LeNet-5 of 6 KB 0.4 points.
#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/pass.h"
#include "core/error.h"
#include "core/math.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier {
namespace {

struct RoundOptions {
  int biases = 8;
  int grids = 8;
  int weights = 0;
};
constexpr int kMostBits = 24;  // of a float

constexpr ConfigField kFields[] = {
    {"biases", "Significant bits of biases and batch norm; 0: as they are", member<&RoundOptions::biases>, 0,
     kMostBits},
    {"grids", "Significant bits of scales and codebooks; 0: as they are", member<&RoundOptions::grids>, 0,
     kMostBits},
    {"weights", "Significant bits of weights that are not quantized; 0: as they are",
     member<&RoundOptions::weights>, 0, kMostBits},
};

real rounded(real x, int bits) {
  int exponent = 0;
  const double mantissa = std::frexp(static_cast<double>(x), &exponent);
  const double whole = std::nearbyint(std::ldexp(mantissa, bits));
  return static_cast<real>(std::ldexp(whole, exponent - bits));
}

// How many bits a parameter keeps; 0: all.
int bits_of(const Node& node, const ParameterInfo& info, const RoundOptions& options) {
  if (node.op == &kFakeQuantize) return &info == &node.parameters[0] ? options.grids : 0;  // not zero points
  if (!has_weights(node)) return options.biases;
  const bool quantized = node.attributes.quantize.scheme != nullptr;
  if (&info == &weight_of(node)) return quantized ? 0 : options.weights;
  if (&info == bias_of(node)) return options.biases;
  return &info == grid_scale_of(node) ? options.grids : 0;  // not the indices of a codebook, nor offsets
}

// Evenly spaced levels, which round to the nearest.
bool has_learnable_grids(const Node& node) {
  return has_weights(node) && node.attributes.quantize.scheme && node.attributes.quantize.scheme->learnable;
}

Work run(PassContext& context, RoundOptions options) {
  co_await begin_report(context, "round");
  aligned_vector<real>& value = context.model->parameters.value;
  std::int64_t changed = 0;
  for (const Node& node : context.model->graph.nodes) {
    std::vector<std::int32_t> codes;
    if (has_learnable_grids(node)) codes = weight_codes(node, value.data());
    for (const ParameterInfo& info : node.parameters) {
      const int bits = bits_of(node, info, options);
      for (std::int64_t i = info.offset; bits > 0 && i < info.offset + info.size; ++i) {
        real& x = value[static_cast<std::size_t>(i)];
        const real before = x;
        x = rounded(x, bits);
        changed += x != before ? 1 : 0;
      }
    }
    if (!codes.empty()) set_weight_codes(node, codes, value.data());
  }
  Report& report = context.report;
  report.notes.emplace_back("rounded", std::to_string(changed) + " numbers");
  co_await evaluate_model(*context.model, context, report.accuracy_after);
  end_report(context);
}

Work start(PassContext& context, const nlohmann::json& json) {
  RoundOptions options;
  read_config(kFields, json, &options);
  return run(context, options);
}

nlohmann::json defaults() {
  const RoundOptions options;
  return describe_config(kFields, &options);
}

nlohmann::json complete(const nlohmann::json& given) {
  RoundOptions options;
  read_config(kFields, given, &options);
  return write_config(kFields, &options);
}

}  // namespace

constinit const PassType kRoundPass{.name = "round",
                                    .summary = "Biases and scales keep few significant bits.",
                                    .fields = kFields,
                                    .start = start,
                                    .defaults = defaults,
                                    .complete = complete};

}  // namespace espalier
