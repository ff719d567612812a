// From byte images to a batch in lanes: [blocks][channels][height][width][lanes], normalised, lanes
// behind the last image zero. Training batches are shuffled, augmented and mixed as functions of
// (seed, epoch, image) alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "core/real.h"
#include "core/thread_pool.h"
#include "data/augment.h"
#include "data/dataset.h"

namespace espalier {

class Batcher {
 public:
  // `mean` and `standard_deviation` per channel, of pixels scaled to [0, 1]; empty: 0 and 1.
  Batcher(int channels, int height, int width, int lanes, int max_batch, std::span<const double> mean,
          std::span<const double> standard_deviation);

  // Images and labels of a training batch: positions [first, first + count) of the shuffled order
  // of `epoch` over the first `population` images of `split`. Afterwards images(), labels(),
  // other_labels() and lambdas() describe it.
  void load_training(const Split& split, int population, const Augmentation& augmentation, std::uint64_t seed,
                     std::uint64_t epoch, int first, int count, ThreadPool& pool);

  // Images [0, count) of `bytes`, as they are: all of them, or one block of lanes (any thread may do that).
  void load_plain(const std::uint8_t* bytes, int count, ThreadPool& pool);
  void load_plain_block(const std::uint8_t* bytes, int count, int block);

  const real* images() const { return images_.data(); }
  std::span<const std::uint16_t> labels() const { return labels_; }
  std::span<const std::uint16_t> other_labels() const { return other_labels_; }
  std::span<const real> lambdas() const { return lambdas_; }

 private:
  void shuffle(std::uint64_t seed, std::uint64_t epoch, int population);
  // Writes image `slot` of the batch, lambda · slot + (1 - lambda) · other of the decoded images,
  // normalised, into its lane.
  void place(int slot, real lambda, int other);
  void clear_after(int count);

  int channels_;
  int pixels_;
  int height_;
  int width_;
  int lanes_;
  std::vector<real> scale_;  // per channel: out = pixel · scale + offset
  std::vector<real> offset_;
  aligned_vector<real> images_;
  aligned_vector<real> decoded_;  // [max_batch][channels][height][width], pixels after augmentation
  std::vector<std::uint16_t> labels_;
  std::vector<std::uint16_t> other_labels_;
  std::vector<real> lambdas_;
  std::vector<int> others_;
  std::vector<std::uint32_t> order_;
  std::uint64_t order_seed_ = 0;
  std::uint64_t order_epoch_ = ~std::uint64_t{0};
};

}  // namespace espalier
