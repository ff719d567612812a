// espalier export, espalier import: a model file in another format.
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "cli/common.h"
#include "core/error.h"
#include "core/json_fields.h"

namespace espalier::cli {
namespace {

struct ExportOptions {
  std::string model;
  std::string format;
  std::string out;
  bool json = false;
};

int write(const ExportOptions& options, const ModelFile& file, const FileFormat& format,
          const std::string& out) {
  check_can_save(out);
  const std::vector<std::uint8_t> bytes =
      format.save(*file.model, {.labels = file.labels, .pipeline = file.pipeline});
  save(out, bytes);
  if (options.json) {
    std::cout << dump(Fields()("model", file.model->graph.name)("source", options.model)(
                          "source_format", file.format)("file", out)("format", format.name)("file_bytes",
                                                                                            bytes.size())
                          .take(),
                      2)
              << '\n';
    return kDone;
  }
  std::cout << "saved   " << out << ": " << format.name << ", "
            << with_commas(static_cast<std::int64_t>(bytes.size())) << " bytes\n";
  return kDone;
}

int run_export(const ExportOptions& options) {
  if (options.format.empty() && options.out.empty()) {
    throw Error(ErrorCode::kArgument, "--format", "is missing; give one of " + names_of(file_formats()));
  }
  const FileFormat* format = nullptr;
  try {
    format = options.format.empty() ? &format_of_out(options.out) : &find_file_format(options.format);
  } catch (const Error& error) {
    if (error.where() != "format") throw;
    throw Error(error.code(), "--format", error.message());
  }
  std::string out = options.out;
  if (out.empty()) {
    out = std::filesystem::path(options.model).replace_extension(format->extension).string();
    if (out == options.model) {
      throw Error(ErrorCode::kArgument, "--out",
                  "is missing, and " + out + " is the model itself; give another name");
    }
  }
  return write(options, open_model(options.model), *format, out);
}

int run_import(const ExportOptions& options) {
  const FileFormat& format = format_of_out(options.out);
  return write(options, open_model(options.model), format, options.out);
}

std::string formats_text() {
  std::string text;
  for (const FileFormat& format : file_formats()) {
    text += "  " + std::string(format.name) + std::string(13 - format.name.size(), ' ') +
            std::string(format.summary) + "\n";
  }
  return text;
}

}  // namespace

Command add_export(CLI::App& espalier) {
  CLI::App* app = espalier.add_subcommand("export", "Write a model file in another format");
  const auto options = std::make_shared<ExportOptions>();
  app->add_option("MODEL", options->model, "A model file")->required();
  app->add_option("--format", options->format,
                  "One of " + names_of(file_formats()) + "; default: the ending of --out")
      ->type_name("NAME");
  app->add_option("--out", options->out, "The new file; default: MODEL with the format's ending")
      ->type_name("FILE");
  app->add_flag("--json", options->json, "Print one JSON object");
  app->footer(
      "Examples:\n"
      "  espalier export lenet5.safetensors --format espalier\n"
      "  espalier export int8.espalier --format onnx\n"
      "  espalier export int8.espalier --format safetensors --out int8.safetensors\n\nFormats:\n" +
      formats_text());
  return {app, [options] { return run_export(*options); }};
}

Command add_import(CLI::App& espalier) {
  CLI::App* app = espalier.add_subcommand("import", "Read a model file of another program");
  const auto options = std::make_shared<ExportOptions>();
  app->add_option("FILE", options->model, "A model file, such as an ONNX model")->required();
  app->add_option("--out", options->out, "The new file; its ending is the format")->type_name("FILE");
  app->add_flag("--json", options->json, "Print one JSON object");
  app->footer(
      "Examples:\n"
      "  espalier import model.onnx --out model.safetensors\n"
      "  espalier import int8.onnx --out int8.espalier");
  return {app, [options] { return run_import(*options); }};
}

}  // namespace espalier::cli
