#include "cli/training_options.h"

#include <string_view>

#include "compress/finetune.h"
#include "core/error.h"
#include "data/augment.h"
#include "train/tables.h"

namespace espalier::cli {
namespace {

using nlohmann::json;

struct TrainingOption {
  const char* flag;
  const char* field;
  OptionKind kind;
  const char* summary;
};

constexpr TrainingOption kOptions[] = {
    {"--epochs", "epochs", OptionKind::kWhole, "Times through the training images"},
    {"--batch", "batch_size", OptionKind::kWhole, "Images in a step"},
    {"--lr", "learning_rate", OptionKind::kNumber, "Learning rate; default: "},
    {"--optimizer", "optimizer", OptionKind::kText, "Optimizer"},
    {"--momentum", "momentum", OptionKind::kNumber, "Momentum, or Adam's first beta"},
    {"--weight-decay", "weight_decay", OptionKind::kNumber, "Weight decay"},
    {"--clip-norm", "clip_norm", OptionKind::kNumber, "Largest gradient norm; 0 does not clip"},
    {"--schedule", "schedule", OptionKind::kText, "Schedule of the learning rate"},
    {"--warmup", "warmup_steps", OptionKind::kWhole, "Steps over which the learning rate rises from 0"},
    {"--loss", "loss", OptionKind::kText, "Loss"},
    {"--label-smoothing", "label_smoothing", OptionKind::kNumber,
     "Share of the target spread over all classes"},
    {"--augment", "augment", OptionKind::kText, "Augmentations, each with an amount: shift:2,rotation:10"},
    {"--seed", "seed", OptionKind::kWhole, "Seed of everything random"},
    {"--limit", "limit", OptionKind::kWhole, "Use only the first so many training images; 0 uses all"},
    {"--freeze", "freeze", OptionKind::kList,
     "Layers that keep their parameters: names, or beginnings of names with a *"},
    {"--layer-rates", "layer_rates", OptionKind::kList,
     "Factors on the learning rate of some layers: \"conv1=0.1\""},
};

std::string summary_of(const TrainingOption& option, TrainingUse use) {
  const std::string_view field = option.field;
  const std::string summary = option.summary;
  if (field == "learning_rate")
    return summary + (use == TrainingUse::kTraining ? "the optimizer's own" : "half of the optimizer's own");
  if (field == "optimizer") return summary + ": " + names_of(optimizer_types());
  if (field == "schedule") return summary + ": " + names_of(schedule_types());
  if (field == "loss") return summary + ": " + names_of(loss_types());
  if (field == "seed" && use == TrainingUse::kFineTuning) return summary + "; default: that of the training";
  if (field == "augment") return summary + "; none, standard, " + names_of(augmentation_types());
  return summary;
}

std::string default_text(const TrainingOption& option, TrainingUse use) {
  const std::string_view field = option.field;
  if (field == "learning_rate" || option.kind == OptionKind::kList) return "";
  if (field == "seed" && use == TrainingUse::kFineTuning) return "";
  const json value = to_json(TrainingConfig{})[option.field];
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

// "2" and 2.0, "shift" and "shift:2" are the same.
bool same(const TrainingOption& option, const json& given, const json& resumed) {
  if (given == resumed) return true;
  return std::string_view(option.field) == "augment" &&
         to_string(parse_augmentation(given.get<std::string>())) ==
             to_string(parse_augmentation(resumed.get<std::string>()));
}

}  // namespace

void TrainingOptions::add_to(CLI::App& app, TrainingUse use) {
  use_ = use;
  const bool tuning = use == TrainingUse::kFineTuning;
  for (const TrainingOption& option : kOptions) {
    const std::string_view field = option.field;
    if (tuning && field == "epochs") continue;
    if (app.get_option_no_throw(option.flag) && field != "schedule") continue;  // the pass has its own
    options_.add(app,
                 {.flag = tuning && field == "schedule" ? "--lr-schedule" : option.flag,
                  .field = option.field,
                  .kind = option.kind,
                  .summary = summary_of(option, use),
                  .default_text = default_text(option, use)},
                 tuning ? "Fine-tuning" : "");
  }
}

TrainingConfig TrainingOptions::config() const {
  const json given = options_.given();
  try {
    TrainingConfig config = training_config(given);
    if (use_ == TrainingUse::kFineTuning && !given.contains("learning_rate")) {
      config.learning_rate *= kFineTuningRate;
    }
    return config;
  } catch (const Error& error) {
    options_.rethrow(error);
  }
}

void TrainingOptions::check_agree(const TrainingConfig& resumed, const std::string& name) const {
  config();
  const json wanted = options_.given();
  const json stored = to_json(resumed);
  for (const TrainingOption& option : kOptions) {
    if (!wanted.contains(option.field)) continue;
    const json& now = wanted[option.field];
    const json& then = stored[option.field];
    if (same(option, now, then)) continue;
    throw Error(ErrorCode::kArgument, option.flag,
                "is " + now.dump() + ", but the training in " + name + " was begun with " + then.dump() +
                    "; leave the option out, or begin a new training");
  }
}

}  // namespace espalier::cli
