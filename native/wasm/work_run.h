// Long work as a page sees it: run for a while, tell where it is, and again. Freeing it in between aborts it.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compress/pass.h"
#include "compress/sweep.h"
#include "core/json_fields.h"
#include "core/work.h"
#include "runtime/packed_model.h"

namespace espalier {

// What is left when the work is done.
struct WorkResult {
  nlohmann::json values;
  std::unique_ptr<Model> model;  // null: it makes none
  std::vector<std::string> labels;
  std::string pipeline;  // JSON text
};

// What a work refers to. Models are copies of its own, so the page's may go on meanwhile.
struct WorkState {
  virtual ~WorkState() = default;
  // Adds what else there is to tell: to "progress" itself, and beside it.
  virtual void describe(Fields& progress, Fields& slice);
  virtual WorkResult take() = 0;
};

class WorkRun {
 public:
  WorkRun(std::unique_ptr<WorkState> state, Work work) : state_(std::move(state)), work_(std::move(work)) {}

  // Works for about `milliseconds`. JSON {"done": bool, "progress": {"stage", "done", "total"}}, and, where
  // the stage trains, "loss" and "accuracy", means over the steps of this call.
  std::string run(double milliseconds);

  // Of work that is done, once.
  WorkResult take();

 private:
  std::unique_ptr<WorkState> state_;
  Work work_;  // refers to the state
  bool done_ = false;
  bool taken_ = false;
};

// What a pass needs. All but the dataset may be null: see PassContext.
struct PassInput {
  std::unique_ptr<Model> model;
  std::shared_ptr<const Dataset> dataset;
  std::unique_ptr<Model> source;
  std::shared_ptr<const Dataset> source_dataset;
  std::unique_ptr<Model> early;
};

// These throw what the work's own start does. Results: "report" and a model; the same and "pipeline";
// "lines"; "microsecondsPerImage" and "layers".
std::shared_ptr<WorkRun> run_pass(const PassType& pass, PassInput input, const nlohmann::json& options,
                                  const TrainingConfig& training, bool measure, const Kernels& kernels,
                                  ThreadPool& pool);
// `pipeline` is one, or the name of a built-in one.
std::shared_ptr<WorkRun> run_pipeline(std::unique_ptr<Model> model, std::shared_ptr<const Dataset> dataset,
                                      const nlohmann::json& pipeline, std::uint64_t seed, bool measure,
                                      const Kernels& kernels, ThreadPool& pool);
// `lines` may be there already; `origin` is Sweep::origin.
struct SweepInput {
  nlohmann::json grid;
  std::vector<nlohmann::json> lines;
  nlohmann::json origin;
  Shard shard;
  std::uint64_t seed = 1;
};
std::shared_ptr<WorkRun> run_sweep(std::unique_ptr<Model> model, std::shared_ptr<const Dataset> dataset,
                                   SweepInput input, const Kernels& kernels, ThreadPool& pool);
std::shared_ptr<WorkRun> run_timing(std::shared_ptr<PackedModel> model,
                                    std::shared_ptr<const Dataset> dataset);

}  // namespace espalier
