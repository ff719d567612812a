// espalier schema: the JSON Schema of a model spec, for editors.
#include <iostream>

#include "cli/command.h"
#include "cli/common.h"
#include "graph/graph.h"

namespace espalier::cli {

Command add_schema(CLI::App& espalier) {
  CLI::App* app = espalier.add_subcommand("schema", "Print the JSON Schema of a model spec");
  app->footer(
      "Example:\n"
      "  espalier schema > spec.schema.json");
  return {app, [] {
            std::cout << dump(spec_schema(), 2) << '\n';
            return kDone;
          }};
}

}  // namespace espalier::cli
