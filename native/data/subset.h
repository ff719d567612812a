// Parts of a dataset: some of its classes, some of its training images. Which images stay is a function of
// the seed alone.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace espalier {

// "0-4,7" as 0, 1, 2, 3, 4, 7. Error{kArgument} at "classes" for anything else.
std::vector<int> parse_classes(std::string_view list);

// Keeps the images of `classes` only, in all splits, and labels them 0, 1, … in the order of the list; names
// stay. Error{kArgument} at "classes", naming those that there are, for a class that is listed twice or that
// has no training images, and for fewer than two.
void select_classes(Dataset& dataset, std::span<const int> classes);

// Keeps `count` random training images of each class. Error{kData} when a class has fewer.
void limit_per_class(Dataset& dataset, int count, std::uint64_t seed);

// Keeps the share (0 … 1] of the training images of each class, at least one.
void limit_share(Dataset& dataset, double share, std::uint64_t seed);

}  // namespace espalier
