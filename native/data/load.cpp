#include "data/load.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>

#include "core/error.h"

namespace espalier {
namespace {

[[noreturn]] void fail(const std::string& file, const std::string& message) {
  throw Error(ErrorCode::kData, file, message);
}

constexpr int kMaxExtent = 4096;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 31;

std::string bytes_text(std::size_t count) { return std::to_string(count) + " bytes"; }

// A file's header, checked against its length: dimensions and where the values start.
struct Idx {
  std::vector<std::int64_t> dimensions;
  std::span<const std::uint8_t> values;
};

Idx parse_idx(const NamedBytes& file) {
  const auto bytes = file.bytes;
  if (bytes.empty()) fail(file.name, "is empty; an IDX file starts with a header of 8 bytes or more");
  if (bytes.size() >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B) {
    fail(file.name, "is still gzipped; unpack it first");
  }
  if (bytes.size() < 4) {
    fail(file.name, "is cut off in the header: it has " + bytes_text(bytes.size()) + "; download it again");
  }
  if (bytes[0] != 0 || bytes[1] != 0) {
    std::string magic;
    for (int i = 0; i < 4; ++i) {
      constexpr char kHex[] = "0123456789abcdef";
      magic += kHex[bytes[static_cast<std::size_t>(i)] >> 4];
      magic += kHex[bytes[static_cast<std::size_t>(i)] & 15];
    }
    fail(file.name, "is not an IDX file: it starts with 0x" + magic +
                        ", and IDX images start with 0x00000803, labels with 0x00000801");
  }
  if (bytes[2] != 0x08) {
    fail(file.name,
         "holds IDX values of type " + std::to_string(bytes[2]) + "; only bytes (type 8) are read");
  }
  const std::size_t count = bytes[3];
  if (count < 1 || count > 4) {
    fail(file.name, "has " + std::to_string(count) + " dimensions; labels have 1, images 3 or 4");
  }
  if (bytes.size() < 4 + 4 * count) {
    fail(file.name, "is cut off in the header: it has " + bytes_text(bytes.size()) + " of " +
                        bytes_text(4 + 4 * count) + "; download it again");
  }
  Idx idx;
  std::int64_t size = 1;
  for (std::size_t d = 0; d < count; ++d) {
    std::int64_t extent = 0;
    for (std::size_t i = 0; i < 4; ++i) extent = extent * 256 + bytes[4 + 4 * d + i];
    idx.dimensions.push_back(extent);
    if (d > 0 && (extent < 1 || extent > kMaxExtent)) {
      fail(file.name, "says that dimension " + std::to_string(d + 1) + " is " + std::to_string(extent) +
                          "; from 1 to " + std::to_string(kMaxExtent) + " is possible");
    }
    if (extent > 0 && size > kMaxBytes / extent) {
      fail(file.name,
           "says that it holds more than " + std::to_string(kMaxBytes) + " values; its header is damaged");
    }
    size *= extent;
  }
  idx.values = bytes.subspan(4 + 4 * count);
  const auto expected = static_cast<std::size_t>(size);
  if (idx.values.size() < expected) {
    fail(file.name, "is cut off: its header promises " + std::to_string(idx.dimensions[0]) + " items in " +
                        bytes_text(expected) + ", but only " + bytes_text(idx.values.size()) +
                        " follow; download it again");
  }
  if (idx.values.size() > expected) {
    fail(file.name, "has " + bytes_text(idx.values.size() - expected) + " behind the " +
                        std::to_string(idx.dimensions[0]) +
                        " items that its header counts; the count is wrong");
  }
  return idx;
}

struct Images {
  int channels = 1;
  int height = 0;
  int width = 0;
  Split split;
};

Images load_idx_pair(const NamedBytes& image_file, const NamedBytes& label_file) {
  const Idx images = parse_idx(image_file);
  const Idx labels = parse_idx(label_file);
  if (images.dimensions.size() < 3) {
    fail(image_file.name,
         images.dimensions.size() == 1
             ? "holds labels (1 dimension), but images are needed here; are two files swapped?"
             : "has 2 dimensions; images have 3 (count, height, width) or 4");
  }
  if (labels.dimensions.size() != 1) {
    fail(label_file.name, "has " + std::to_string(labels.dimensions.size()) +
                              " dimensions, but labels have 1; are two files swapped?");
  }
  if (images.dimensions[0] == 0) fail(image_file.name, "has 0 images; there is nothing to learn from");
  if (images.dimensions[0] != labels.dimensions[0]) {
    fail(label_file.name, "has " + std::to_string(labels.dimensions[0]) + " labels for the " +
                              std::to_string(images.dimensions[0]) + " images of " + image_file.name +
                              "; the two files do not belong together");
  }
  const bool channels = images.dimensions.size() == 4;
  Images result{.channels = channels ? static_cast<int>(images.dimensions[1]) : 1,
                .height = static_cast<int>(images.dimensions[channels ? 2 : 1]),
                .width = static_cast<int>(images.dimensions[channels ? 3 : 2])};
  result.split.images.assign(images.values.begin(), images.values.end());
  result.split.labels.assign(labels.values.begin(), labels.values.end());
  return result;
}

// Every `every`-th image of each class moves to the test split.
void split_test(Dataset& dataset, int every) {
  const auto size = static_cast<std::size_t>(dataset.image_size());
  std::map<std::uint16_t, int> seen;
  Split kept;
  for (std::size_t i = 0; i < dataset.train.labels.size(); ++i) {
    const std::uint16_t label = dataset.train.labels[i];
    Split& to = ++seen[label] % every == 0 ? dataset.test : kept;
    const auto at = dataset.train.images.begin() + static_cast<std::ptrdiff_t>(i * size);
    to.images.insert(to.images.end(), at, at + static_cast<std::ptrdiff_t>(size));
    to.labels.push_back(label);
  }
  dataset.train = std::move(kept);
}

constexpr int kTestShare = 6;

}  // namespace

namespace {

// Integer sums: exact in any order, so eight pixels at once.
struct Sums {
  std::uint64_t values = 0;
  std::uint64_t squares = 0;

  void add(std::span<const std::uint8_t> pixels) {
    // What eight sums of 32 bits can hold.
    constexpr std::size_t kPiece = 8 * 65536;
    for (; pixels.size() > kPiece; pixels = pixels.subspan(kPiece)) add_piece(pixels.first(kPiece));
    add_piece(pixels);
  }

 private:
  using Bytes __attribute__((vector_size(8))) = std::uint8_t;
  using Words __attribute__((vector_size(32))) = std::uint32_t;

  void add_piece(std::span<const std::uint8_t> pixels) {
    Words value_sums{}, square_sums{};
    while (!pixels.empty()) {
      const std::size_t count = std::min(pixels.size(), sizeof(Bytes));
      Bytes bytes{};
      std::memcpy(&bytes, pixels.data(), count);
      const Words words = __builtin_convertvector(bytes, Words);
      value_sums += words;
      square_sums += words * words;
      pixels = pixels.subspan(count);
    }
    for (int i = 0; i < 8; ++i) {
      values += value_sums[i];
      squares += square_sums[i];
    }
  }
};

}  // namespace

PixelStatistics pixel_statistics(const Dataset& dataset) {
  PixelStatistics statistics;
  const auto pixels = static_cast<std::size_t>(dataset.height * dataset.width);
  const auto count = static_cast<double>(dataset.train.labels.size() * pixels);
  for (std::size_t c = 0; c < static_cast<std::size_t>(dataset.channels); ++c) {
    Sums sums;
    for (std::size_t i = 0; i < dataset.train.labels.size(); ++i) {
      sums.add({dataset.train.images.data() + (i * static_cast<std::size_t>(dataset.channels) + c) * pixels,
                pixels});
    }
    const double mean = static_cast<double>(sums.values) / count;
    const double variance = static_cast<double>(sums.squares) / count - mean * mean;
    statistics.mean.push_back(mean / 255);
    // A blank channel has nothing to scale.
    statistics.standard_deviation.push_back(variance > 1e-6 ? std::sqrt(variance) / 255 : 1);
  }
  return statistics;
}

void split_validation(Dataset& dataset, int count) {
  const int total = dataset.train.count();
  if (count == kDefaultValidation) count = std::min(total / 12, 5000);
  if (count < 0 || count >= total) {
    fail(dataset.name, "has " + std::to_string(total) + " training images, so " + std::to_string(count) +
                           " cannot be put aside for validation");
  }
  const auto size = static_cast<std::ptrdiff_t>(dataset.image_size());
  auto& train = dataset.train;
  dataset.validation.images.assign(train.images.end() - count * size, train.images.end());
  dataset.validation.labels.assign(train.labels.end() - count, train.labels.end());
  train.images.resize(train.images.size() - static_cast<std::size_t>(count * size));
  train.labels.resize(train.labels.size() - static_cast<std::size_t>(count));
}

Dataset load_idx(const NamedBytes& train_images, const NamedBytes& train_labels,
                 const NamedBytes& test_images, const NamedBytes& test_labels) {
  Images train = load_idx_pair(train_images, train_labels);
  Dataset dataset{.name = train_images.name,
                  .channels = train.channels,
                  .height = train.height,
                  .width = train.width,
                  .train = std::move(train.split)};
  if (!test_images.bytes.empty() || !test_labels.bytes.empty()) {
    Images test = load_idx_pair(test_images, test_labels);
    if (test.channels != dataset.channels || test.height != dataset.height || test.width != dataset.width) {
      fail(test_images.name, "has images of " + std::to_string(test.channels) + "x" +
                                 std::to_string(test.height) + "x" + std::to_string(test.width) +
                                 ", but those of " + train_images.name + " are " +
                                 std::to_string(dataset.channels) + "x" + std::to_string(dataset.height) +
                                 "x" + std::to_string(dataset.width) + "; the two do not belong together");
    }
    dataset.test = std::move(test.split);
  } else {
    split_test(dataset, kTestShare);
  }

  // Classes are the labels from the smallest (0 or 1) to the largest one.
  const auto [low, high] = std::minmax_element(dataset.train.labels.begin(), dataset.train.labels.end());
  const int first = *low == 0 ? 0 : 1;
  const int classes = *high - first + 1;
  if (classes < 2) fail(train_labels.name, "has only one class; a classifier needs two or more");
  for (auto* split : {&dataset.train, &dataset.test}) {
    for (std::uint16_t& label : split->labels) {
      if (label < first || label > *high) {
        fail(test_labels.name, "has the label " + std::to_string(label) + ", which no training image has");
      }
    }
  }
  for (auto* split : {&dataset.train, &dataset.test}) {
    for (std::uint16_t& label : split->labels) label = static_cast<std::uint16_t>(label - first);
  }
  // EMNIST letters count from 1.
  const bool letters = first == 1 && classes == 26;
  for (int c = 0; c < classes; ++c) {
    dataset.class_names.push_back(letters ? std::string(1, static_cast<char>('a' + c))
                                          : std::to_string(c + first));
  }
  split_validation(dataset);
  return dataset;
}

Dataset load_cifar10(std::span<const NamedBytes> train_batches, const NamedBytes& test_batch) {
  constexpr std::size_t kImage = 3 * 32 * 32, kRecord = 1 + kImage;
  Dataset dataset{.name = "CIFAR-10",
                  .channels = 3,
                  .height = 32,
                  .width = 32,
                  .class_names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse",
                                  "ship", "truck"}};
  const auto append = [&](const NamedBytes& file, Split& split) {
    if (file.bytes.empty()) fail(file.name, "is empty; a CIFAR-10 batch has records of 3073 bytes");
    if (file.bytes.size() % kRecord != 0) {
      fail(file.name, "has " + bytes_text(file.bytes.size()) +
                          ", which is no multiple of 3073 (a label and 3x32x32 pixels); it is cut off or not "
                          "CIFAR-10's binary version");
    }
    for (std::size_t at = 0; at < file.bytes.size(); at += kRecord) {
      if (file.bytes[at] > 9) {
        fail(file.name, "has the label " + std::to_string(file.bytes[at]) + " in record " +
                            std::to_string(at / kRecord) + "; CIFAR-10 has 0 to 9");
      }
      split.labels.push_back(file.bytes[at]);
      const auto image = file.bytes.subspan(at + 1, kImage);
      split.images.insert(split.images.end(), image.begin(), image.end());
    }
  };
  for (const NamedBytes& batch : train_batches) append(batch, dataset.train);
  if (test_batch.bytes.empty()) {
    split_test(dataset, kTestShare);
  } else {
    append(test_batch, dataset.test);
  }
  split_validation(dataset);
  return dataset;
}

Dataset load_images(std::string name, std::vector<std::string> class_names, int channels, int height,
                    int width, std::span<const std::uint8_t> images, std::span<const std::uint16_t> labels) {
  Dataset dataset{.name = std::move(name),
                  .channels = channels,
                  .height = height,
                  .width = width,
                  .class_names = std::move(class_names)};
  if (dataset.classes() < 2) fail(dataset.name, "has only one class; a classifier needs two or more");
  if (channels < 1 || height < 1 || width < 1 || channels > 1024 || height > kMaxExtent ||
      width > kMaxExtent) {
    fail(dataset.name, "has images of an impossible size");
  }
  if (labels.empty()) fail(dataset.name, "has 0 images; there is nothing to learn from");
  if (images.size() != labels.size() * static_cast<std::size_t>(dataset.image_size())) {
    fail(dataset.name, "has " + bytes_text(images.size()) + " of pixels for " +
                           std::to_string(labels.size()) + " labels; " +
                           bytes_text(labels.size() * static_cast<std::size_t>(dataset.image_size())) +
                           " are needed");
  }
  for (const std::uint16_t label : labels) {
    if (label >= dataset.classes()) {
      fail(dataset.name, "has the label " + std::to_string(label) + ", but only " +
                             std::to_string(dataset.classes()) + " classes");
    }
  }
  dataset.train.images.assign(images.begin(), images.end());
  dataset.train.labels.assign(labels.begin(), labels.end());
  split_test(dataset, kTestShare);
  // The images may come class by class; validation takes the same share of each.
  std::swap(dataset.test, dataset.validation);
  split_test(dataset, kTestShare);
  std::swap(dataset.test, dataset.validation);
  return dataset;
}

void transpose_images(Dataset& dataset) {
  const auto height = static_cast<std::size_t>(dataset.height),
             width = static_cast<std::size_t>(dataset.width);
  std::vector<std::uint8_t> plane(height * width);
  for (Split* split : {&dataset.train, &dataset.validation, &dataset.test}) {
    for (std::size_t at = 0; at < split->images.size(); at += plane.size()) {
      std::copy_n(split->images.begin() + static_cast<std::ptrdiff_t>(at), plane.size(), plane.begin());
      for (std::size_t y = 0; y < height; ++y) {
        for (std::size_t x = 0; x < width; ++x) split->images[at + x * height + y] = plane[y * width + x];
      }
    }
  }
  std::swap(dataset.height, dataset.width);
}

namespace {

std::vector<std::uint8_t> idx_header(std::initializer_list<std::size_t> dimensions) {
  std::vector<std::uint8_t> bytes{0, 0, 8, static_cast<std::uint8_t>(dimensions.size())};
  for (const std::size_t extent : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(extent >> shift));
  }
  return bytes;
}

}  // namespace

std::vector<std::uint8_t> write_idx_images(const Split& split, int channels, int height, int width) {
  const auto c = static_cast<std::size_t>(channels), h = static_cast<std::size_t>(height),
             w = static_cast<std::size_t>(width);
  std::vector<std::uint8_t> bytes =
      channels == 1 ? idx_header({split.labels.size(), h, w}) : idx_header({split.labels.size(), c, h, w});
  bytes.insert(bytes.end(), split.images.begin(), split.images.end());
  return bytes;
}

std::vector<std::uint8_t> write_idx_labels(const Split& split) {
  std::vector<std::uint8_t> bytes = idx_header({split.labels.size()});
  for (const std::uint16_t label : split.labels) bytes.push_back(static_cast<std::uint8_t>(label));
  return bytes;
}

}  // namespace espalier
