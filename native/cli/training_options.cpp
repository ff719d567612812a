#include "cli/training_options.h"

#include <charconv>
#include <cstdint>

#include "core/error.h"
#include "data/augment.h"
#include "train/tables.h"

namespace espalier::cli {
namespace {

using nlohmann::json;

enum class Kind { kWhole, kNumber, kText };

struct TrainingOption {
  const char* flag;
  const char* field;
  Kind kind;
  const char* summary;
};

constexpr TrainingOption kOptions[] = {
    {"--epochs", "epochs", Kind::kWhole, "Times through the training images"},
    {"--batch", "batch_size", Kind::kWhole, "Images in a step"},
    {"--lr", "learning_rate", Kind::kNumber, "Learning rate; default: the optimizer's own"},
    {"--optimizer", "optimizer", Kind::kText, "Optimizer"},
    {"--momentum", "momentum", Kind::kNumber, "Momentum, or Adam's first beta"},
    {"--weight-decay", "weight_decay", Kind::kNumber, "Weight decay"},
    {"--clip-norm", "clip_norm", Kind::kNumber, "Largest gradient norm; 0 does not clip"},
    {"--schedule", "schedule", Kind::kText, "Schedule of the learning rate"},
    {"--warmup", "warmup_steps", Kind::kWhole, "Steps over which the learning rate rises from 0"},
    {"--loss", "loss", Kind::kText, "Loss"},
    {"--label-smoothing", "label_smoothing", Kind::kNumber, "Share of the target spread over all classes"},
    {"--augment", "augment", Kind::kText, "Augmentations, each with an amount: shift:2,rotation:10"},
    {"--seed", "seed", Kind::kWhole, "Seed of everything random"},
    {"--limit", "limit", Kind::kWhole, "Use only the first so many training images; 0 uses all"},
};

template <class Rows>
std::string names(const Rows& rows) {
  std::string text;
  for (const auto& row : rows) text += (text.empty() ? "" : ", ") + std::string(row.name);
  return text;
}

std::string summary_of(const TrainingOption& option) {
  const std::string_view field = option.field;
  const std::string summary = option.summary;
  if (field == "optimizer") return summary + ": " + names(optimizer_types());
  if (field == "schedule") return summary + ": " + names(schedule_types());
  if (field == "loss") return summary + ": " + names(loss_types());
  if (field == "augment") return summary + "; none, standard, " + names(augmentation_types());
  return summary;
}

std::string default_text(const TrainingOption& option) {
  if (std::string_view(option.field) == "learning_rate") return "";
  const json value = to_json(TrainingConfig{})[option.field];
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

template <class Number>
bool read_all(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && at == end;
}

json read_value(const TrainingOption& option, const std::string& text) {
  if (option.kind == Kind::kText) return text;
  if (std::int64_t whole = 0; read_all(text, whole)) return whole;
  if (option.kind == Kind::kWhole) {
    throw Error(ErrorCode::kArgument, option.flag, "must be a whole number, found \"" + text + "\"");
  }
  double number = 0;
  if (!read_all(text, number)) {
    throw Error(ErrorCode::kArgument, option.flag, "must be a number, found \"" + text + "\"");
  }
  return number;
}

// "2" and 2.0, "shift" and "shift:2" are the same.
bool same(const TrainingOption& option, const json& given, const json& resumed) {
  if (given == resumed) return true;
  return std::string_view(option.field) == "augment" &&
         to_string(parse_augmentation(given.get<std::string>())) ==
             to_string(parse_augmentation(resumed.get<std::string>()));
}

}  // namespace

void TrainingOptions::add_to(CLI::App& app) {
  for (const TrainingOption& option : kOptions) {
    CLI::Option* added = app.add_option_function<std::string>(
        option.flag, [this, field = option.field](const std::string& text) { texts_[field] = text; },
        summary_of(option));
    added->type_name(option.kind == Kind::kWhole ? "N" : option.kind == Kind::kNumber ? "F" : "NAME");
    added->default_str(default_text(option));
  }
}

json TrainingOptions::given() const {
  json object = json::object();
  for (const TrainingOption& option : kOptions) {
    const auto text = texts_.find(option.field);
    if (text != texts_.end()) object[option.field] = read_value(option, text->second);
  }
  return object;
}

TrainingConfig TrainingOptions::config() const {
  try {
    return training_config(given());
  } catch (const Error& error) {
    for (const TrainingOption& option : kOptions) {
      if (error.where() == option.field) throw Error(error.code(), option.flag, error.message());
    }
    throw;
  }
}

void TrainingOptions::check_agree(const TrainingConfig& resumed, const std::string& name) const {
  config();
  const json wanted = given();
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
