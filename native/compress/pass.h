// A pass maps a model to a smaller one and reports what that cost. Passes compose: each takes the model that
// the one before left. Annotating passes set masks or grids; rewriting passes put a new model in place of the
// old.
//
// To add a pass, write its file and list it in compress/table.cpp: the command line's options, the
// bindings, the TypeScript catalogue and the documentation are made of its fields.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "compress/report.h"
#include "core/config_fields.h"
#include "core/work.h"
#include "data/dataset.h"
#include "train/config.h"
#include "train/trainer.h"

namespace espalier {

// What every pass is given and gives back. Pointers outlive the work.
struct PassContext {
  std::unique_ptr<Model> model;  // replaced or changed by the pass; null: transfer makes one of its source
  const Dataset& dataset;        // choices are made on its training and validation images
  const Kernels& kernels;
  ThreadPool& pool;
  TrainingConfig training;  // how to fine-tune; a pass sets `epochs` itself
  bool measure = true;  // whether the report has accuracies, most of the work of a pass that does not train

  // Transfer and distillation: the source's (teacher's) model and data.
  const Model* source = nullptr;
  const Dataset* source_dataset = nullptr;

  // Pruning: the model early in its training, whose weights the survivors are rewound to.
  const Model* early = nullptr;

  Report report;  // filled in by the pass
};

struct PassType {
  std::string_view name;  // "quantize"
  std::string_view summary;
  std::span<const ConfigField> fields;
  // Checks `options` and everything that can be known before the work starts, then returns the work.
  // Errors: Error{kArgument} naming the field; Error{kData}, Error{kSpec}.
  Work (*start)(PassContext& context, const nlohmann::json& options);
  nlohmann::json (*defaults)();  // describe_config of the fields
  // All options: those of `given`, which are checked, and the defaults. Errors as those of read_config.
  nlohmann::json (*complete)(const nlohmann::json& given);
};

std::span<const PassType* const> pass_types();
const PassType& find_pass(std::string_view name);  // Error{kArgument} listing the passes

extern const PassType kQuantizePass;   // compress/quantize/quantize.cpp
extern const PassType kPrunePass;      // compress/prune/prune.cpp
extern const PassType kFactorizePass;  // compress/factorize.cpp
extern const PassType kTransferPass;   // compress/transfer.cpp
extern const PassType kFineTunePass;   // compress/finetune_pass.cpp
extern const PassType kFoldPass;       // compress/rewrites.cpp
extern const PassType kSlimPass;       // compress/rewrites.cpp
extern const PassType kRoundPass;      // compress/round.cpp

}  // namespace espalier
