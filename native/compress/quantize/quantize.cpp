// Quantization after training and during it:
//
//   fold batch norm → choose bits → fit the weights' grids → measure the features' ranges → train (LSQ)
//
// Jacob et al. 2018 (fake quantization), Esser et al. 2020 (learned step sizes). Biases stay float.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/fold_batch_norm.h"
#include "compress/pass.h"
#include "compress/quantize/calibrate.h"
#include "compress/quantize/mixed_precision.h"
#include "compress/quantize/rewrite.h"
#include "compress/share.h"
#include "core/error.h"
#include "core/math.h"
#include "core/number_text.h"
#include "ops/weights.h"
#include "train/layers.h"

namespace espalier {
namespace {

struct QuantizeOptions {
  std::string weights;
  std::string activations = "8";
  std::string scheme = "symmetric";
  std::string granularity = "channel";
  int group_size = 32;
  std::string calibrate = "mse";
  std::string ranges;
  int images = 1024;
  int qat = 0;
  bool learned = true;
  double distillation = 0;
  int bytes = 0;
  std::string initialization = "linear";
  bool fold = true;
  bool control = true;
};

constexpr ConfigField kFields[] = {
    {"weights",
     "Bits of the weights: \"4\", \"4,conv1=8,fc*=6\" or \"float\"; empty: 8, or the most that the scheme "
     "takes",
     member<&QuantizeOptions::weights>},
    {"activations", "Bits of the features", member<&QuantizeOptions::activations>, 0, 0, "float, 8, 4"},
    {"scheme", "How weights are quantized", member<&QuantizeOptions::scheme>, 0, 0,
     "article, affine, symmetric, ternary, binary, power-of-two, codebook"},
    {"granularity", "Weights that share a grid", member<&QuantizeOptions::granularity>, 0, 0,
     "tensor, channel, group"},
    {"group_size", "Weights of a group", member<&QuantizeOptions::group_size>, 1, 1 << 20},
    {"calibrate", "How ranges are chosen", member<&QuantizeOptions::calibrate>, 0, 0, kRangeMethods},
    {"ranges",
     "Ranges of features that are given instead of measured, by the layer that makes them, or \"input\": "
     "\"conv1=0:6.5,fc*=-2:2\"; empty: all are measured",
     member<&QuantizeOptions::ranges>},
    {"images", "Training images that the ranges of features are measured on",
     member<&QuantizeOptions::images>, 1, 1e6},
    {"qat", "Epochs of quantization-aware training", member<&QuantizeOptions::qat>, 0, 1e6},
    {"learned", "Trains scales and codebooks with the weights (LSQ)", member<&QuantizeOptions::learned>},
    {"distillation",
     "Share of the teacher's term in the loss of the training; the teacher is the model before the pipeline, "
     "or before this pass; 0: none",
     member<&QuantizeOptions::distillation>, 0, 1},
    {"bytes", "Chooses each layer's bits so that the model takes so many bytes at most; 0: as given",
     member<&QuantizeOptions::bytes>, 0, 2e9},
    {"initialization", "Where a codebook's levels start", member<&QuantizeOptions::initialization>, 0, 0,
     kCodebookStarts},
    {"fold", "Folds batch norm into the layer before it", member<&QuantizeOptions::fold>},
    {"control", "Trains the unquantized model equally long, to compare", member<&QuantizeOptions::control>},
};

[[noreturn]] void fail(const char* field, const std::string& message) {
  throw Error(ErrorCode::kArgument, field, message);
}

// "8", "float": bits, 0 for float; -1 for anything else.
int parse_bits(const std::string& text) {
  if (text == "float") return 0;
  return text.size() == 1 && text[0] >= '1' && text[0] <= '8' ? text[0] - '0' : -1;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// Bits by node (0: float) and which of them were given by name.
struct WeightBits {
  std::vector<int> bits;
  std::vector<bool> named;
};

WeightBits weight_bits(const Graph& graph, const QuantizeOptions& options) {
  const QuantizationScheme& scheme = *find_scheme(options.scheme);
  int general = scheme.codebook ? 4 : scheme.max_bits;
  WeightBits result{std::vector<int>(graph.nodes.size()), std::vector<bool>(graph.nodes.size())};
  std::vector<std::pair<std::vector<bool>, int>> exceptions;
  const std::vector<std::string> parts =
      options.weights.empty() ? std::vector<std::string>() : split_list(options.weights);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t equals = parts[i].find('=');
    const bool named = equals != std::string::npos;
    const int bits = parse_bits(named ? parts[i].substr(equals + 1) : parts[i]);
    if (bits < 0 || (!named && i > 0)) {
      fail("weights",
           "has \"" + parts[i] + "\"; write bits from 1 to 8 or float, then layer=bits, as in \"4,conv1=8\"");
    }
    if (bits > 0 && (bits < scheme.min_bits || bits > scheme.max_bits)) {
      const std::string from = std::to_string(scheme.min_bits), to = std::to_string(scheme.max_bits);
      fail("weights", "asks for " + std::to_string(bits) + " bits, but the scheme \"" + options.scheme +
                          "\" takes " + (from == to ? "exactly " + from : from + " to " + to) +
                          "; change either");
    }
    if (!named) {
      general = bits;
      continue;
    }
    const std::string pattern = parts[i].substr(0, equals);
    exceptions.emplace_back(layers_named(graph, std::span(&pattern, 1), "weights"), bits);
  }
  for (const Node& node : graph.nodes) {
    if (!has_weights(node)) continue;
    result.bits[node.index] = general;
    for (const auto& [named, bits] : exceptions) {
      if (!named[node.index]) continue;
      result.bits[node.index] = bits;
      result.named[node.index] = true;
    }
  }
  return result;
}

int activation_bits(const QuantizeOptions& options) { return std::max(parse_bits(options.activations), 0); }

// The range of the features that a layer, or several ("fc*"), gives.
struct GivenRange {
  std::string pattern;
  Range range;
};

std::vector<GivenRange> given_ranges(const std::string& text) {
  constexpr double kMost = 1e30;
  std::vector<GivenRange> given;
  if (text.empty()) return given;
  for (const std::string& part : split_list(text)) {
    const std::size_t equals = part.find('=');
    const char* low_text = equals == std::string::npos ? "" : part.c_str() + equals + 1;
    char* end = nullptr;
    const double low = std::strtod(low_text, &end);
    const bool has_low = end != low_text && *end == ':';
    const char* high_text = has_low ? end + 1 : "";
    const double high = std::strtod(high_text, &end);
    const bool has_both = has_low && end != high_text && *end == '\0';
    if (!has_both || !(low >= -kMost && low <= 0 && high >= 0 && high <= kMost && low < high)) {
      fail("ranges", "has \"" + part +
                         "\"; write layer=lowest:highest with 0 between them or at one end, as in "
                         "\"conv1=0:6.5\"");
    }
    given.push_back({part.substr(0, equals), {low, high}});
  }
  return given;
}

// Of the model whose features are quantized.
void check_ranges(const Graph& graph, std::span<const GivenRange> given) {
  const std::vector<int> values = quantized_values(graph);
  for (const GivenRange& one : given) {
    const auto names = [&](int value) { return names_layer(one.pattern, value_name(graph, value)); };
    if (std::any_of(values.begin(), values.end(), names)) continue;
    std::string known;
    for (const int value : values) known += (known.empty() ? "" : ", ") + value_name(graph, value);
    fail("ranges",
         "names \"" + one.pattern + "\", whose features are not quantized; those of " + known + " are");
  }
}

void check(const PassContext& context, const QuantizeOptions& options) {
  const Graph& graph = context.model->graph;
  if (is_quantized(graph)) {
    throw Error(ErrorCode::kArgument, graph.name, "is quantized already; quantize the float model instead");
  }
  check_fits(graph, context.dataset);
  const WeightBits weights = weight_bits(graph, options);
  const bool none = std::all_of(weights.bits.begin(), weights.bits.end(), [](int bits) { return bits == 0; });
  if (none && activation_bits(options) == 0) {
    fail("weights", "and activations are both float, so there is nothing to quantize");
  }
  if (options.bytes > 0 && none) fail("bytes", "needs quantized weights; do not set weights to float");
  if (const std::vector<GivenRange> given = given_ranges(options.ranges); !given.empty()) {
    if (activation_bits(options) == 0) {
      fail("ranges", "are of features, which stay float; set activations to 8 or 4");
    }
    check_ranges(options.fold ? fold_batch_norm(*context.model)->graph : graph, given);
  }
  if (activation_bits(options) > 0) check_calibration_images(context.dataset);
  if (options.qat > 0 && context.dataset.train.count() == 0) {
    throw Error(ErrorCode::kData, context.dataset.name,
                "has no training images, which quantization-aware training needs");
  }
}

WeightQuantization weight_quantization(const QuantizeOptions& options, int bits) {
  WeightQuantization q;
  if (bits == 0) return q;
  q.scheme = find_scheme(options.scheme);
  q.bits = bits;
  q.granularity = options.granularity == "tensor"    ? Granularity::kTensor
                  : options.granularity == "channel" ? Granularity::kChannel
                                                     : Granularity::kGroup;
  q.group_size = options.group_size;
  q.learned = options.qat > 0 && (q.scheme->codebook || (options.learned && q.scheme->learnable));
  return q;
}

Work fit_layer(Model& model, const Node& node, const QuantizeOptions& options, std::uint64_t seed,
               Progress progress) {
  real* value = model.parameters.value.data();
  const auto& mask = model.parameters.mask;
  if (node.attributes.quantize.scheme->codebook) {
    share_weights(node, codebook_start(options.initialization), seed, value,
                  mask.empty() ? nullptr : mask.data());
    co_return;
  }
  const std::int64_t count = group_count(node), at_once = groups_at_once(node);
  for (std::int64_t begin = 0; begin < count; begin += at_once) {
    fit_weights(node, range_method(options.calibrate), value, begin, std::min(begin + at_once, count));
    co_yield progress;
  }
}

std::string bits_note(const Graph& graph) {
  std::string note;
  for (const Node& node : graph.nodes) {
    if (!has_weights(node)) continue;
    const WeightQuantization& q = node.attributes.quantize;
    note += (note.empty() ? "" : ", ") + node.name + " " + (q.scheme ? std::to_string(q.bits) : "float");
  }
  return note;
}

// Puts the ranges into the fake_quantize layers; returns what the report says about them.
std::string set_ranges(Model& model, const Graph& before, std::span<const int> values,
                       std::span<const Histogram> histograms, int bits, RangeMethod method,
                       std::span<const GivenRange> given) {
  std::string note;
  for (std::size_t i = 0; i < values.size(); ++i) {
    Range range = choose_range(histograms[i], bits, method);
    for (const GivenRange& one : given) {
      if (names_layer(one.pattern, value_name(before, values[i]))) range = one.range;
    }
    const std::array<real, 2> ends{static_cast<real>(range.low), static_cast<real>(range.high)};
    const Grid grid = kAffine.fit(ends, bits, RangeMethod::kMinMax);
    const std::string name = quantizer_name(before, values[i]);
    for (const Node& node : model.graph.nodes) {
      if (node.name != name) continue;
      model.parameters.value[static_cast<std::size_t>(node.parameters[0].offset)] = grid.scale;
      model.parameters.value[static_cast<std::size_t>(node.parameters[1].offset)] = grid.offset;
    }
    note += (note.empty() ? "" : ", ") + value_name(before, values[i]) + " " + shortened(range.low) + " to " +
            shortened(range.high);
  }
  return note;
}

// Batch norm also held the gradients: without it and without clipping, ternary `resnet` trains to 11 %.
constexpr double kFoldedClipNorm = 1;

bool has_batch_norm(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [](const Node& node) { return node.op == &kBatchNorm; });
}

Work run(PassContext& context, QuantizeOptions options) {
  Report& report = context.report;
  co_await begin_report(context, "quantize");
  const std::unique_ptr<Model> original = std::move(context.model);

  // A float model without batch norm, and how its weights are to be quantized.
  const std::unique_ptr<Model> folded = options.fold ? fold_batch_norm(*original) : copy_of(*original);
  const Graph& graph = folded->graph;
  const int feature_bits = activation_bits(options);
  const RangeMethod method = range_method(options.calibrate);
  PrecisionSearch search;
  const WeightBits given = weight_bits(graph, options);
  for (const int bits : given.bits) search.weights.push_back(weight_quantization(options, bits));
  if (options.bytes > 0) {
    for (std::size_t i = 0; i < given.bits.size(); ++i) {
      search.searched.push_back(given.bits[i] > 0 && !given.named[i]);
    }
    search.activation_bits = feature_bits;
    search.method = method;
    search.start = codebook_start(options.initialization);
    search.budget = options.bytes;
    co_await search_precisions(*folded, context, search);
  }

  auto model = rewritten(*folded, quantized_spec(graph, search.weights, 0, false));
  Progress progress{.stage = "fit", .total = static_cast<std::int64_t>(graph.nodes.size())};
  for (const Node& node : model->graph.nodes) {
    progress.done = node.index;
    if (!node.attributes.quantize.scheme) continue;
    co_await fit_layer(*model, node, options, context.training.seed, progress);
  }
  report.notes.emplace_back("bits", bits_note(model->graph));

  if (feature_bits > 0) {
    const std::vector<int> values = quantized_values(graph);
    std::vector<Histogram> histograms;
    co_await observe(*model, context, options.images, values, histograms);
    const bool learned = options.learned && options.qat > 0;
    model = rewritten(*model, quantized_spec(graph, search.weights, feature_bits, learned));
    report.notes.emplace_back("ranges", set_ranges(*model, graph, values, histograms, feature_bits, method,
                                                   given_ranges(options.ranges)));
  }
  context.model = std::move(model);
  co_await evaluate_model(*context.model, context, report.accuracy_after);

  if (options.qat > 0) {
    TrainingConfig config = context.training;
    config.epochs = options.qat;
    config.layer_rates = codebook_rates(context.model->graph, config.layer_rates);
    if (has_batch_norm(original->graph) && options.fold && config.clip_norm == 0) {
      config.clip_norm = kFoldedClipNorm;
      report.notes.emplace_back("clip_norm", "1, for the batch norm that was folded away");
    }
    co_await fine_tune_result(context, config, options.control ? original.get() : nullptr,
                              "quantization-aware training",
                              taught_by_original(context, original.get(), options.distillation));
  }
  end_report(context);
}

Work start(PassContext& context, const nlohmann::json& json) {
  QuantizeOptions options;
  read_config(kFields, json, &options);
  check(context, options);
  return run(context, options);
}

nlohmann::json defaults() {
  const QuantizeOptions options;
  return describe_config(kFields, &options);
}

nlohmann::json complete(const nlohmann::json& given) {
  QuantizeOptions options;
  read_config(kFields, given, &options);
  nlohmann::json complete = write_config(kFields, &options);
  // Files carry their pipeline: what says nothing takes no bytes in them.
  if (options.ranges.empty()) complete.erase("ranges");
  return complete;
}

}  // namespace

constinit const PassType kQuantizePass{
    .name = "quantize",
    .summary = "Weights and features on coarse grids, after training or during it.",
    .fields = kFields,
    .start = start,
    .defaults = defaults,
    .complete = complete};

}  // namespace espalier
