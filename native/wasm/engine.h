// The one engine of a WebAssembly instance, and what the page has made in it, by handle.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/thread_pool.h"
#include "data/dataset.h"
#include "io/checkpoint.h"
#include "runtime/packed_model.h"
#include "train/trainer.h"
#include "wasm/training_run.h"
#include "wasm/work_run.h"

namespace espalier::wasm {

struct LoadedModel {
  std::unique_ptr<Model> model;
  std::optional<TrainingState> training;  // of a checkpoint, until it is continued
  std::unique_ptr<Predictor> predictor;
  bool weights_moved = false;  // since the predictor looked at them
  std::vector<std::string> labels;
  std::string pipeline;  // JSON text of what made it; empty: unknown
};

// These keep alive what they work on, whatever the page disposes of in the meantime.
struct Training {
  std::shared_ptr<LoadedModel> model;
  std::shared_ptr<Dataset> dataset;
  TrainingRun run;
};
using AnyEvaluator = std::variant<Evaluator, PackedEvaluator>;
struct Evaluation {
  std::shared_ptr<void> model;
  std::shared_ptr<Dataset> dataset;
  AnyEvaluator evaluator;
};

using Thing =
    std::variant<std::shared_ptr<Dataset>, std::shared_ptr<LoadedModel>, std::shared_ptr<Training>,
                 std::shared_ptr<PackedModel>, std::shared_ptr<Evaluation>, std::shared_ptr<WorkRun>>;

struct Engine {
  const Kernels& kernels;
  ThreadPool pool;
  std::map<int, Thing> things;
  int next_handle = 1;
  std::vector<std::uint8_t> bytes;  // what the last returned view shows
  std::vector<real> numbers;
};
inline std::unique_ptr<Engine> current;

inline Engine& engine() {
  if (!current) throw Error(ErrorCode::kArgument, "engine", "is not open");
  return *current;
}

template <class T>
int keep(std::shared_ptr<T> thing) {
  const int handle = engine().next_handle++;
  engine().things.emplace(handle, std::move(thing));
  return handle;
}

// Null: the handle is of something else, or of nothing any more.
template <class T>
std::shared_ptr<T> find_any(int handle) {
  const auto found = engine().things.find(handle);
  const auto* thing =
      found == engine().things.end() ? nullptr : std::get_if<std::shared_ptr<T>>(&found->second);
  return thing ? *thing : nullptr;
}
template <class T>
std::shared_ptr<T> find(int handle, const char* what) {
  auto thing = find_any<T>(handle);
  if (!thing) throw Error(ErrorCode::kArgument, what, "was disposed of");
  return thing;
}
inline auto find_dataset(int handle) { return find<Dataset>(handle, "dataset"); }
inline auto find_model(int handle) { return find<LoadedModel>(handle, "model"); }
inline auto find_packed(int handle) { return find<PackedModel>(handle, "model"); }

}  // namespace espalier::wasm
