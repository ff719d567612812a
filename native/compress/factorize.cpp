// The pass "factorize": layers as products of two thinner ones (compress/low_rank.h), where that takes fewer
// weights, and fine-tuning.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/low_rank.h"
#include "compress/pass.h"
#include "core/error.h"
#include "core/number_text.h"
#include "ops/op.h"
#include "ops/weights.h"
#include "train/layers.h"

namespace espalier {
namespace {

struct FactorizeOptions {
  double rank = 0;
  double energy = 0;
  std::vector<std::string> layers = {"*"};
  int finetune = 0;
  bool control = false;
};
constexpr double kDefaultEnergy = 0.95;

constexpr ConfigField kFields[] = {
    {"rank", "Rank of every layer; below 1: its share of the full rank. 0: by energy",
     member<&FactorizeOptions::rank>, 0, 1 << 20},
    {"energy", "Share of the squared singular values that is kept. 0: by rank, or 0.95",
     member<&FactorizeOptions::energy>, 0, 1},
    {"layers", "Layers that are factored: names, or beginnings of names with a *",
     member<&FactorizeOptions::layers>},
    {"finetune", "Epochs of fine-tuning", member<&FactorizeOptions::finetune>, 0, 1e6},
    {"control", "Also fine-tune the original, equally long", member<&FactorizeOptions::control>},
};

[[noreturn]] void fail(const char* field, const std::string& message) {
  throw Error(ErrorCode::kArgument, field, message);
}

void check(const PassContext& context, const FactorizeOptions& options) {
  if (options.rank > 0 && options.energy > 0) {
    fail("energy", "is given together with rank, and each of them decides the ranks; give only one");
  }
  if (options.rank > 1 && options.rank != std::floor(options.rank)) {
    fail("rank", "must be a whole number, or a share below 1");
  }
  const Model& model = *context.model;
  const auto& mask = model.parameters.mask;
  if (std::any_of(mask.begin(), mask.end(), [](real m) { return m == 0; })) {
    fail("factorize", "would fill the zeros of a pruned model again; factorize before pruning");
  }
  bool any = false;
  const std::vector<bool> named = layers_named(model.graph, options.layers, "layers");
  for (const Node& node : model.graph.nodes) {
    if (node.attributes.quantize.scheme || node.op == &kFakeQuantize) {
      fail("factorize", "would lose the grids of a quantized model; factorize before quantizing");
    }
    any = any || (named[node.index] && can_factor(node));
  }
  if (!any) {
    fail("layers", "name nothing that can be factored; name a dense layer or a convolution without groups");
  }
}

int chosen_rank(const FactorizeOptions& options, const Factors& factors) {
  if (options.rank >= 1) return static_cast<int>(std::min<double>(options.rank, factors.size));
  if (options.rank > 0) return std::max(1, static_cast<int>(options.rank * factors.size + 0.5));
  return rank_for_energy(factors.singular_values, options.energy > 0 ? options.energy : kDefaultEnergy);
}

// "rank 40 of 500, 95.1 % of the energy"
std::string described(const Factors& factors, int rank) {
  double kept = 0, total = 0;
  for (int i = 0; i < factors.size; ++i) {
    const double square = factors.singular_values[static_cast<std::size_t>(i)] *
                          factors.singular_values[static_cast<std::size_t>(i)];
    total += square;
    if (i < rank) kept += square;
  }
  return "rank " + std::to_string(rank) + " of " + std::to_string(factors.size) + ", " +
         percent(total > 0 ? kept / total : 1, 1) + " of the energy";
}

Work run(PassContext& context, FactorizeOptions options) {
  Report& report = context.report;
  co_await begin_report(context, "factorize");

  const Graph& graph = context.model->graph;
  const std::vector<bool> named = layers_named(graph, options.layers, "layers");
  std::vector<FactoredLayer> layers;
  Progress progress{.stage = "factorize", .total = static_cast<std::int64_t>(graph.nodes.size())};
  for (const Node& node : graph.nodes) {
    progress.done = node.index;
    if (!named[node.index] || !can_factor(node)) continue;
    Factors factors = decompose(*context.model, node);
    const int rank = chosen_rank(options, factors);
    const std::int64_t before = weight_of(node).size, after = factored_size(node, rank);
    std::string note = described(factors, rank);
    if (after < before) {
      layers.push_back({node.index, rank, std::move(factors)});
      note += ": " + std::to_string(after) + " weights in place of " + std::to_string(before);
    } else {
      note += ": kept, factors would have " + std::to_string(after) + " weights in place of " +
              std::to_string(before);
    }
    report.notes.emplace_back(node.name, note);
    co_yield progress;
  }
  if (layers.empty()) {
    fail(options.rank > 0 ? "rank" : "energy",
         "leaves no layer with fewer weights than it has; choose a lower one, or other layers");
  }
  const std::unique_ptr<Model> original = std::move(context.model);
  context.model = factorize(*original, layers);
  co_await evaluate_model(*context.model, context, report.accuracy_after);

  if (options.finetune > 0) {
    TrainingConfig config = context.training;
    config.epochs = options.finetune;
    co_await fine_tune_result(context, config, options.control ? original.get() : nullptr);
  }
  end_report(context);
}

Work start(PassContext& context, const nlohmann::json& json) {
  FactorizeOptions options;
  read_config(kFields, json, &options);
  check(context, options);
  return run(context, options);
}

nlohmann::json defaults() {
  const FactorizeOptions options;
  return describe_config(kFields, &options);
}

nlohmann::json complete(const nlohmann::json& given) {
  FactorizeOptions options;
  read_config(kFields, given, &options);
  return write_config(kFields, &options);
}

}  // namespace

constinit const PassType kFactorizePass{.name = "factorize",
                                        .summary = "Layers of low rank become products of two thinner ones.",
                                        .fields = kFields,
                                        .start = start,
                                        .defaults = defaults,
                                        .complete = complete};

}  // namespace espalier
