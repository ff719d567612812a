#include "io/model_file.h"

#include "core/config_fields.h"
#include "core/error.h"

namespace espalier {
namespace {

// A length, then JSON: the ninth byte begins an object. Whatever is wrong after that, the reader says.
bool is_safetensors(std::span<const std::uint8_t> bytes) { return bytes.size() >= 9 && bytes[8] == '{'; }

ModelFile load_safetensors(const NamedBytes& file) {
  Checkpoint checkpoint = load_checkpoint(file);
  ModelFile result;
  result.model = std::move(checkpoint.model);
  result.training = std::move(checkpoint.training);
  return result;
}

std::vector<std::uint8_t> save_safetensors(const Model& model, const ModelNotes&) { return save_model(model); }

constexpr FileFormat kFormats[] = {
    {"safetensors", ".safetensors", "float weights, masks and grids, for training and for Python",
     is_safetensors, load_safetensors, save_safetensors},
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

ModelFile load_model_file(const NamedBytes& file) {
  for (const FileFormat& format : kFormats) {
    if (!format.recognises || !format.recognises(file.bytes)) continue;
    ModelFile result = format.load(file);
    result.format = format.name;
    return result;
  }
  // The oldest format's reader says what is missing.
  ModelFile result = load_safetensors(file);
  result.format = kFormats[0].name;
  return result;
}

}  // namespace espalier
