#include "compress/pipeline.h"

#include <nlohmann/json.hpp>

#include "compress/finetune.h"
#include "core/error.h"
#include "core/json_fields.h"
#include "core/number_text.h"
#include "train/tables.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr NamedPipeline kPipelines[] = {
#include "pipelines.inc"
};

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kArgument, where, message);
}

// The same error, where it is in the pipeline. What is wrong with a file or a layer stays where it is.
[[noreturn]] void rethrow_at(const std::string& place, const Error& error) {
  if (error.code() != ErrorCode::kArgument) throw error;
  throw Error(error.code(), error.where().empty() ? place : place + "." + error.where(), error.message());
}

std::string place_of(std::size_t pass) { return "passes[" + std::to_string(pass) + "]"; }

bool has_field(std::span<const ConfigField> fields, std::string_view name) {
  for (const ConfigField& field : fields) {
    if (field.name == name) return true;
  }
  return false;
}

std::string text_field(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return "";
  if (!found->is_string()) fail(name, "must be a text, found " + found->dump());
  return found->get<std::string>();
}

// The object at `name`; empty if there is none.
json object_field(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return json::object();
  if (!found->is_object()) fail(name, "must be a JSON object, found " + found->dump());
  return *found;
}

// Fine-tuning does not begin at the rate of a fresh network.
TrainingConfig fine_tuning_config(const json& given) {
  TrainingConfig config = training_config(given);
  if (!given.contains("learning_rate")) config.learning_rate *= kFineTuningRate;
  return config;
}

// Epochs are the passes' own.
json training_json(const TrainingConfig& config) {
  json object = to_json(config);
  object.erase("epochs");
  return object;
}

TrainingConfig read_training(const json& given, const std::string& place) {
  try {
    if (given.contains("epochs")) fail("epochs", "is a field of each pass that trains; leave it out here");
    return fine_tuning_config(given);
  } catch (const Error& error) {
    rethrow_at(place, error);
  }
}

PipelinePass read_pass(const json& object, const json& training, json& own_training) {
  if (!object.is_object()) fail("", "must be a JSON object such as {\"pass\": \"prune\"}");
  if (!object.contains("pass")) fail("pass", "is missing; name one of " + names_of(pass_types()));
  PipelinePass pass;
  pass.type = &find_pass(text_field(object, "pass"));
  own_training = object_field(object, "training");
  json options = object;
  options.erase("pass");
  options.erase("training");
  // Controls cost as much as the training itself, and change nothing.
  if (has_field(pass.type->fields, "control") && !options.contains("control")) options["control"] = false;
  pass.options = pass.type->complete(options);
  json whole = training;
  whole.update(own_training);
  pass.training = read_training(whole, "training");
  return pass;
}

Work run(PassContext& context, Pipeline pipeline, PipelineReport& report) {
  report = {};
  report.name = pipeline.name;
  report.before = measure(*context.model);
  co_await evaluate_model(*context.model, context, report.accuracy_before);

  const std::unique_ptr<Model> original = copy_of(*context.model);
  std::unique_ptr<Model> source;
  for (std::size_t i = 0; i < pipeline.passes.size(); ++i) {
    const PipelinePass& pass = pipeline.passes[i];
    context.report = {};
    context.training = pass.training;
    context.source = original.get();
    if (pass.type == &kTransferPass) {  // it makes a model of the one so far
      source = std::move(context.model);
      context.source = source.get();
    }
    try {
      co_await pass.type->start(context, pass.options);
    } catch (const Error& error) {
      rethrow_at(place_of(i), error);
    }
    report.passes.push_back(std::move(context.report));
  }
  context.source = nullptr;
  report.after = measure(*context.model);
  report.accuracy_after = accuracy_of(report.passes.back());
}

}  // namespace

Pipeline parse_pipeline(const json& object, std::uint64_t seed) {
  if (!object.is_object()) fail("pipeline", "must be a JSON object with a list of \"passes\"");
  for (const auto& [name, value] : object.items()) {
    if (name != "name" && name != "summary" && name != "training" && name != "passes") {
      fail(name, "is unknown; the fields of a pipeline are name, summary, training, passes");
    }
  }
  Pipeline pipeline;
  pipeline.name = text_field(object, "name");
  pipeline.summary = text_field(object, "summary");
  json training = object_field(object, "training");
  if (!training.contains("seed")) training["seed"] = seed;
  pipeline.training = training_json(read_training(training, "training"));

  const auto passes = object.find("passes");
  if (passes == object.end() || !passes->is_array() || passes->empty()) {
    fail("passes", "must be a list of at least one pass, such as [{\"pass\": \"prune\", \"sparsity\": 0.9}]");
  }
  pipeline.training_of_pass = json::array();
  for (std::size_t i = 0; i < passes->size(); ++i) {
    json own_training;
    try {
      // What was given, not what it became: another optimizer has another rate by default.
      pipeline.passes.push_back(read_pass((*passes)[i], training, own_training));
    } catch (const Error& error) {
      rethrow_at(place_of(i), error);
    }
    if (!own_training.contains("learning_rate") && own_training.contains("optimizer")) {
      own_training["learning_rate"] = pipeline.passes.back().training.learning_rate;
    }
    pipeline.training_of_pass.push_back(std::move(own_training));
  }
  return pipeline;
}

json to_json(const Pipeline& pipeline) {
  json passes = json::array();
  for (std::size_t i = 0; i < pipeline.passes.size(); ++i) {
    json pass = pipeline.passes[i].options;
    pass["pass"] = pipeline.passes[i].type->name;
    const json& training = pipeline.training_of_pass[i];
    if (!training.empty()) pass["training"] = training;
    passes.push_back(std::move(pass));
  }
  Fields object;
  object("name", pipeline.name);
  if (!pipeline.summary.empty()) object("summary", pipeline.summary);
  return object("training", pipeline.training)("passes", std::move(passes)).take();
}

const std::optional<Accuracy>& accuracy_of(const Report& report) {
  return report.accuracy_finetuned ? report.accuracy_finetuned : report.accuracy_after;
}

json to_json(const PipelineReport& report) {
  json passes = json::array();
  for (const Report& pass : report.passes) {
    json notes = json::object();
    for (const auto& [name, text] : pass.notes) notes[name] = text;
    Fields row;
    row("pass", pass.pass)("bytes", pass.after.total.bytes)("macs", pass.after.total.macs)(
        "nonzeros", pass.after.total.nonzeros)("notes", std::move(notes));
    if (accuracy_of(pass)) row("accuracy", to_json(*accuracy_of(pass)));
    passes.push_back(row.take());
  }
  Fields fields;
  fields("pipeline", report.name)("before", to_json(report.before))("after", to_json(report.after));
  if (report.accuracy_before) fields("accuracy_before", to_json(*report.accuracy_before));
  if (report.accuracy_after) fields("accuracy_after", to_json(*report.accuracy_after));
  return fields("passes", std::move(passes)).take();
}

std::string to_table(const PipelineReport& report) {
  Report whole;
  whole.pass = report.name.empty() ? "pipeline" : report.name;
  whole.before = report.before;
  whole.after = report.after;
  whole.accuracy_before = report.accuracy_before;
  whole.accuracy_after = report.accuracy_after;
  for (std::size_t i = 0; i < report.passes.size(); ++i) {
    const Report& pass = report.passes[i];
    std::string note = std::to_string(pass.after.total.bytes) + " bytes, " +
                       std::to_string(pass.after.total.macs) + " multiply-adds";
    if (const std::optional<Accuracy>& accuracy = accuracy_of(pass)) {
      note += ", validation " + percent(accuracy->validation, 2) + ", test " + percent(accuracy->test, 2);
    }
    whole.notes.emplace_back(std::to_string(i + 1) + " " + pass.pass, std::move(note));
  }
  return to_table(whole);
}

Work run_pipeline(PassContext& context, Pipeline pipeline, PipelineReport& report) {
  check_fits(context.model->graph, context.dataset);
  return run(context, std::move(pipeline), report);
}

std::span<const NamedPipeline> named_pipelines() { return kPipelines; }

const NamedPipeline* find_pipeline(std::string_view name) {
  for (const NamedPipeline& pipeline : kPipelines) {
    if (pipeline.name == name) return &pipeline;
  }
  return nullptr;
}

}  // namespace espalier
