#include "data/subset.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/random.h"

namespace espalier {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::kArgument, "classes", message); }

constexpr int kMostClasses = 65536;

// A whole number at the front of `text`, which is shortened by it; -1: there is none.
int take_number(std::string_view& text) {
  int number = -1;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    number = std::min(std::max(number, 0) * 10 + (text[0] - '0'), kMostClasses);
    text.remove_prefix(1);
  }
  return number;
}

// "0, 1, 2" or, where classes have names of their own, "0 (shirt), 1 (shoe)".
std::string classes_of(const Dataset& dataset) {
  constexpr int kMost = 64;
  std::string text;
  for (int label = 0; label < std::min(dataset.classes(), kMost); ++label) {
    const std::string number = std::to_string(label);
    const std::string& name = dataset.class_names[static_cast<std::size_t>(label)];
    text += (text.empty() ? "" : ", ") + number;
    if (name != number) text += " (" + name + ")";
  }
  return dataset.classes() > kMost ? text + ", …" : text;
}

// Images whose place in the split has keep[i], with labels mapped; order stays.
void keep_images(Split& split, std::size_t image_size, const std::vector<bool>& keep,
                 std::span<const int> new_label) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < keep.size(); ++i) {
    if (!keep[i]) continue;
    std::copy_n(split.images.begin() + static_cast<std::ptrdiff_t>(i * image_size), image_size,
                split.images.begin() + static_cast<std::ptrdiff_t>(kept * image_size));
    split.labels[kept++] = static_cast<std::uint16_t>(new_label[split.labels[i]]);
  }
  split.images.resize(kept * image_size);
  split.images.shrink_to_fit();
  split.labels.resize(kept);
}

std::vector<std::vector<std::uint32_t>> training_images_by_class(const Dataset& dataset) {
  std::vector<std::vector<std::uint32_t>> images(dataset.class_names.size());
  for (std::size_t i = 0; i < dataset.train.labels.size(); ++i) {
    images[dataset.train.labels[i]].push_back(static_cast<std::uint32_t>(i));
  }
  return images;
}

// Keeps the first wanted[label] of each class's training images in an order that the seed shuffles.
void keep_random(Dataset& dataset, std::vector<std::vector<std::uint32_t>> images,
                 std::span<const std::size_t> wanted, std::uint64_t seed) {
  std::vector<bool> keep(dataset.train.labels.size(), false);
  std::vector<int> same_label;
  for (std::size_t label = 0; label < images.size(); ++label) {
    std::vector<std::uint32_t>& order = images[label];
    Random random(seed, RandomStream::kSubset, label);
    for (std::size_t i = 0; i < wanted[label]; ++i) {
      const auto rest = static_cast<std::uint32_t>(order.size() - i);
      std::swap(order[i], order[i + random.below(rest)]);
      keep[order[i]] = true;
    }
    same_label.push_back(static_cast<int>(label));
  }
  keep_images(dataset.train, static_cast<std::size_t>(dataset.image_size()), keep, same_label);
}

}  // namespace

std::vector<int> parse_classes(std::string_view list) {
  std::vector<int> classes;
  std::string_view text = list;
  const auto wrong = [list] {
    fail("must be a list of classes like 0-4,7, found \"" + std::string(list) + "\"");
  };
  while (true) {
    const int first = take_number(text);
    int last = first;
    if (text.starts_with('-')) {
      text.remove_prefix(1);
      last = take_number(text);
    }
    if (first < 0 || last < first || last >= kMostClasses) wrong();
    for (int label = first; label <= last; ++label) classes.push_back(label);
    if (text.empty()) return classes;
    if (text[0] != ',') wrong();
    text.remove_prefix(1);
  }
}

void select_classes(Dataset& dataset, std::span<const int> classes) {
  std::vector<int> new_label(dataset.class_names.size(), -1);
  std::vector<std::string> names;
  const auto images = training_images_by_class(dataset);
  for (const int label : classes) {
    const bool known = label >= 0 && label < dataset.classes();
    if (!known || images[static_cast<std::size_t>(label)].empty()) {
      fail("names " + std::to_string(label) + ", but " + dataset.name + " has " +
           (known ? "no training images of it; its classes are " : "only the classes ") +
           classes_of(dataset));
    }
    int& mapped = new_label[static_cast<std::size_t>(label)];
    if (mapped >= 0) {
      fail("names " + std::to_string(label) + " twice; list each class once, of " + classes_of(dataset));
    }
    mapped = static_cast<int>(names.size());
    names.push_back(dataset.class_names[static_cast<std::size_t>(label)]);
  }
  if (names.size() < 2) {
    fail("must name at least two classes; " + dataset.name + " has " + classes_of(dataset));
  }
  for (Split* split : {&dataset.train, &dataset.validation, &dataset.test}) {
    std::vector<bool> keep;
    for (const std::uint16_t label : split->labels) keep.push_back(new_label[label] >= 0);
    keep_images(*split, static_cast<std::size_t>(dataset.image_size()), keep, new_label);
  }
  dataset.class_names = std::move(names);
}

void limit_per_class(Dataset& dataset, int count, std::uint64_t seed) {
  if (count < 1) {
    throw Error(ErrorCode::kArgument, "per_class", "must be at least 1, found " + std::to_string(count));
  }
  auto images = training_images_by_class(dataset);
  for (std::size_t label = 0; label < images.size(); ++label) {
    if (images[label].size() >= static_cast<std::size_t>(count)) continue;
    throw Error(ErrorCode::kData, dataset.name,
                "has only " + std::to_string(images[label].size()) + " training images of class " +
                    dataset.class_names[label] + ", fewer than the " + std::to_string(count) +
                    " per class that are asked for");
  }
  const std::vector<std::size_t> wanted(images.size(), static_cast<std::size_t>(count));
  keep_random(dataset, std::move(images), wanted, seed);
}

void limit_share(Dataset& dataset, double share, std::uint64_t seed) {
  if (!(share > 0 && share <= 1)) {
    throw Error(ErrorCode::kArgument, "share", "must be above 0 and at most 1");
  }
  auto images = training_images_by_class(dataset);
  std::vector<std::size_t> wanted;
  for (const auto& of_class : images) {
    const double exact = std::floor(share * static_cast<double>(of_class.size()) + 0.5);
    wanted.push_back(std::min(of_class.size(), std::max<std::size_t>(1, static_cast<std::size_t>(exact))));
  }
  keep_random(dataset, std::move(images), wanted, seed);
}

}  // namespace espalier
