// The binary for those who only run models (web/package/src/run.ts): reads .espalier files and predicts.
// Training, passes and JSON are not in it, nor Embind: pointers, lengths and texts that end in 0.
#include <emscripten.h>

#include <cstdint>
#include <memory>
#include <string>
#include <typeinfo>

#include "core/error.h"
#include "io/espalier_file.h"
#include "runtime/packed_model.h"

namespace espalier::wasm {
namespace {

struct Running {
  EspalierFile file;  // without its model
  std::unique_ptr<PackedModel> packed;
};

ThreadPool& pool() {
  static ThreadPool one(1);
  return one;
}

std::string failure;  // code, where and sentence, line by line

}  // namespace

extern "C" {

EMSCRIPTEN_KEEPALIVE const char* last_failure() { return failure.c_str(); }

// What a throw calls (-Wl,--wrap). Nothing is unwound: the instance traps with a last_failure() and is of no
// further use.
void __wrap___cxa_throw(void* thrown, void* type, void (*)(void*)) {
  if (type == &typeid(Error)) {
    const Error& error = *static_cast<const Error*>(thrown);
    failure = std::string(to_string(error.code())) + '\n' + error.where() + '\n' + error.message();
  }
  __builtin_trap();
}

// Traps with a last_failure() where the file is damaged or the kernels do not give the known answers here,
// and without one where there is not enough memory.
EMSCRIPTEN_KEEPALIVE Running* load(const std::uint8_t* bytes, std::size_t size) {
  auto running = std::make_unique<Running>();
  running->file = load_espalier({"model file", {bytes, size}});
  running->packed = std::make_unique<PackedModel>(*running->file.model, select_kernels("auto"), pool());
  running->file.model.reset();
  return running.release();
}

EMSCRIPTEN_KEEPALIVE void unload(Running* running) { delete running; }

// Of an image: 0 channels, 1 height, 2 width; 3: classes; 4: bytes of the packed weights.
EMSCRIPTEN_KEEPALIVE int number_of(const Running* running, int what) {
  const Graph& graph = running->packed->graph();
  const Shape& image = graph.input.shape;
  const int numbers[] = {image.channels, image.height, image.width, graph.classes,
                         static_cast<int>(running->packed->bytes())};
  return numbers[what];
}

// 0: the model's name; 1: the pipeline that made it, as JSON, or nothing.
EMSCRIPTEN_KEEPALIVE const char* text_of(const Running* running, int what) {
  return (what == 0 ? running->packed->graph().name : running->file.pipeline).c_str();
}

// The name of a class; null where the file has none.
EMSCRIPTEN_KEEPALIVE const char* label_of(const Running* running, std::size_t label) {
  return label < running->file.labels.size() ? running->file.labels[label].c_str() : nullptr;
}

// Probabilities [count][classes] of byte images [count][channels][height][width].
EMSCRIPTEN_KEEPALIVE void predict(const Running* running, const std::uint8_t* images, int count,
                                  real* probabilities) {
  running->packed->predict(images, count, probabilities);
}

}  // extern "C"

}  // namespace espalier::wasm
