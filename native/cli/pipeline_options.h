// Pipelines and grids on the command line: where they come from, and errors in them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"

namespace espalier::cli {

// The JSON of a named pipeline or of a file. Error{kArgument} at `option` when it is neither.
nlohmann::json open_pipeline(const std::string& pipeline);

// A JSON file for `option`.
nlohmann::json open_json(const std::string& path, const char* option);

// Errors in a pipeline's fields say where: "--pipeline: passes[0].sparsity must be …".
template <class Call>
auto at_option(const char* option, Call&& call) {
  try {
    return call();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kArgument) throw;
    const std::string place = error.where().empty() || error.where() == option ? "" : error.where() + " ";
    throw Error(error.code(), option, place + error.message());
  }
}

}  // namespace espalier::cli
