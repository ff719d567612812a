// What subcommands share: where data and models come from, kernels and threads, where files go.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "core/thread_pool.h"
#include "data/dataset.h"
#include "io/model_file.h"
#include "kernels/kernels.h"

namespace espalier::cli {

// A whole number from `minimum` to `maximum`.
CLI::Validator from_to(int minimum, int maximum);

// --kernels and --threads. Neither changes a result, but for the last bits between kernels with and without
// fused multiply-add.
struct EngineOptions {
  std::string kernels = "auto";
  int threads = 0;

  EngineOptions();
  void add_to(CLI::App& app);
  const Kernels& select() const;
};

// --data; open_dataset fails when it was not given.
void add_data_option(CLI::App& app, std::string& data);

// "synthetic[:N]", a path, or the name of a folder below $ESPALIER_DATA.
Dataset open_dataset(const std::string& data, std::uint64_t seed, const char* option = "--data");

// --data with --classes and --per-class; or, with "source-" before their names, the data of a source.
struct DataOptions {
  std::string data;
  std::string classes;
  int per_class = 0;

  void add_to(CLI::App& app);
  void add_source_to(CLI::App& app);
  Dataset open(std::uint64_t seed) const;
  std::string words() const;  // "--data mnist --classes 0-4", quoted for a shell

 private:
  bool source_ = false;
};

// A model file of any format.
ModelFile open_model(const std::string& path);
// The format that the ending of --out names. Error{kArgument} when it is missing or names none.
const FileFormat& format_of_out(const std::string& out);

// The spec that a preset's name or the path of a JSON file stands for, a preset fitted to `dataset` when
// there is one. Error{kArgument} at `option` if it is neither.
nlohmann::json open_spec(const std::string& model, const Dataset* dataset, const char* option = "--model");

// A file's parts as a JSON list: name, bytes, entropy_bytes.
nlohmann::json parts_json(std::span<const FilePart> parts);

// Fails early where save() would fail late.
void check_can_save(const std::string& path);

// Writes beside and renames; a device or a pipe is written directly.
void save(const std::string& path, std::span<const std::uint8_t> bytes);

std::string with_commas(std::int64_t number);                   // "12,345"
std::string fixed(double number, int decimals);                 // "0.123"
std::string short_number(double number);                        // "0.05", "1e+09"
std::string percent(double share);                              // "97.3 %"
std::string duration(double seconds);                           // "1:02"
std::string byte_size(std::int64_t bytes);                      // "36.4 KB"
std::string quoted(const std::string& argument);                // for a shell
std::string dump(const nlohmann::json& json, int indent = -1);  // never fails on a file name

}  // namespace espalier::cli
