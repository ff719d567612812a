// A pass as a page sees it: run for a while, tell where it is, and again. Freeing it in between aborts it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "compress/pass.h"

namespace espalier {

// What a pass needs. Its models are copies of its own, so the page's may go on meanwhile.
struct PassInput {
  std::unique_ptr<Model> model;
  std::shared_ptr<const Dataset> dataset;
  std::unique_ptr<Model> source;  // this and the rest may be null: see PassContext
  std::shared_ptr<const Dataset> source_dataset;
  std::unique_ptr<Model> early;
};

class PassRun {
 public:
  // Throws what the pass's start() throws.
  PassRun(const PassType& pass, PassInput input, const nlohmann::json& options,
          const TrainingConfig& training, const Kernels& kernels, ThreadPool& pool);

  // Works for about `milliseconds`. JSON {"done": bool, "progress": {"stage", "done", "total"}}, and, where
  // the stage trains, "loss" and "accuracy", means over the steps of this call.
  std::string run(double milliseconds);

  // Of a pass that is done. The model can be taken once.
  std::unique_ptr<Model> take_model();
  const Report& report() const { return context_.report; }

 private:
  PassInput input_;  // without its model, which is the context's
  PassContext context_;
  Work work_;  // refers to the context
  bool done_ = false;
};

}  // namespace espalier
