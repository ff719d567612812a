// Datasets from bytes and from folders. Everything that is wrong is Error{kData} whose `where`
// names the file and whose message says what was found, what was expected and what to do.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/named_bytes.h"
#include "data/dataset.h"

namespace espalier {

// Four IDX files (Y. LeCun's format). Images: type 0x08, 3 dimensions (count, height, width) or 4
// (count, channels, height, width). Labels: type 0x08, 1 dimension, any number of classes up to
// 256 (the smallest label may be 1, as in EMNIST letters). Test files may be empty spans: then
// the last sixth of the training images becomes the test split.
Dataset load_idx(const NamedBytes& train_images, const NamedBytes& train_labels,
                 const NamedBytes& test_images, const NamedBytes& test_labels);

// CIFAR-10's binary batches: records of a label byte and 3 x 32 x 32 bytes.
Dataset load_cifar10(std::span<const NamedBytes> train_batches, const NamedBytes& test_batch);

// Images already decoded to bytes, one after the other, with one label each (what the page makes
// of a dropped folder). Every sixth image of each class becomes the test split.
Dataset load_images(std::string name, std::vector<std::string> class_names, int channels, int height,
                    int width, std::span<const std::uint8_t> images, std::span<const std::uint16_t> labels);

// EMNIST stores its images transposed: undoes it.
void transpose_images(Dataset& dataset);

// Writes IDX files' bytes.
std::vector<std::uint8_t> write_idx_images(const Split& split, int channels, int height, int width);
std::vector<std::uint8_t> write_idx_labels(const Split& split);

#ifndef __EMSCRIPTEN__
// `--data`: "synthetic[:N]", a folder of IDX files (raw or .gz; the names of MNIST, Fashion-MNIST,
// KMNIST, EMNIST), of CIFAR-10's binary batches, or of one folder of PNGs per class (optionally
// below train/ and test/). `validation` as in split_validation. Native only.
Dataset load_dataset(const std::string& source, std::uint64_t seed, int validation = kDefaultValidation);

// A file's bytes, gunzipped when it starts with gzip's magic. Error{kIo}/{kData}.
std::vector<std::uint8_t> read_file(const std::string& path);

// Writes beside and renames, so that an old file is never lost. Error{kIo} names the path.
void write_file(const std::string& path, std::span<const std::uint8_t> bytes);

// A PNG as bytes [channels][height][width], grey (1) or RGB (3); channels = 0 keeps the file's own.
struct Image {
  int channels = 0;
  int height = 0;
  int width = 0;
  std::vector<std::uint8_t> pixels;
};
Image read_png(const std::string& path, int channels);
#endif

}  // namespace espalier
