// Files that hold a model: one row for each format. A file is recognised by its bytes, never by its name;
// what is written is chosen by its format's name or by the ending of the file's. To add a format, write its
// file and list it in model_file.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "io/espalier_file.h"

namespace espalier {

struct ModelFile {
  std::unique_ptr<Model> model;
  std::vector<std::string> labels;        // of the classes; empty: the file has none
  std::string pipeline;                   // JSON text of what made it; empty: the file has none
  std::optional<TrainingState> training;  // safetensors: the training that the model is in
  std::string_view format;                // the row's name
};

// What a file may say besides the model.
struct ModelNotes {
  std::span<const std::string> labels = {};
  std::string_view pipeline = {};
  std::vector<FilePart>* parts = nullptr;  // takes the sizes of the file's parts, where the format knows them
};

struct FileFormat {
  std::string_view name;  // "safetensors"
  std::string_view extension;
  std::string_view summary;
  bool (*recognises)(std::span<const std::uint8_t> bytes);  // null: cannot be read
  ModelFile (*load)(const NamedBytes& file);
  // Error{kUnsupported} naming the layer for what the format cannot say.
  std::vector<std::uint8_t> (*save)(const Model& model, const ModelNotes& notes);
};
std::span<const FileFormat> file_formats();
const FileFormat& find_file_format(std::string_view name);  // Error{kArgument} listing the formats
// By the ending of a path; null: no format's.
const FileFormat* format_of_path(std::string_view path);
// By the bytes of a file; null: no format's.
const FileFormat* recognised_format(std::span<const std::uint8_t> bytes);

// Error{kModel} for a file that no format recognises, and for what its format refuses.
ModelFile load_model_file(const NamedBytes& file);

}  // namespace espalier
