// Guarded<&function>::call is `function` whose exceptions leave WebAssembly as {code, where, sentence}.
#pragma once

#include <emscripten/val.h>

#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "core/error.h"

namespace espalier::wasm {

[[noreturn]] inline void throw_to_caller(ErrorCode code, const std::string& where,
                                         const std::string& sentence) {
  emscripten::val error = emscripten::val::object();
  error.set("code", std::string(to_string(code)));
  error.set("where", where);
  error.set("sentence", sentence);
  error.throw_();
  std::abort();
}

// The exception that is being handled. Once for all functions, not in each.
[[noreturn, gnu::noinline]] inline void throw_current_to_caller() {
  try {
    throw;
  } catch (const Error& error) {
    throw_to_caller(error.code(), error.where(), error.message());
  } catch (const std::bad_alloc&) {
    throw_to_caller(ErrorCode::kUnsupported, "memory",
                    "there is not enough of it; use less data or a smaller batch");
  } catch (const std::exception& error) {
    throw_to_caller(ErrorCode::kArgument, "", error.what());
  }
}

template <auto function>
struct Guarded;
template <class Result, class... Arguments, Result (*function)(Arguments...)>
struct Guarded<function> {
  static Result call(Arguments... arguments) {
    try {
      return function(static_cast<Arguments&&>(arguments)...);
    } catch (const std::exception&) {
      throw_current_to_caller();
    }
  }
};

}  // namespace espalier::wasm
