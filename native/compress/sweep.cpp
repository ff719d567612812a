#include "compress/sweep.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "compress/finetune.h"
#include "core/error.h"
#include "core/json_fields.h"
#include "core/json_text.h"
#include "core/math.h"
#include "core/random.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr int kMostTrials = 100000;

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kArgument, where, message);
}

constexpr ConfigField kHalvingFields[] = {
    {"budget", "What all rungs cost together, in whole pipelines", member<&Halving::budget>, 1, 1e6},
    {"rungs", "Times that trials are compared, the last one included", member<&Halving::rungs>, 2, 20},
    {"keep", "Share of the trials that goes on to the next rung", member<&Halving::keep>, 0.01, 0.99},
    {"least_accuracy", "Validation accuracy below which a trial is ranked last",
     member<&Halving::least_accuracy>, 0, 1},
    {"seed", "Seed of the draws", member<&Halving::seed>, 0, 1e15},
};

// ---- lists in place of values

// A value that the grid leaves open.
struct Axis {
  json::json_pointer pointer;
  std::string place;  // "passes[0].sparsity"
  json values;        // a list, or a range
};

bool takes_list(const json& fields, const std::string& name) {
  return std::any_of(fields.begin(), fields.end(), [&](const json& field) {
    return field.at("name") == name && field.at("kind") == "list";
  });
}

// Whether `value`, in place of a field that takes a list or not, is open.
bool is_open(const json& value, bool list) {
  if (value.is_object()) return true;
  return value.is_array() && (!list || (!value.empty() && value[0].is_array()));
}

std::optional<Axis> open_field(const json& object, const json& fields, const json::json_pointer& at,
                               const std::string& place) {
  for (const auto& [name, value] : object.items()) {
    if (name == "training" || name == "pass") continue;
    if (is_open(value, takes_list(fields, name))) return Axis{at / name, place + name, value};
  }
  return std::nullopt;
}

std::optional<Axis> open_training(const json& object, const json::json_pointer& at,
                                  const std::string& place) {
  const auto training = object.find("training");
  if (training == object.end() || !training->is_object()) return std::nullopt;
  const TrainingConfig defaults;
  return open_field(*training, describe_config(training_fields(), &defaults), at / "training",
                    place + "training.");
}

// The first value that is open; none when it is a pipeline.
std::optional<Axis> first_axis(const json& pipeline) {
  const json::json_pointer root;
  if (auto axis = open_training(pipeline, root, "")) return axis;
  const auto passes = pipeline.find("passes");
  if (passes == pipeline.end() || !passes->is_array()) return std::nullopt;
  for (std::size_t i = 0; i < passes->size(); ++i) {
    const json& pass = (*passes)[i];
    const json::json_pointer at = root / "passes" / i;
    const std::string place = "passes[" + std::to_string(i) + "]";
    if (pass.is_array()) return Axis{at, place, pass};
    if (!pass.is_object()) continue;
    if (auto axis = open_training(pass, at, place + ".")) return axis;
    const auto name = pass.find("pass");
    if (name == pass.end() || !name->is_string()) continue;
    const json fields = find_pass(name->get<std::string>()).defaults();
    if (auto axis = open_field(pass, fields, at, place + ".")) return axis;
  }
  return std::nullopt;
}

void check_axis(const Axis& axis, bool drawn) {
  if (axis.values.is_array()) {
    if (axis.values.empty()) fail(axis.place, "is an empty list; give values to try");
    return;
  }
  if (!drawn) fail(axis.place, "is a range, which only \"halving\" draws from; give a list of values");
  const json& range = axis.values;
  for (const auto& [name, value] : range.items()) {
    const bool known = name == "scale" ? value == "log" || value == "linear"
                                       : (name == "from" || name == "to") && value.is_number();
    if (!known)
      fail(axis.place,
           "must be a range {\"from\": number, \"to\": number, \"scale\": \"log\" or \"linear\"}");
  }
  if (!range.contains("from") || !range.contains("to") || range["from"] >= range["to"] ||
      (range.value("scale", "linear") == "log" && range["from"] <= 0)) {
    fail(axis.place, "must be a range from a smaller number to a larger one, above 0 on the scale \"log\"");
  }
}

json draw(const json& values, Random& random) {
  const double u = random.uniform();
  if (values.is_array()) {
    const auto size = static_cast<double>(values.size());
    return values[std::min(static_cast<std::size_t>(u * size), values.size() - 1)];
  }
  const double from = values["from"].get<double>(), to = values["to"].get<double>();
  const bool whole = values["from"].is_number_integer() && values["to"].is_number_integer();
  if (values.value("scale", "linear") == "log") {
    const double x = from * math::exp(u * math::log(to / from));
    return whole ? json(static_cast<std::int64_t>(x + 0.5)) : json(x);
  }
  if (whole) return static_cast<std::int64_t>(std::floor(from + u * (to - from + 1)));
  return from + u * (to - from);
}

// What a choice is called: a pass by its name.
json name_of_choice(const json& value) {
  return value.is_object() && value.contains("pass") ? value["pass"] : value;
}

// Nothing is open any more: the pipeline in full.
Trial closed(json pipeline, json choices, std::uint64_t seed) {
  if (const auto passes = pipeline.find("passes"); passes != pipeline.end() && passes->is_array()) {
    passes->erase(std::remove(passes->begin(), passes->end(), json()), passes->end());
  }
  return {to_json(parse_pipeline(pipeline, seed)), std::move(choices)};
}

void combine(const json& pipeline, const json& choices, std::uint64_t seed, std::vector<Trial>& trials) {
  const std::optional<Axis> axis = first_axis(pipeline);
  if (!axis) {
    if (trials.size() == kMostTrials) fail("grid", "has more than 100000 combinations; shorten its lists");
    trials.push_back(closed(pipeline, choices, seed));
    return;
  }
  check_axis(*axis, false);
  for (const json& value : axis->values) {
    json chosen = pipeline, named = choices;
    chosen[axis->pointer] = value;
    named[axis->place] = name_of_choice(value);
    combine(chosen, named, seed, trials);
  }
}

Trial drawn_trial(json pipeline, Random& random, std::uint64_t seed) {
  json choices = json::object();
  while (const std::optional<Axis> axis = first_axis(pipeline)) {
    check_axis(*axis, true);
    const json value = draw(axis->values, random);
    pipeline[axis->pointer] = value;
    choices[axis->place] = name_of_choice(value);
  }
  return closed(std::move(pipeline), std::move(choices), seed);
}

// Each rung costs as much as the others: `draws · keep^rung` trials of `keep^(rungs - 1 - rung)` epochs.
int draws_of(const Halving& halving) {
  double last = 1;
  for (int rung = 1; rung < halving.rungs; ++rung) last *= halving.keep;
  const double draws = halving.budget / (halving.rungs * last);
  if (draws > kMostTrials) fail("halving", "begins with more than 100000 draws; lower budget or rungs");
  return std::max(1, static_cast<int>(draws + 0.5));
}

// ---- results

double number_of(const json& line, const char* name) { return line.value(name, 0.0); }

bool failed(const json& line) { return line.contains("error"); }

// Whether `a` is as good as `b` in everything and better in something.
bool dominates(const json& a, const json& b, bool with_time) {
  const double bytes = number_of(a, "file_bytes") - number_of(b, "file_bytes");
  const double accuracy = number_of(a, "validation_accuracy") - number_of(b, "validation_accuracy");
  const double time =
      with_time ? number_of(a, "microseconds_per_image") - number_of(b, "microseconds_per_image") : 0;
  return bytes <= 0 && accuracy >= 0 && time <= 0 && (bytes < 0 || accuracy > 0 || time < 0);
}

// By line, whether no other of those that `taken` leaves dominates it.
std::vector<bool> front_of(const std::vector<const json*>& lines, const std::vector<bool>& taken,
                           bool with_time) {
  std::vector<bool> front(lines.size(), false);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (taken[i] || failed(*lines[i])) continue;
    front[i] = true;
    for (std::size_t other = 0; other < lines.size() && front[i]; ++other) {
      if (taken[other] || failed(*lines[other])) continue;
      front[i] = !dominates(*lines[other], *lines[i], with_time);
    }
  }
  return front;
}

// Lines of a rung, best first. Time is left out: it differs from run to run.
std::vector<std::size_t> ranking(const std::vector<const json*>& lines, double least_accuracy) {
  std::vector<std::size_t> order(lines.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<int> tier(lines.size(), 0);
  std::vector<bool> taken(lines.size(), false);
  const int last = static_cast<int>(lines.size()) + 1;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!failed(*lines[i]) && number_of(*lines[i], "validation_accuracy") >= least_accuracy) continue;
    taken[i] = true;
    tier[i] = failed(*lines[i]) ? last + 1 : last;
  }
  for (int number = 0; std::find(taken.begin(), taken.end(), false) != taken.end(); ++number) {
    const std::vector<bool> front = front_of(lines, taken, false);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (!front[i]) continue;
      taken[i] = true;
      tier[i] = number;
    }
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (tier[a] != tier[b]) return tier[a] < tier[b];
    const double first = number_of(*lines[a], "validation_accuracy");
    const double second = number_of(*lines[b], "validation_accuracy");
    return first != second ? first > second : a < b;
  });
  return order;
}

// Where the trial's line is; -1: not there.
std::ptrdiff_t find_line(const std::vector<json>& lines, const json& origin, const json& pipeline) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].value("pipeline", json()) != pipeline) continue;
    const bool same = std::all_of(origin.items().begin(), origin.items().end(), [&](const auto& item) {
      return lines[i].value(item.key(), json()) == item.value();
    });
    if (same) return static_cast<std::ptrdiff_t>(i);
  }
  return -1;
}

Work run_trial(Sweep& sweep, const Trial& trial, json& line) {
  line = sweep.origin;
  line["choices"] = trial.choices;
  line["pipeline"] = trial.pipeline;
  line["seed"] = trial.pipeline.at("training").at("seed");
  PassContext context{.model = copy_of(sweep.model),
                      .dataset = sweep.dataset,
                      .kernels = sweep.kernels,
                      .pool = sweep.pool,
                      .training = {},
                      .report = {}};
  PipelineReport report;
  try {
    co_await run_pipeline(context, parse_pipeline(trial.pipeline, 0), report);
    line["validation_accuracy"] = report.accuracy_after->validation;
    line["test_accuracy"] = report.accuracy_after->test;
    line["macs"] = report.after.total.macs;
    line["nonzeros"] = report.after.total.nonzeros;
    co_await sweep.measure(*context.model, trial.pipeline, line);
  } catch (const Error& error) {
    line["error"] = error.what();
  }
}

Work run_rung(Sweep& sweep, std::vector<Trial> trials, std::vector<json>& lines,
              std::vector<std::size_t>& places) {
  places.clear();
  for (const Trial& trial : trials) {
    sweep.choices = trial.choices;
    const std::ptrdiff_t found = find_line(lines, sweep.origin, trial.pipeline);
    if (found >= 0) {
      places.push_back(static_cast<std::size_t>(found));
      ++sweep.skipped;
    } else {
      json line;
      co_await run_trial(sweep, trial, line);
      sweep.keep(line);
      places.push_back(lines.size());
      lines.push_back(std::move(line));
    }
    ++sweep.done;
    co_yield Progress{.stage = "sweep", .done = sweep.done, .total = sweep.total};
  }
}

int kept_of(std::size_t trials, const Halving& halving) {
  return std::max(1, static_cast<int>(static_cast<double>(trials) * halving.keep + 0.5));
}

Work run(Sweep& sweep, SweepGrid grid, std::vector<Trial> trials, std::vector<json>& lines) {
  std::vector<std::size_t> places;
  const int rungs = grid.halving ? grid.halving->rungs : 1;
  sweep.done = sweep.skipped = sweep.total = 0;
  std::size_t count = trials.size();
  for (int rung = 0; rung < rungs; ++rung) {
    sweep.total += static_cast<int>(count);
    if (grid.halving)
      count = std::min<std::size_t>(count, static_cast<std::size_t>(kept_of(count, *grid.halving)));
  }
  for (int rung = 0; rung < rungs && !trials.empty(); ++rung) {
    double share = 1;
    for (int above = rung + 1; above < rungs; ++above) share *= grid.halving->keep;
    std::vector<Trial> shorter;
    for (const Trial& trial : trials) shorter.push_back(with_share_of_epochs(trial, share));
    co_await run_rung(sweep, std::move(shorter), lines, places);
    if (rung + 1 == rungs) break;
    std::vector<const json*> results;
    for (const std::size_t place : places) results.push_back(&lines[place]);
    std::vector<std::size_t> best = ranking(results, grid.halving->least_accuracy);
    best.resize(std::min(best.size(), static_cast<std::size_t>(kept_of(trials.size(), *grid.halving))));
    std::sort(best.begin(), best.end());
    std::vector<Trial> next;
    for (const std::size_t index : best) next.push_back(std::move(trials[index]));
    trials = std::move(next);
  }
}

}  // namespace

SweepGrid parse_grid(const json& object) {
  if (!object.is_object()) fail("grid", "must be a JSON object: a pipeline with lists in place of values");
  SweepGrid grid{.pipeline = object, .halving = {}};
  const auto halving = object.find("halving");
  if (halving == object.end()) return grid;
  grid.pipeline.erase("halving");
  grid.halving.emplace();
  try {
    read_config(kHalvingFields, *halving, &*grid.halving);
  } catch (const Error& error) {
    fail("halving." + error.where(), error.message());
  }
  return grid;
}

std::vector<Trial> trials_of(const SweepGrid& grid, std::uint64_t seed) {
  std::vector<Trial> trials;
  if (!grid.halving) {
    combine(grid.pipeline, json::object(), seed, trials);
    return trials;
  }
  for (int i = 0, draws = draws_of(*grid.halving); i < draws; ++i) {
    Random random(grid.halving->seed, RandomStream::kSweep, static_cast<std::uint64_t>(i));
    trials.push_back(drawn_trial(grid.pipeline, random, seed));
  }
  return trials;
}

Shard parse_shard(std::string_view text) {
  Shard shard;
  const char* end = text.data() + text.size();
  const auto [slash, wrong] = std::from_chars(text.data(), end, shard.index);
  bool good = wrong == std::errc{} && slash != end && *slash == '/';
  if (good) {
    const auto [last, wrong_count] = std::from_chars(slash + 1, end, shard.count);
    good = wrong_count == std::errc{} && last == end;
  }
  if (!good || shard.count < 1 || shard.index < 0 || shard.index >= shard.count) {
    fail("shard", "must be I/N with I from 0 to N - 1, as in 0/4, found \"" + std::string(text) + "\"");
  }
  return shard;
}

std::vector<Trial> shard_of(std::vector<Trial> trials, const Shard& shard) {
  std::vector<Trial> part;
  for (auto i = static_cast<std::size_t>(shard.index); i < trials.size();
       i += static_cast<std::size_t>(shard.count)) {
    part.push_back(std::move(trials[i]));
  }
  return part;
}

Trial with_share_of_epochs(const Trial& trial, double share) {
  Trial shorter = trial;
  for (json& pass : shorter.pipeline["passes"]) {
    for (const char* name : {"finetune", "qat", "epochs", "hint_epochs"}) {
      const auto epochs = pass.find(name);
      if (epochs == pass.end() || *epochs <= 0) continue;
      *epochs = std::max(1, static_cast<int>(epochs->get<int>() * share + 0.5));
    }
  }
  return shorter;
}

std::vector<json> read_results(std::string_view text, const std::string& name) {
  std::vector<json> lines;
  for (std::size_t number = 1;; ++number) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return lines;
    const std::string where = name + ":" + std::to_string(number);
    json line = parse_json(text.substr(0, end), ErrorCode::kData, where);
    if (!line.is_object() || !line.contains("pipeline")) {
      throw Error(ErrorCode::kData, where, "is no result of a sweep; give another file");
    }
    lines.push_back(std::move(line));
    text.remove_prefix(end + 1);
  }
}

std::string to_text(const std::vector<json>& lines) {
  std::string text;
  for (const json& line : lines) text += line.dump() + "\n";
  return text;
}

void mark_pareto(std::vector<json>& lines) {
  std::vector<const json*> all;
  for (const json& line : lines) all.push_back(&line);
  const std::vector<bool> front = front_of(all, std::vector<bool>(lines.size(), false), true);
  for (std::size_t i = 0; i < lines.size(); ++i) lines[i]["pareto"] = static_cast<bool>(front[i]);
}

Work run_sweep(Sweep& sweep, SweepGrid grid, std::vector<Trial> trials, std::vector<json>& lines) {
  check_fits(sweep.model.graph, sweep.dataset);
  return run(sweep, std::move(grid), std::move(trials), lines);
}

}  // namespace espalier
