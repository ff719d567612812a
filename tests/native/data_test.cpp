// Datasets from bytes and folders, good and bad; every bad one with its sentence.
#include <gtest/gtest.h>
#include <png.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "core/error.h"
#include "data/load.h"
#include "test_data.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Split numbered(int count, int size, int classes = 10) {
  Split split;
  for (int i = 0; i < count; ++i) {
    for (int p = 0; p < size; ++p) split.images.push_back(static_cast<std::uint8_t>(i * 7 + p));
    split.labels.push_back(static_cast<std::uint16_t>(i % classes));
  }
  return split;
}

Bytes images_file(int count = 120) { return write_idx_images(numbered(count, 12), 1, 4, 3); }
Bytes labels_file(int count = 120) { return write_idx_labels(numbered(count, 12)); }

Dataset load(const Bytes& images, const Bytes& labels, const Bytes& test_images = {},
             const Bytes& test_labels = {}) {
  return load_idx({"images", images}, {"labels", labels}, {"test-images", test_images},
                  {"test-labels", test_labels});
}

TEST(Idx, reads_images_labels_and_splits) {
  const Dataset dataset = load(images_file(), labels_file(), images_file(20), labels_file(20));
  EXPECT_EQ(dataset.train.count(), 110);
  EXPECT_EQ(dataset.validation.count(), 10);
  EXPECT_EQ(dataset.test.count(), 20);
  EXPECT_EQ(dataset.height, 4);
  EXPECT_EQ(dataset.width, 3);
  EXPECT_EQ(dataset.classes(), 10);
  const Split all = numbered(120, 12);
  EXPECT_TRUE(std::equal(dataset.train.images.begin(), dataset.train.images.end(), all.images.begin()));
  EXPECT_TRUE(
      std::equal(dataset.validation.images.begin(), dataset.validation.images.end(), all.images.end() - 120));
}

TEST(Idx, takes_every_sixth_of_a_class_for_testing_when_there_are_no_test_files) {
  const Dataset dataset = load(images_file(), labels_file());
  EXPECT_EQ(dataset.test.count(), 20);
  EXPECT_EQ(dataset.train.count() + dataset.validation.count(), 100);
}

TEST(Idx, counts_letters_from_one) {
  Split split = numbered(260, 12, 26);
  for (std::uint16_t& label : split.labels) ++label;
  const Dataset dataset = load(write_idx_images(split, 1, 4, 3), write_idx_labels(split));
  EXPECT_EQ(dataset.classes(), 26);
  EXPECT_EQ(dataset.class_names.front(), "a");
  EXPECT_EQ(dataset.train.labels.front(), 0);
}

TEST(Idx, reads_colour_images_of_four_dimensions) {
  const Dataset dataset =
      load(write_idx_images(numbered(60, 24), 2, 4, 3), write_idx_labels(numbered(60, 24)));
  EXPECT_EQ(dataset.channels, 2);
}

TEST(Idx, truncated_images_name_the_file_and_both_counts) {
  Bytes images = images_file();
  images.resize(images.size() - 5);
  EXPECT_EQ(message_of([&] { load(images, labels_file()); }),
            "images: is cut off: its header promises 120 items in 1440 bytes, but only 1435 bytes follow; "
            "download it again");
}

TEST(Idx, every_truncation_is_an_error) {
  const Bytes images = images_file(), labels = labels_file();
  for (std::size_t size = 0; size < images.size(); ++size) {
    const Bytes cut(images.begin(), images.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(message_of([&] { load(cut, labels); }).find("images: "), std::string::npos) << size;
  }
}

TEST(Idx, a_wrong_magic_number_is_shown) {
  Bytes images = images_file();
  images[0] = 0x89;
  images[1] = 0x50;
  EXPECT_EQ(message_of([&] { load(images, labels_file()); }),
            "images: is not an IDX file: it starts with 0x89500803, and IDX images start with 0x00000803, "
            "labels with 0x00000801");
}

TEST(Idx, another_value_type_is_named) {
  Bytes images = images_file();
  images[2] = 0x0D;
  EXPECT_EQ(message_of([&] { load(images, labels_file()); }),
            "images: holds IDX values of type 13; only bytes (type 8) are read");
}

TEST(Idx, more_values_than_counted_are_an_error) {
  Bytes images = images_file();
  images.push_back(0);
  EXPECT_EQ(message_of([&] { load(images, labels_file()); }),
            "images: has 1 bytes behind the 120 items that its header counts; the count is wrong");
}

TEST(Idx, a_hostile_header_allocates_nothing) {
  Bytes images = images_file();
  for (std::size_t i = 8; i < 16; ++i) images[i] = 0xFF;
  EXPECT_NE(
      message_of([&] { load(images, labels_file()); }).find("images: says that dimension 2 is 4294967295"),
      std::string::npos);
}

TEST(Idx, images_and_labels_of_different_lengths_name_both) {
  EXPECT_EQ(message_of([&] { load(images_file(120), labels_file(119)); }),
            "labels: has 119 labels for the 120 images of images; the two files do not belong together");
}

TEST(Idx, swapped_files_are_recognised) {
  EXPECT_EQ(message_of([&] { load(labels_file(), images_file()); }),
            "images: holds labels (1 dimension), but images are needed here; are two files swapped?");
}

TEST(Idx, no_images_are_an_error) {
  EXPECT_EQ(message_of([&] { load(images_file(0), labels_file(0)); }),
            "images: has 0 images; there is nothing to learn from");
}

TEST(Idx, test_images_of_another_size_are_an_error) {
  EXPECT_EQ(
      message_of([&] {
        load(images_file(), labels_file(), write_idx_images(numbered(5, 20), 1, 4, 5), labels_file(5));
      }),
      "test-images: has images of 1x4x5, but those of images are 1x4x3; the two do not belong together");
}

TEST(Idx, a_test_label_that_training_never_saw_is_an_error) {
  Split test = numbered(5, 12);
  test.labels[3] = 77;
  EXPECT_EQ(message_of([&] {
              load(images_file(), labels_file(), write_idx_images(test, 1, 4, 3), write_idx_labels(test));
            }),
            "test-labels: has the label 77, which no training image has");
}

TEST(Cifar10, reads_records_and_refuses_broken_ones) {
  Bytes batch;
  for (int i = 0; i < 60; ++i) {
    batch.push_back(static_cast<std::uint8_t>(i % 10));
    batch.insert(batch.end(), 3072, static_cast<std::uint8_t>(i));
  }
  const NamedBytes batches[] = {{"data_batch_1.bin", batch}};
  const Dataset dataset = load_cifar10(batches, {"test_batch.bin", batch});
  EXPECT_EQ(dataset.test.count(), 60);
  EXPECT_EQ(dataset.train.count(), 55);
  EXPECT_EQ(dataset.class_names[8], "ship");
  Bytes cut = batch;
  cut.pop_back();
  EXPECT_NE(message_of([&] {
              load_cifar10(batches, {"test_batch.bin", cut});
            }).find("test_batch.bin: has 184379 bytes, which is no multiple of 3073"),
            std::string::npos);
  cut = batch;
  cut[0] = 10;
  EXPECT_EQ(message_of([&] { load_cifar10(batches, {"test_batch.bin", cut}); }),
            "test_batch.bin: has the label 10 in record 0; CIFAR-10 has 0 to 9");
}

TEST(Images, every_class_gives_its_share_to_validation_and_test) {
  const Split split = numbered(144, 12, 2);
  const Dataset dataset = load_images("mine", {"cat", "dog"}, 1, 4, 3, split.images, split.labels);
  EXPECT_EQ(dataset.test.count(), 24);
  EXPECT_EQ(dataset.validation.count(), 20);
  EXPECT_EQ(dataset.train.count(), 100);
  EXPECT_EQ(std::count(dataset.test.labels.begin(), dataset.test.labels.end(), 1), 12);
}

TEST(Images, transposing_twice_changes_nothing) {
  Dataset dataset = load(images_file(), labels_file());
  const auto before = dataset.train.images;
  transpose_images(dataset);
  EXPECT_EQ(dataset.height, 3);
  EXPECT_EQ(dataset.train.images[1], before[3]);
  transpose_images(dataset);
  EXPECT_EQ(dataset.train.images, before);
}

TEST(Statistics, are_those_of_the_training_pixels) {
  Dataset dataset{.name = "x", .channels = 1, .height = 1, .width = 2, .class_names = {"0", "1"}};
  dataset.train = {{0, 255, 255, 0}, {0, 1}};
  const PixelStatistics statistics = pixel_statistics(dataset);
  EXPECT_DOUBLE_EQ(statistics.mean[0], 0.5);
  EXPECT_DOUBLE_EQ(statistics.standard_deviation[0], 0.5);
}

class Folder : public ::testing::Test {
 protected:
  const fs::path path_ = fs::temp_directory_path() / ("espalier-data-test-" + std::to_string(::getpid()));
  void SetUp() override { fs::create_directories(path_); }
  void TearDown() override { fs::remove_all(path_); }
  void write(const std::string& name, const Bytes& bytes) { write_file((path_ / name).string(), bytes); }
  void write_gz(const std::string& name, const Bytes& bytes) {
    gzFile file = gzopen((path_ / name).c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
  }
  void write_mnist() {
    write_gz("train-images-idx3-ubyte.gz", images_file());
    write_gz("train-labels-idx1-ubyte.gz", labels_file());
    write("t10k-images.idx3-ubyte", images_file(20));
    write("t10k-labels.idx1-ubyte", labels_file(20));
  }
  std::string load_message() {
    return message_of([&] { load_dataset(path_.string(), 1); });
  }
};

TEST_F(Folder, of_idx_files_loads_raw_and_gzipped_under_either_name) {
  write_mnist();
  const Dataset dataset = load_dataset(path_.string(), 1);
  EXPECT_EQ(dataset.train.count(), 110);
  EXPECT_EQ(dataset.test.count(), 20);
  EXPECT_EQ(dataset.name, path_.filename());
  EXPECT_EQ(load_dataset(path_.string(), 1, 30).validation.count(), 30);
}

TEST_F(Folder, missing_labels_are_named) {
  write_mnist();
  fs::remove(path_ / "t10k-labels.idx1-ubyte");
  EXPECT_NE(load_message().find("but no file that ends in t10k-labels-idx1-ubyte (raw or .gz)"),
            std::string::npos);
}

TEST_F(Folder, a_file_that_is_not_gzip_is_told) {
  write_mnist();
  write("train-images-idx3-ubyte.gz", {'<', 'h', 't', 'm', 'l', '>'});
  EXPECT_EQ(load_message(),
            (path_ / "train-images-idx3-ubyte.gz").string() +
                ": is not gzip data although its name ends in .gz; was an error page saved instead?");
}

TEST_F(Folder, cut_and_damaged_gzip_files_are_told) {
  write_mnist();
  const fs::path file = path_ / "train-images-idx3-ubyte.gz";
  const auto size = fs::file_size(file);
  fs::resize_file(file, size / 2);
  EXPECT_NE(load_message().find("train-images-idx3-ubyte.gz: is cut off: its gzip data ends early"),
            std::string::npos);
  write_mnist();
  {
    std::fstream damaged(file, std::ios::binary | std::ios::in | std::ios::out);
    damaged.seekp(20);
    damaged.write("\xff\xff\xff\xff\xff\xff", 6);
  }
  EXPECT_NE(load_message().find("train-images-idx3-ubyte.gz: is damaged"), std::string::npos);
}

TEST_F(Folder, without_data_says_what_is_expected) {
  EXPECT_NE(load_message().find("holds no dataset: neither IDX files (train-images-idx3-ubyte"),
            std::string::npos);
  EXPECT_NE(message_of([&] {
              load_dataset((path_ / "none").string(), 1);
            }).find("does not exist; --data takes a folder or synthetic[:N]"),
            std::string::npos);
}

TEST_F(Folder, around_another_folder_is_seen_through) {
  fs::create_directories(path_ / "mnist");
  write("mnist/train-images-idx3-ubyte", images_file());
  write("mnist/train-labels-idx1-ubyte", labels_file());
  EXPECT_EQ(load_dataset(path_.string(), 1).name, "mnist");
}

void write_png(const fs::path& path, std::uint8_t grey, std::uint32_t width = 4) {
  const Bytes pixels(width * 3, grey);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = 3;
  image.format = PNG_FORMAT_GRAY;
  ASSERT_NE(png_image_write_to_file(&image, path.c_str(), 0, pixels.data(), 0, nullptr), 0);
}

TEST_F(Folder, of_pngs_for_each_class_is_a_dataset) {
  for (const char* name : {"cat", "dog"}) {
    fs::create_directories(path_ / name);
    for (int i = 0; i < 12; ++i) {
      write_png(path_ / name / (std::to_string(i) + ".png"), name[0] == 'c' ? 10 : 200);
    }
  }
  const Dataset dataset = load_dataset(path_.string(), 1);
  EXPECT_EQ(dataset.class_names, (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(dataset.channels, 1);
  EXPECT_EQ(dataset.width, 4);
  EXPECT_EQ(dataset.height, 3);
  EXPECT_EQ(dataset.test.count(), 4);
  EXPECT_EQ(dataset.train.count() + dataset.validation.count(), 20);
  for (int i = 0; i < dataset.train.count(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(dataset.train.images[at * 12], dataset.train.labels[at] == 0 ? 10 : 200);
  }
  write_png(path_ / "dog" / "wide.png", 1, 5);
  EXPECT_NE(load_message().find("wide.png: is 5x3 pixels, but the first image is 4x3"), std::string::npos);
  write("dog/wide.png", {'n', 'o'});
  EXPECT_NE(load_message().find("wide.png: is no PNG that can be read"), std::string::npos);
}

TEST_F(Folder, of_emnist_letters_is_turned_upright) {
  Split split = numbered(260, 12, 26);
  for (std::uint16_t& label : split.labels) ++label;
  for (const char* part : {"train", "test"}) {
    const std::string name = std::string("emnist-letters-") + part;
    write_gz(name + "-images-idx3-ubyte.gz", write_idx_images(split, 1, 4, 3));
    write_gz(name + "-labels-idx1-ubyte.gz", write_idx_labels(split));
  }
  const Dataset dataset = load_dataset(path_.string(), 1);
  EXPECT_EQ(dataset.height, 3);
  EXPECT_EQ(dataset.width, 4);
  EXPECT_EQ(dataset.test.count(), 260);
  EXPECT_EQ(dataset.test.images[1], split.images[3]);
  EXPECT_EQ(dataset.class_names.back(), "z");
}

TEST_F(Folder, of_cifar10_batches_is_a_dataset) {
  Bytes batch;
  for (int i = 0; i < 60; ++i) {
    batch.push_back(static_cast<std::uint8_t>(i % 10));
    batch.insert(batch.end(), 3072, static_cast<std::uint8_t>(i));
  }
  write("data_batch_1.bin", batch);
  write("data_batch_2.bin", batch);
  write("test_batch.bin", batch);
  const Dataset dataset = load_dataset(path_.string(), 1);
  EXPECT_EQ(dataset.channels, 3);
  EXPECT_EQ(dataset.train.count() + dataset.validation.count(), 120);
  EXPECT_EQ(dataset.test.count(), 60);
}

TEST_F(Folder, writing_where_it_is_impossible_is_told_and_keeps_other_files) {
  write("model", {1, 2, 3});
  // The file beside cannot be made in a folder that is not there.
  EXPECT_NE(
      message_of([&] { write("missing/model", {4}); }).find("cannot be written: No such file or directory"),
      std::string::npos);
  EXPECT_EQ(read_file((path_ / "model").string()), (Bytes{1, 2, 3}));
}

TEST(RealMnistFiles, have_their_counts_and_statistics) {
  const std::string folder = real_data_folder();
  if (folder.empty()) GTEST_SKIP() << "no real MNIST: set ESPALIER_DATA";
  const Dataset dataset = load_dataset(folder + "/mnist", 1);
  EXPECT_EQ(dataset.train.count(), 55000);
  EXPECT_EQ(dataset.validation.count(), 5000);
  EXPECT_EQ(dataset.test.count(), 10000);
  EXPECT_EQ(dataset.test.labels[0], 7);
  const PixelStatistics statistics = pixel_statistics(dataset);
  EXPECT_NEAR(statistics.mean[0], 0.1307, 0.0005);
  EXPECT_NEAR(statistics.standard_deviation[0], 0.3081, 0.0005);
}

}  // namespace
}  // namespace espalier
