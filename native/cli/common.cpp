#include "cli/common.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/json_text.h"
#include "data/load.h"
#include "data/subset.h"
#include "graph/graph.h"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string preset_names() {
  std::string names;
  for (const Preset& preset : presets()) names += (names.empty() ? "" : ", ") + std::string(preset.name);
  return names;
}

std::string kernel_names() {
  std::string names = "auto";
  for (const Kernels* kernels : available_kernels()) names += ", " + std::string(kernels->name);
  return names;
}

}  // namespace

CLI::Validator from_to(int minimum, int maximum) {
  const std::string wrong =
      "must be a whole number from " + std::to_string(minimum) + " to " + std::to_string(maximum);
  return CLI::Validator(
      [=](const std::string& text) {
        int number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool fits = error == std::errc{} && end == text.data() + text.size() && number >= minimum &&
                          number <= maximum;
        return fits ? "" : wrong + ", found \"" + text + "\"";
      },
      "");
}

EngineOptions::EngineOptions()
    : threads(std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 4)) {}

void EngineOptions::add_to(CLI::App& app) {
  app.add_option("--threads", threads, "Threads; the result does not depend on it")
      ->check(from_to(1, ThreadPool::kMaxThreads))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--kernels", kernels, "Inner loops: " + kernel_names())
      ->capture_default_str()
      ->type_name("NAME");
}

const Kernels& EngineOptions::select() const {
  try {
    return select_kernels(kernels);
  } catch (const Error& error) {
    throw Error(error.code(), "--kernels", error.message());
  }
}

void add_data_option(CLI::App& app, std::string& data) {
  app.add_option("--data", data,
                 "A folder of IDX files, of CIFAR-10's binary batches or of one folder of PNGs per class, or "
                 "synthetic[:N]")
      ->type_name("DIR");
}

Dataset open_dataset(const std::string& data, std::uint64_t seed, const char* option) {
  if (data.empty()) {
    throw Error(ErrorCode::kArgument, option,
                "is missing; give a folder, or \"synthetic\" for built-in digits");
  }
  std::string source = data;
  const bool built_in = data == "synthetic" || data.starts_with("synthetic:");
  if (const char* shelf = std::getenv("ESPALIER_DATA"); shelf && !built_in && !exists(data)) {
    const std::string below = (fs::path(shelf) / data).string();
    if (exists(below)) source = below;
  }
  return load_dataset(source, seed);
}

void DataOptions::add_to(CLI::App& app) {
  add_data_option(app, data);
  app.add_option("--classes", classes, "Only these classes, in this order: 5-9 or 0,2,4")->type_name("LIST");
  app.add_option("--per-class", per_class, "Only so many training images of each class")
      ->check(from_to(1, 1 << 30))
      ->type_name("N");
}

void DataOptions::add_source_to(CLI::App& app) {
  source_ = true;
  app.add_option("--source-data", data,
                 "What the source was trained on, as --data: for rehearsal, forgetting")
      ->type_name("DIR");
  app.add_option("--source-classes", classes, "Only these classes of it")->type_name("LIST");
}

Dataset DataOptions::open(std::uint64_t seed) const {
  Dataset dataset = open_dataset(data, seed, source_ ? "--source-data" : "--data");
  try {
    if (!classes.empty()) select_classes(dataset, parse_classes(classes));
  } catch (const Error& error) {
    throw Error(error.code(), source_ ? "--source-classes" : "--classes", error.message());
  }
  if (per_class > 0) limit_per_class(dataset, per_class, seed);
  return dataset;
}

std::string DataOptions::words() const {
  std::string text = "--data " + quoted(data);
  if (!classes.empty()) text += " --classes " + quoted(classes);
  if (per_class > 0) text += " --per-class " + std::to_string(per_class);
  return text;
}

ModelFile open_model(const std::string& path) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  return load_model_file({path, bytes});
}

const FileFormat& format_of_out(const std::string& out) {
  if (out.empty()) throw Error(ErrorCode::kArgument, "--out", "is missing; give the name of the new file");
  if (const FileFormat* format = format_of_path(out)) return *format;
  const std::string ending = fs::path(out).extension().string();
  std::string endings;
  for (const FileFormat& format : file_formats()) {
    endings += (endings.empty() ? "" : ", ") + std::string(format.extension);
  }
  throw Error(ErrorCode::kArgument, "--out",
              "is \"" + out + "\", whose ending " +
                  (ending.empty() ? "is missing" : "\"" + ending + "\" names no format that can be written") +
                  "; end it in " + endings);
}

nlohmann::json open_spec(const std::string& model, const Dataset* dataset, const char* option) {
  if (const Preset* preset = find_preset(model)) {
    if (!dataset) return nlohmann::json::parse(preset->spec);
    return preset_spec(model, dataset->channels, dataset->height, dataset->width, dataset->classes());
  }
  if (!exists(model)) {
    throw Error(ErrorCode::kArgument, option,
                "\"" + model + "\" is neither a file nor a preset; the presets are " + preset_names());
  }
  const std::vector<std::uint8_t> bytes = read_file(model);
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, ErrorCode::kSpec, model);
}

nlohmann::json parts_json(std::span<const FilePart> parts) {
  nlohmann::json list = nlohmann::json::array();
  for (const FilePart& part : parts) {
    list.push_back({{"name", part.name}, {"bytes", part.bytes}, {"entropy_bytes", part.entropy_bytes}});
  }
  return list;
}

void check_can_save(const std::string& path) {
  if (path.empty()) return;
  if (std::error_code ignored; fs::is_directory(path, ignored)) {
    throw Error(ErrorCode::kIo, path, "is a folder; give --out the name of a file");
  }
  const fs::path parent = fs::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  if (!exists(folder)) throw Error(ErrorCode::kIo, path, "cannot be written: there is no folder " + folder);
  if (access(folder.c_str(), W_OK) != 0) {
    throw Error(ErrorCode::kIo, path, "cannot be written: the folder " + folder + " is not writable");
  }
}

void save(const std::string& path, std::span<const std::uint8_t> bytes) {
  std::error_code ignored;
  if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored)) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) {
      throw Error(ErrorCode::kIo, path, "could not be written; is there space left?");
    }
    return;
  }
  write_file(path, bytes);
}

std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

std::string fixed(double number, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, number);
  return text;
}

std::string short_number(double number) {
  char text[64];
  std::snprintf(text, sizeof text, "%g", number);
  return text;
}

std::string percent(double share) { return fixed(100 * share, 1) + " %"; }

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  char text[64];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(whole / 3600),
                  static_cast<long long>(whole / 60 % 60), static_cast<long long>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  }
  return text;
}

std::string byte_size(std::int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (bytes < 1000) return std::to_string(bytes) + " bytes";
  if (bytes < 1000 * 1000) return fixed(number / 1e3, 1) + " KB";
  return fixed(number / 1e6, 1) + " MB";
}

std::string quoted(const std::string& argument) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) || std::string_view("-_./:,=@%+").find(c) != std::string_view::npos;
  };
  if (!argument.empty() && std::all_of(argument.begin(), argument.end(), plain)) return argument;
  std::string text = "'";
  for (const char c : argument) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string dump(const nlohmann::json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace espalier::cli
