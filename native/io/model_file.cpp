#include "io/model_file.h"

#include <cctype>

#include "core/config_fields.h"
#include "core/error.h"
#include "io/c_header.h"
#include "io/onnx.h"

namespace espalier {
namespace {

// A length of less than 2^32, then JSON.
bool is_safetensors(std::span<const std::uint8_t> bytes) {
  return bytes.size() > 8 && bytes[8] == '{' && bytes[4] == 0 && bytes[5] == 0 && bytes[6] == 0 &&
         bytes[7] == 0;
}

ModelFile load_safetensors(const NamedBytes& file) {
  Checkpoint checkpoint = load_checkpoint(file);
  ModelFile result;
  result.model = std::move(checkpoint.model);
  result.training = std::move(checkpoint.training);
  result.labels = std::move(checkpoint.labels);
  result.pipeline = std::move(checkpoint.pipeline);
  return result;
}

std::vector<std::uint8_t> save_safetensors(const Model& model, const ModelNotes& notes) {
  return save_model(model, nullptr, notes.labels, notes.pipeline);
}

ModelFile load_compressed(const NamedBytes& file) {
  EspalierFile read = load_espalier(file);
  ModelFile result;
  result.model = std::move(read.model);
  result.labels = std::move(read.labels);
  result.pipeline = std::move(read.pipeline);
  return result;
}

std::vector<std::uint8_t> save_compressed(const Model& model, const ModelNotes& notes) {
  return save_espalier(model, notes.labels, notes.pipeline, notes.parts);
}

ModelFile load_c(const NamedBytes& file) {
  throw Error(ErrorCode::kUnsupported, file.name,
              "is C, which is written only; give the file it was made of");
}

std::vector<std::uint8_t> save_header(const Model& model, const ModelNotes&) {
  std::string name;  // an identifier
  for (const char c : model.graph.name) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) name = "model_" + name;
  const std::string text = save_c(model, name);
  return {text.begin(), text.end()};
}

constexpr FileFormat kFormats[] = {
    {"safetensors", ".safetensors", "float weights, masks and grids, for training and for Python",
     is_safetensors, load_safetensors, save_safetensors},
    {"espalier", ".espalier", "the compressed file: codes, masks and grids, entropy-coded", is_espalier,
     load_compressed, save_compressed},
    {"onnx", ".onnx", "for other programs, and theirs: floats, or integers as QuantizeLinear pairs", is_onnx,
     load_onnx, save_onnx},
    {"c", ".h", "a C99 header with packed weights and a small loop; written only", nullptr, load_c,
     save_header},
};

}  // namespace

std::span<const FileFormat> file_formats() { return kFormats; }

const FileFormat& find_file_format(std::string_view name) {
  for (const FileFormat& format : kFormats) {
    if (format.name == name) return format;
  }
  throw Error(ErrorCode::kArgument, "format",
              "is \"" + std::string(name) + "\", but the formats are " + names_of(file_formats()));
}

const FileFormat* format_of_path(std::string_view path) {
  for (const FileFormat& format : kFormats) {
    if (path.ends_with(format.extension)) return &format;
  }
  return nullptr;
}

const FileFormat* recognised_format(std::span<const std::uint8_t> bytes) {
  for (const FileFormat& format : kFormats) {
    if (format.recognises && format.recognises(bytes)) return &format;
  }
  return nullptr;
}

ModelFile load_model_file(const NamedBytes& file) {
  // The oldest format's reader says what is missing.
  const FileFormat* format = recognised_format(file.bytes);
  if (!format) format = &kFormats[0];
  ModelFile result = format->load(file);
  result.format = format->name;
  return result;
}

}  // namespace espalier
