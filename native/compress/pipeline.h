// A pipeline: passes in order, as JSON that travels inside the exported file.
//
//   {"name": "deep-compression", "summary": "…",
//    "training": {"augment": "standard"},
//    "passes": [{"pass": "prune", "sparsity": 0.9, "finetune": 10},
//               {"pass": "quantize", "scheme": "codebook", "qat": 3, "training": {"learning_rate": 0.002}}]}
//
// "training" is how passes fine-tune (train/config.h): of the pipeline, then of the pass. Everything else in
// a pass is an option of that pass. Fine-tuning begins at half of the optimizer's learning rate, and a pass
// trains no control, unless told otherwise. The model as it was before the first pass is the teacher of those
// that distill.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/pass.h"

namespace espalier {

struct PipelinePass {
  const PassType* type = nullptr;
  nlohmann::json options;  // all of them
  TrainingConfig training;
};

struct Pipeline {
  std::string name;
  std::string summary;
  nlohmann::json training;          // all fields
  nlohmann::json training_of_pass;  // by pass, what it changes
  std::vector<PipelinePass> passes;
};

// Reads and checks what can be known without a model. `seed` where the pipeline has none of its own.
// Error{kArgument} at the field: "passes[2].sparsity", "passes[0].training.optimizer", "training.augment".
Pipeline parse_pipeline(const nlohmann::json& json, std::uint64_t seed);

// With all defaults written out: parse_pipeline() reads the same pipeline from it.
nlohmann::json to_json(const Pipeline& pipeline);

// What a pipeline did: a report of each pass that is done, in order.
struct PipelineReport {
  std::string name;
  ModelSize before;
  std::optional<Accuracy> accuracy_before;
  std::vector<Report> passes;
  ModelSize after;
  std::optional<Accuracy> accuracy_after;
};
// The accuracy of the model that a pass left.
const std::optional<Accuracy>& accuracy_of(const Report& report);
nlohmann::json to_json(const PipelineReport& report);
std::string to_table(const PipelineReport& report);

// Runs the passes on context.model. While it works, report.passes.size() is the pass under way. Errors of a
// pass name it, as those of parse_pipeline(). `context` and `report` must outlive the work.
Work run_pipeline(PassContext& context, Pipeline pipeline, PipelineReport& report);

// The built-in ones: pipelines/*.json.
struct NamedPipeline {
  std::string_view name;
  std::string_view json;
};
std::span<const NamedPipeline> named_pipelines();
const NamedPipeline* find_pipeline(std::string_view name);  // null: there is none

}  // namespace espalier
