// Pruning: weights, rows or channels that matter least become 0 and stay 0; fine-tuning lets the others make
// up for them. The schedule says when:
//
//   one-shot    all at once, then fine-tuning (Han et al. 2015; the source article)
//   iterative   in rounds, each of which prunes the same share of what is left and fine-tunes
//   cubic       during the first half of fine-tuning, fast at first and slower later (Zhu and Gupta 2017)
//   splicing    all at once, but weights live on behind the mask and return when they have grown (dynamic
//               network surgery, Guo et al. 2016), with falling probability, during the first half
//
// With `rewind`, the survivors take the values that they had early in training before they are tuned (Frankle
// et al. 2019).
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "compress/pass.h"
#include "compress/prune/pruner.h"
#include "compress/slim.h"
#include "core/error.h"
#include "core/math.h"
#include "core/random.h"
#include "ops/weights.h"
#include "train/layers.h"

namespace espalier {
namespace {

struct PruneOptions {
  std::string criterion = "magnitude";
  double sparsity = 0;
  double threshold = 0;
  std::uint64_t bytes = 0;
  std::string granularity = "weight";
  std::string scope = "global";
  std::string schedule = "auto";
  int rounds = 3;
  int samples = 512;
  int finetune = 0;
  double distillation = 0;
  bool rewind = false;
  bool slim = false;
  bool control = true;
  std::vector<std::string> layers;
};

constexpr ConfigField kFields[] = {
    {"criterion", "What a weight is worth", member<&PruneOptions::criterion>, 0, 0,
     "magnitude, magnitude-l2, gradient, taylor, fisher, activity, activity-zeros, batch-norm-scale, random"},
    {"sparsity", "Share of the prunable weights to prune, below 1; biases are not counted",
     member<&PruneOptions::sparsity>, 0, 1},
    {"threshold", "Instead: prune everything whose score is below this", member<&PruneOptions::threshold>, 0,
     1e9},
    {"bytes", "Instead: prune as little as makes the model so small", member<&PruneOptions::bytes>, 0, 1e12},
    {"granularity", "What is pruned together: weight, N:M (\"2:4\"), row or channel",
     member<&PruneOptions::granularity>},
    {"scope", "Compare scores within each layer or in the whole network", member<&PruneOptions::scope>, 0, 0,
     "global, layer"},
    {"schedule", "When to prune; auto: cubic with fine-tuning where that fits, else one-shot",
     member<&PruneOptions::schedule>, 0, 0, "auto, one-shot, iterative, cubic, splicing"},
    {"rounds", "Rounds of the iterative schedule", member<&PruneOptions::rounds>, 2, 1000},
    {"samples", "Training images that gradients and activations are measured on",
     member<&PruneOptions::samples>, 1, 1e9},
    {"finetune", "Epochs of fine-tuning", member<&PruneOptions::finetune>, 0, 1e6},
    {"distillation",
     "Share of the teacher's term in the loss of the fine-tuning; the teacher is the model before the "
     "pipeline, or before this pass; 0: none",
     member<&PruneOptions::distillation>, 0, 1},
    {"rewind", "Survivors start again from their values early in training", member<&PruneOptions::rewind>},
    {"slim", "Remove pruned channels physically", member<&PruneOptions::slim>},
    {"control", "Fine-tune the original equally long, for comparison", member<&PruneOptions::control>},
    {"layers", "Prune only these layers: names, or beginnings of names with a *",
     member<&PruneOptions::layers>},
};

[[noreturn]] void fail(const char* field, const std::string& message) {
  throw Error(ErrorCode::kArgument, field, message);
}

// ---- what can be known before the work starts

PruneSettings settings_of(const PruneOptions& options, const Graph& graph) {
  using Kind = PruneGranularity::Kind;
  PruneSettings settings{.criterion = &find_criterion(options.criterion),
                         .granularity = parse_granularity(options.granularity),
                         .global = options.scope == "global",
                         .amount = {.sparsity = options.sparsity,
                                    .threshold = options.threshold,
                                    .bytes = static_cast<std::int64_t>(options.bytes)},
                         .samples = options.samples};
  if (options.layers.empty()) {
    settings.layers.assign(graph.nodes.size(), true);
  } else {
    settings.layers = layers_named(graph, options.layers, "layers");
  }
  if (settings.criterion->channels_only && settings.granularity.kind != Kind::kChannel) {
    fail("criterion",
         "\"" + options.criterion +
             "\" scores whole channels and neurons; add granularity \"channel\" or choose another "
             "criterion");
  }
  if (options.sparsity >= 1) {
    fail("sparsity", "is 1, which prunes every weight; choose less, such as 0.9");
  }
  const int amounts = (options.sparsity > 0) + (options.threshold > 0) + (options.bytes > 0);
  if (settings.granularity.kind == Kind::kNOfM) {
    const double sparsity = 1 - double(settings.granularity.keep) / settings.granularity.of;
    if (options.threshold > 0 || options.bytes > 0 ||
        (options.sparsity > 0 && std::abs(options.sparsity - sparsity) > 1e-6)) {
      fail("granularity",
           options.granularity + " itself says how much is pruned; leave out sparsity, threshold and bytes");
    }
  } else if (amounts == 0) {
    fail("sparsity", "is missing; say how much to prune by sparsity, threshold or bytes");
  } else if (amounts > 1) {
    fail("sparsity", "contradicts the others; give only one of sparsity, threshold and bytes");
  }
  return settings;
}

// "auto" becomes the schedule that it stands for.
std::string schedule_of(const PruneOptions& options, const PruneSettings& settings) {
  const bool groups = settings.granularity.kind == PruneGranularity::Kind::kNOfM;
  const bool at_once = groups || options.threshold > 0 || options.rewind;
  if (options.schedule == "auto") return options.finetune > 0 && !at_once ? "cubic" : "one-shot";
  if (options.schedule == "one-shot") return options.schedule;
  if (options.finetune == 0) {
    fail("schedule", "\"" + options.schedule +
                         "\" prunes while it fine-tunes; give finetune some epochs or take \"one-shot\"");
  }
  if (options.threshold > 0) {
    fail("threshold", "prunes all at once; take the schedule \"one-shot\", or sparsity instead");
  }
  if (options.schedule == "splicing") return options.schedule;
  if (groups) {
    fail("schedule", "\"" + options.schedule + "\" prunes little by little, but " + options.granularity +
                         " is all or nothing; take \"one-shot\" or \"splicing\"");
  }
  if (options.schedule == "iterative" && options.finetune < options.rounds) {
    fail("rounds", "is " + std::to_string(options.rounds) +
                       ", but each round needs an epoch of fine-tuning; finetune is " +
                       std::to_string(options.finetune));
  }
  return options.schedule;
}

// Some layers have no gradients to score.
void check_gradients(const PassContext& context, const PruneSettings& settings, const std::string& schedule) {
  if (settings.criterion->needs != Criterion::Needs::kGradients) return;
  const bool in_training = schedule == "cubic" || schedule == "splicing";
  const std::vector<double> rates = layer_rates(context.model->graph, context.training);
  for (const Node& node : context.model->graph.nodes) {
    if (!has_weights(node) || !settings.layers[node.index]) continue;
    const QuantizationScheme* scheme = node.attributes.quantize.scheme;
    if (scheme && scheme->codebook) {
      fail("criterion", "\"" + std::string(settings.criterion->name) +
                            "\" needs gradients, but the weights of " + node.name +
                            " are levels of a codebook and have none; prune first, or by magnitude");
    }
    if (in_training && rates[node.index] == 0) {
      fail("schedule", "\"" + schedule +
                           "\" scores by the gradients of the training, which the frozen layer " + node.name +
                           " does not have; take \"one-shot\", or leave it out of layers");
    }
  }
}

// The parameter of `model` that is called and shaped as `info`; null: there is none.
const ParameterInfo* find_alike(const Model& model, const ParameterInfo& info) {
  for (const Node& node : model.graph.nodes) {
    for (const ParameterInfo& other : node.parameters) {
      if (other.name == info.name && other.shape == info.shape) return &other;
    }
  }
  return nullptr;
}

void check_rewind(const PassContext& context, const PruneOptions& options) {
  if (!options.rewind) return;
  if (options.finetune == 0) fail("rewind", "needs fine-tuning afterwards; give finetune some epochs");
  if (options.schedule == "cubic" || options.schedule == "splicing") {
    fail("rewind", "fits the schedules \"one-shot\" and \"iterative\", which prune before they fine-tune");
  }
  if (!context.early) {
    fail("rewind", "needs the model as it was early in its training, which was not given");
  }
  for (const Node& node : context.model->graph.nodes) {
    if (!has_weights(node) || find_alike(*context.early, weight_of(node))) continue;
    fail("rewind", "takes weights from an early model that has no " + weight_of(node).name +
                       " of the same shape; give one of the same training");
  }
}

// ---- the schedules

constexpr std::string_view kStage = "fine-tune";

// The survivors' values as they were early; grids follow them.
void rewind_to(const Model& early, Model& model) {
  auto& value = model.parameters.value;
  for (const Node& node : model.graph.nodes) {
    for (const ParameterInfo& info : node.parameters) {
      const ParameterInfo* from = find_alike(early, info);
      if (!from) continue;
      std::copy_n(early.parameters.value.begin() + from->offset, info.size, value.begin() + info.offset);
    }
    if (node.attributes.quantize.scheme && !find_alike(early, *grid_scale_of(node))) {
      fit_weights(node, RangeMethod::kMinMax, value.data());
    }
  }
  const auto& mask = model.parameters.mask;
  for (std::size_t i = 0; i < mask.size(); ++i) value[i] *= mask[i];
}

// Of the steps of a gradual schedule, the share in which masks change; the rest is for the survivors.
constexpr double kRampShare = 0.5;
constexpr std::int64_t kCubicUpdates = 40;
// Splicing looks at the masks this often, with a probability that falls from 1 to 1 / (1 + kSplicingDecay).
constexpr std::int64_t kSplicingUpdates = 160;
constexpr double kSplicingDecay = 9;

std::int64_t ramp_of(const Trainer& trainer) {
  const auto steps = static_cast<double>(trainer.total_steps());
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(kRampShare * steps));
}

// Whether one of `updates` evenly spaced moments in (0, ramp] is at `step`.
bool is_due(std::int64_t step, std::int64_t ramp, std::int64_t updates) {
  return step > 0 && step * updates / ramp != (step - 1) * updates / ramp;
}

Work prune_once(PassContext& context, Pruner& pruner, const PruneOptions& options,
                const TrainingConfig& training, const TrainingTerms& terms) {
  Model& model = *context.model;
  co_await pruner.measure();
  pruner.prune_fully();
  if (options.finetune == 0) co_return;
  co_await evaluate_model(model, context, context.report.accuracy_after);
  if (options.rewind) rewind_to(*context.early, model);
  co_await fine_tune(model, context, training, {}, kStage, terms);
}

Work prune_in_rounds(PassContext& context, Pruner& pruner, const PruneOptions& options,
                     TrainingConfig training, const TrainingTerms& terms) {
  Model& model = *context.model;
  double full = 0;
  for (int round = 1; round <= options.rounds; ++round) {
    co_await pruner.measure();
    if (round == 1) full = pruner.full_sparsity();
    if (round == options.rounds) {
      pruner.prune_fully();
    } else {
      // The same share of what is left, each time.
      pruner.prune(1 - math::pow(1 - full, double(round) / options.rounds));
    }
    if (options.rewind) rewind_to(*context.early, model);
    training.epochs =
        options.finetune * round / options.rounds - options.finetune * (round - 1) / options.rounds;
    co_await fine_tune(model, context, training, {}, kStage, terms);
  }
}

Work prune_gradually(PassContext& context, Pruner& pruner, const TrainingConfig& training,
                     const TrainingTerms& terms) {
  // Known beforehand, but for a byte budget, which depends on the scores.
  if (pruner.depends_on_scores()) co_await pruner.measure();
  const double full = pruner.full_sparsity();
  pruner.forget();
  bool done = false;
  const BetweenSteps between = [&](Trainer& trainer) {
    const std::int64_t step = trainer.step_count(), ramp = ramp_of(trainer);
    if (step == 0 || step > ramp) return;
    pruner.record(trainer);
    if (step == ramp) {
      pruner.prune_fully();
      done = true;
    } else if (is_due(step, ramp, kCubicUpdates)) {
      pruner.prune(cubic_sparsity(full, static_cast<double>(step) / static_cast<double>(ramp)));
    }
  };
  co_await fine_tune(*context.model, context, training, between, kStage, terms);
  if (!done) pruner.prune_fully();
}

Work prune_and_splice(PassContext& context, Pruner& pruner, const TrainingConfig& training,
                      const TrainingTerms& terms) {
  co_await pruner.measure();
  const std::uint64_t seed = training.seed;
  const BetweenSteps between = [&pruner, seed](Trainer& trainer) {
    const std::int64_t step = trainer.step_count(), ramp = ramp_of(trainer);
    if (step == 0) {
      pruner.splice();
      trainer.keep_pruned_values(true);
      return;
    }
    if (step > ramp) return;
    pruner.record(trainer);
    if (step < ramp) {
      if (!is_due(step, ramp, kSplicingUpdates)) return;
      const double x = static_cast<double>(step) / static_cast<double>(ramp);
      Random random(seed, RandomStream::kPruning, static_cast<std::uint64_t>(step));
      if (random.uniform() * (1 + kSplicingDecay * x) < 1) pruner.splice();
      return;
    }
    pruner.splice();
    pruner.zero_pruned();
    trainer.keep_pruned_values(false);
  };
  co_await fine_tune(*context.model, context, training, between, kStage, terms);
  pruner.zero_pruned();
}

// ---- the report

std::string percent(std::int64_t part, std::int64_t whole) {
  const long long tenths = std::llround(1000.0 * static_cast<double>(part) / static_cast<double>(whole));
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " %";
}

void describe(const Model& model, const Pruner& pruner, const PruneSettings& settings,
              const std::string& schedule, Report& report) {
  const auto note = [&](std::string name, std::string text) {
    report.notes.emplace_back(std::move(name), std::move(text));
  };
  note("criterion", std::string(settings.criterion->name));
  note("schedule", schedule);
  const auto& mask = model.parameters.mask;
  std::int64_t all = 0, pruned = 0;
  std::vector<std::pair<std::string, std::string>> layers;
  for (const Node& node : model.graph.nodes) {
    if (!has_weights(node)) continue;
    const ParameterInfo& weight = weight_of(node);
    const std::int64_t zeros =
        std::count(mask.begin() + weight.offset, mask.begin() + weight.offset + weight.size, real{0});
    layers.emplace_back("sparsity " + node.name, percent(zeros, weight.size));
    all += weight.size;
    pruned += zeros;
  }
  note("sparsity", percent(pruned, all) + " of all weights");
  for (auto& [name, text] : layers) note(std::move(name), std::move(text));
  if (pruner.choice().threshold > 0) {
    note("largest pruned score", nlohmann::json(static_cast<float>(pruner.choice().threshold)).dump());
  }
  std::string spared;
  for (const Node& node : model.graph.nodes) {
    if (pruner.choice().spared[node.index]) spared += (spared.empty() ? "" : ", ") + node.name;
  }
  if (!spared.empty()) note("spared", "the last weights of " + spared + " stay, or the layer would be empty");
  if (schedule == "splicing") note("brought back", std::to_string(pruner.returned()) + " weights");
}

Work run(PassContext& context, PruneOptions options, PruneSettings settings, std::string schedule,
         std::unique_ptr<Pruner> owned_pruner) {
  Pruner& pruner = *owned_pruner;
  Report& report = context.report;
  co_await begin_report(context, "prune");

  TrainingConfig training = context.training;
  training.epochs = options.finetune;
  std::unique_ptr<Model> original;
  if (options.finetune > 0 && (options.control || (options.distillation > 0 && !context.source))) {
    original = copy_of(*context.model);
  }
  const TrainingTerms terms = taught_by_original(context, original.get(), options.distillation);

  if (schedule == "one-shot") {
    co_await prune_once(context, pruner, options, training, terms);
  } else if (schedule == "iterative") {
    co_await prune_in_rounds(context, pruner, options, training, terms);
  } else if (schedule == "cubic") {
    co_await prune_gradually(context, pruner, training, terms);
  } else {
    co_await prune_and_splice(context, pruner, training, terms);
  }
  report.revived = revived_weights(*context.model);
  describe(*context.model, pruner, settings, schedule, report);

  if (options.slim) context.model = slim(*context.model);
  report.after = measure(*context.model);
  report.finetune_epochs = options.finetune;
  std::optional<Accuracy>& accuracy =
      options.finetune > 0 ? report.accuracy_finetuned : report.accuracy_after;
  co_await evaluate_model(*context.model, context, accuracy);
  if (original && options.control) co_await fine_tune_control(*original, context, training);
}

Work start(PassContext& context, const nlohmann::json& json) {
  PruneOptions options;
  read_config(kFields, json, &options);
  PruneSettings settings = settings_of(options, context.model->graph);
  std::string schedule = schedule_of(options, settings);
  check_gradients(context, settings, schedule);
  check_rewind(context, options);
  if (settings.criterion->needs != Criterion::Needs::kNothing) training_images(context);
  auto pruner = std::make_unique<Pruner>(*context.model, context, settings);
  return run(context, std::move(options), std::move(settings), std::move(schedule), std::move(pruner));
}

nlohmann::json defaults() {
  const PruneOptions options;
  return describe_config(kFields, &options);
}

nlohmann::json complete(const nlohmann::json& given) {
  PruneOptions options;
  read_config(kFields, given, &options);
  return write_config(kFields, &options);
}

}  // namespace

constinit const PassType kPrunePass{.name = "prune",
                                    .summary = "Makes the weights, rows or channels that matter least 0.",
                                    .fields = kFields,
                                    .start = start,
                                    .defaults = defaults,
                                    .complete = complete};

}  // namespace espalier
