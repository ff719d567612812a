// Files and folders: what a path given to --data can be. Native only.
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "core/error.h"
#include "data/digits.h"
#include "data/load.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_io(const std::string& path, const std::string& message) {
  throw Error(ErrorCode::kIo, path, message);
}
[[noreturn]] void fail_data(const std::string& path, const std::string& message) {
  throw Error(ErrorCode::kData, path, message);
}

std::string system_message() { return std::strerror(errno); }

std::vector<std::uint8_t> read_plain(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || fs::is_directory(path)) {
    fail_io(path, fs::exists(path) ? "cannot be read; is it a file that you may open?" : "does not exist");
  }
  std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) fail_io(path, "could not be read to its end: " + system_message());
  return bytes;
}

std::vector<std::uint8_t> gunzip(const std::string& path, const std::vector<std::uint8_t>& packed) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) fail_io(path, "could not be unpacked: zlib did not start");
  stream.next_in = const_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  std::vector<std::uint8_t> bytes;
  constexpr std::size_t kMaximum = std::size_t{1} << 31;
  std::array<std::uint8_t, 1 << 16> chunk;
  int status = Z_OK;
  while (status == Z_OK && bytes.size() < kMaximum) {
    stream.next_out = chunk.data();
    stream.avail_out = static_cast<uInt>(chunk.size());
    status = inflate(&stream, Z_NO_FLUSH);
    bytes.insert(bytes.end(), chunk.begin(), chunk.end() - stream.avail_out);
    if (status == Z_STREAM_END && stream.avail_in > 0) status = inflateReset(&stream);
  }
  inflateEnd(&stream);
  if (status == Z_BUF_ERROR) {
    fail_data(path, "is cut off: its gzip data ends early after " + std::to_string(packed.size()) +
                        " bytes; download it again");
  }
  if (status != Z_STREAM_END) fail_data(path, "is damaged: its gzip data does not unpack; download it again");
  return bytes;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

struct File {
  std::string name;
  std::vector<std::uint8_t> bytes;
  NamedBytes view() const { return {name, bytes}; }
};

File load_file(const fs::path& path) { return {path.string(), read_file(path.string())}; }

// The file in `folder` whose name without .gz ends with `ending`, written with - or . before "idx".
std::optional<fs::path> find_idx(const fs::path& folder, std::string_view ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (ends_with(name, ".gz")) name.resize(name.size() - 3);
    if (const auto at = name.rfind(".idx"); at != std::string::npos) name[at] = '-';
    if (ends_with(name, ending)) found.push_back(entry.path());
  }
  if (found.empty()) return std::nullopt;
  std::sort(found.begin(), found.end());  // "x" before "x.gz"
  return found.front();
}

Dataset load_idx_folder(const fs::path& folder, const fs::path& train_images) {
  const auto need = [&](std::string_view ending) {
    const auto path = find_idx(folder, ending);
    if (!path) {
      fail_data(folder.string(), "has " + train_images.filename().string() + ", but no file that ends in " +
                                     std::string(ending) + " (raw or .gz)");
    }
    return load_file(*path);
  };
  const File images = load_file(train_images), labels = need("train-labels-idx1-ubyte");
  const bool letters = train_images.filename().string().starts_with("emnist");
  // MNIST calls its test files t10k, EMNIST calls them test.
  const auto test_images_path =
      find_idx(folder, letters ? "test-images-idx3-ubyte" : "t10k-images-idx3-ubyte");
  File test_images, test_labels;
  if (test_images_path) {
    test_images = load_file(*test_images_path);
    test_labels = need(letters ? "test-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte");
  }
  Dataset dataset = load_idx(images.view(), labels.view(), test_images.view(), test_labels.view());
  dataset.name =
      folder.filename().empty() ? folder.parent_path().filename().string() : folder.filename().string();
  if (letters) transpose_images(dataset);
  return dataset;
}

Dataset load_cifar10_folder(const fs::path& folder) {
  std::vector<File> files;
  for (int i = 1; i <= 5; ++i) {
    const fs::path path = folder / ("data_batch_" + std::to_string(i) + ".bin");
    if (fs::exists(path)) files.push_back(load_file(path));
  }
  File test{(folder / "test_batch.bin").string(), {}};
  if (fs::exists(test.name)) test.bytes = read_file(test.name);
  std::vector<NamedBytes> batches;
  for (const File& file : files) batches.push_back(file.view());
  return load_cifar10(batches, test.view());
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with(".")) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<fs::path> class_folders(const fs::path& folder) {
  std::vector<fs::path> folders;
  for (const fs::path& path : sorted_entries(folder)) {
    if (!fs::is_directory(path)) continue;
    const auto files = sorted_entries(path);
    if (std::any_of(files.begin(), files.end(), [](const fs::path& p) { return p.extension() == ".png"; })) {
      folders.push_back(path);
    }
  }
  return folders;
}

struct PngClasses {
  std::vector<std::string> names;
  Image first;  // gives all images their size
  std::vector<std::uint8_t> images;
  std::vector<std::uint16_t> labels;
};

void read_classes(const std::vector<fs::path>& folders, PngClasses& classes) {
  for (const fs::path& folder : folders) {
    const std::string name = folder.filename().string();
    auto at = std::find(classes.names.begin(), classes.names.end(), name);
    if (at == classes.names.end()) at = classes.names.insert(at, name);
    const auto label = static_cast<std::uint16_t>(at - classes.names.begin());
    for (const fs::path& path : sorted_entries(folder)) {
      if (path.extension() != ".png") continue;
      Image image = read_png(path.string(), classes.first.channels);
      if (classes.first.channels == 0) classes.first = image;
      if (image.height != classes.first.height || image.width != classes.first.width) {
        fail_data(path.string(), "is " + std::to_string(image.width) + "x" + std::to_string(image.height) +
                                     " pixels, but the first image is " +
                                     std::to_string(classes.first.width) + "x" +
                                     std::to_string(classes.first.height) + "; all must have one size");
      }
      classes.images.insert(classes.images.end(), image.pixels.begin(), image.pixels.end());
      classes.labels.push_back(label);
    }
  }
}

Dataset load_png_folder(const fs::path& folder) {
  PngClasses classes;
  const bool parts = fs::is_directory(folder / "train");
  read_classes(class_folders(parts ? folder / "train" : folder), classes);
  const std::string name = folder.filename().string();
  Dataset dataset = load_images(name, classes.names, classes.first.channels, classes.first.height,
                                classes.first.width, classes.images, classes.labels);
  if (!parts || !fs::is_directory(folder / "test")) return dataset;

  PngClasses test{.names = classes.names, .first = classes.first};
  read_classes(class_folders(folder / "test"), test);
  if (test.names.size() != classes.names.size()) {
    fail_data((folder / "test").string(),
              "has the class " + test.names.back() + ", which train/ does not have");
  }
  // What load_images put aside for testing is for training after all.
  dataset.train.images.insert(dataset.train.images.end(), dataset.test.images.begin(),
                              dataset.test.images.end());
  dataset.train.labels.insert(dataset.train.labels.end(), dataset.test.labels.begin(),
                              dataset.test.labels.end());
  dataset.test = {std::move(test.images), std::move(test.labels)};
  return dataset;
}

Dataset load_folder(const fs::path& folder) {
  for (const char* ending : {"train-images-idx3-ubyte", "train-images-idx4-ubyte"}) {
    if (const auto images = find_idx(folder, ending)) return load_idx_folder(folder, *images);
  }
  if (fs::exists(folder / "data_batch_1.bin")) return load_cifar10_folder(folder);
  if (!class_folders(folder).empty() || fs::is_directory(folder / "train")) return load_png_folder(folder);
  const auto entries = sorted_entries(folder);
  if (entries.size() == 1 && fs::is_directory(entries.front())) return load_folder(entries.front());
  if (fs::is_directory(folder / "mnist")) return load_folder(folder / "mnist");
  fail_data(
      folder.string(),
      "holds no dataset: neither IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, "
      "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, raw or .gz), nor CIFAR-10's data_batch_1.bin, nor a "
      "folder of PNGs for each class");
}

Dataset load_synthetic(const std::string& source, std::uint64_t seed) {
  int count = 12000;
  if (const auto colon = source.find(':'); colon != std::string::npos) {
    const char* begin = source.data() + colon + 1;
    const char* end = source.data() + source.size();
    const auto [stop, error] = std::from_chars(begin, end, count);
    if (error != std::errc{} || stop != end || count < 24 || count > 1000000) {
      throw Error(ErrorCode::kArgument, source,
                  "needs a number of images from 24 to 1000000 behind the colon");
    }
  }
  return synthetic_digits(count, std::max(count / 6, 10), seed);
}

}  // namespace

std::vector<std::uint8_t> read_file(const std::string& path) {
  std::vector<std::uint8_t> bytes = read_plain(path);
  const bool gzipped = bytes.size() >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B;
  if (!gzipped && ends_with(path, ".gz")) {
    fail_data(path, "is not gzip data although its name ends in .gz; was an error page saved instead?");
  }
  return gzipped ? gunzip(path, bytes) : bytes;
}

void write_file(const std::string& path, std::span<const std::uint8_t> bytes) {
  const std::string beside = path + ".partial-" + std::to_string(getpid());
  const int file = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) fail_io(path, "cannot be written: " + system_message());
  const auto give_up = [&]() {
    const std::string reason = system_message();
    close(file);
    unlink(beside.c_str());
    fail_io(path, "was not written (" + reason + "); the old file, if any, is as it was");
  };
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = write(file, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) give_up();
    done += static_cast<std::size_t>(written);
  }
  if (fsync(file) != 0) give_up();
  if (close(file) != 0 || std::rename(beside.c_str(), path.c_str()) != 0) {
    const std::string reason = system_message();
    unlink(beside.c_str());
    fail_io(path, "was not written (" + reason + "); the old file, if any, is as it was");
  }
}

Dataset load_dataset(const std::string& source, std::uint64_t seed, int validation) {
  const bool synthetic = source == "synthetic" || source.starts_with("synthetic:");
  if (!synthetic && !fs::exists(source)) {
    fail_io(source, "does not exist; --data takes a folder or synthetic[:N]");
  }
  if (!synthetic && !fs::is_directory(source)) {
    fail_io(source, "is a file, but --data takes the folder that holds the dataset's files");
  }
  Dataset dataset = synthetic ? load_synthetic(source, seed) : load_folder(source);
  if (validation != kDefaultValidation) {
    Split& held = dataset.validation;
    dataset.train.images.insert(dataset.train.images.end(), held.images.begin(), held.images.end());
    dataset.train.labels.insert(dataset.train.labels.end(), held.labels.begin(), held.labels.end());
    held = {};
    split_validation(dataset, validation);
  }
  return dataset;
}

}  // namespace espalier
