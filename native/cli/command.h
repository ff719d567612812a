// The command line: a file for each subcommand.
//
// Exit status: 0 done; 1 it failed (a damaged file, a full disk, a loss that is no number, Ctrl-C); 2 the
// call is wrong (an unknown option, a missing or impossible value). Errors are one sentence on standard
// error, "espalier: where: what". Results go to standard output.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

namespace espalier::cli {

struct Command {
  CLI::App* app;
  std::function<int()> run;  // returns the exit status; throws Error
};

Command add_train(CLI::App& espalier);
Command add_eval(CLI::App& espalier);
Command add_predict(CLI::App& espalier);
Command add_inspect(CLI::App& espalier);
std::vector<Command> add_passes(CLI::App& espalier);  // quantize, prune, … (compress/table.cpp)
Command add_compress(CLI::App& espalier);
Command add_sweep(CLI::App& espalier);
Command add_export(CLI::App& espalier);
Command add_import(CLI::App& espalier);
Command add_generate(CLI::App& espalier);
Command add_schema(CLI::App& espalier);
Command add_bench(CLI::App& espalier);

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongCall = 2;

}  // namespace espalier::cli
