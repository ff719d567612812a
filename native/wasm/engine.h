// The one engine of a WebAssembly instance, and what the page has made in it, by handle.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/thread_pool.h"
#include "data/dataset.h"
#include "io/checkpoint.h"
#include "train/trainer.h"
#include "wasm/pass_run.h"
#include "wasm/training_run.h"

namespace espalier::wasm {

struct LoadedModel {
  std::unique_ptr<Model> model;
  std::optional<TrainingState> training;  // of a checkpoint, until it is continued
  std::unique_ptr<Predictor> predictor;
  bool weights_moved = false;  // since the predictor looked at them
};

// These keep alive what they work on, whatever the page disposes of in the meantime.
struct Training {
  std::shared_ptr<LoadedModel> model;
  std::shared_ptr<Dataset> dataset;
  TrainingRun run;
};
struct Evaluation {
  std::shared_ptr<LoadedModel> model;
  std::shared_ptr<Dataset> dataset;
  Evaluator evaluator;
};

using Thing = std::variant<std::shared_ptr<Dataset>, std::shared_ptr<LoadedModel>, std::shared_ptr<Training>,
                           std::shared_ptr<Evaluation>, std::shared_ptr<PassRun>>;

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

template <class T>
std::shared_ptr<T> find(int handle, const char* what) {
  const auto found = engine().things.find(handle);
  const auto* thing =
      found == engine().things.end() ? nullptr : std::get_if<std::shared_ptr<T>>(&found->second);
  if (!thing) throw Error(ErrorCode::kArgument, what, "was disposed of");
  return *thing;
}
inline auto find_dataset(int handle) { return find<Dataset>(handle, "dataset"); }
inline auto find_model(int handle) { return find<LoadedModel>(handle, "model"); }

}  // namespace espalier::wasm
