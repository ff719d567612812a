// From byte images to a batch in lanes: [blocks][channels][height][width][lanes], normalised, lanes
// behind the last image zero. Training batches are shuffled, augmented and mixed as functions of
// (seed, epoch, image) alone, and the next one is made while the present one is in use.
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

// Positions [first, first + count) of the shuffled order of `epoch` over the first `population` images.
struct BatchRange {
  int population = 0;
  std::uint64_t seed = 0;
  std::uint64_t epoch = 0;
  int first = 0;
  int count = 0;
  friend bool operator==(const BatchRange&, const BatchRange&) = default;
};

class Batcher {
 public:
  // `mean` and `standard_deviation` per channel, of pixels scaled to [0, 1]; empty: 0 and 1.
  Batcher(int channels, int height, int width, int lanes, int max_batch, std::span<const double> mean,
          std::span<const double> standard_deviation);
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Images and labels of a training batch: afterwards images(), labels(), other_labels() and lambdas()
  // describe it.
  void load_training(const Split& split, const Augmentation& augmentation, const BatchRange& range,
                     ThreadPool& pool);
  // Lets the pool's idle threads begin with the batch that the next load_training() will ask for; what they
  // have not made by then is made there. Split and pool must stay as they are until then.
  void prefetch_training(const Split& split, const Augmentation& augmentation, const BatchRange& range,
                         ThreadPool& pool);

  // Images [0, count) of `bytes`, as they are: all of them, or one block of lanes (any thread may do that).
  void load_plain(const std::uint8_t* bytes, int count, ThreadPool& pool);
  void load_plain_block(const std::uint8_t* bytes, int count, int block);

  const real* images() const { return present_.images.data(); }
  std::span<const std::uint16_t> labels() const { return present_.labels; }
  std::span<const std::uint16_t> other_labels() const { return present_.other_labels; }
  std::span<const real> lambdas() const { return present_.lambdas; }

 private:
  struct Contents {
    aligned_vector<real> images;
    std::vector<std::uint16_t> labels;
    std::vector<std::uint16_t> other_labels;
    std::vector<real> lambdas;
  };
  // What a thread needs to augment a block: [lanes + 1][channels][height][width] pixels, the last ones those
  // of a partner in a mixture.
  struct Scratch {
    aligned_vector<real> pixels;
    std::vector<std::uint8_t> bytes;
  };
  // The batch that is being made.
  struct Order {
    const Split* split = nullptr;  // null: none
    ThreadPool* pool = nullptr;
    Augmentation augmentation;
    BatchRange range;
    bool as_they_are() const { return !augmentation.changes_pixels() && augmentation.mixup <= 0; }
  };
  struct Maker {
    Batcher& batcher;
    void operator()(int block, int thread) const { batcher.make_block(block, thread); }
  };

  void finish();
  void shuffle(const BatchRange& range);
  void make_block(int block, int thread);
  void describe(int slot, const MixupPair& pair);
  void mix(int slot, Scratch& scratch, real* pixels);
  void decode(int slot, Scratch& scratch, real* pixels) const;
  template <class Pixel>
  void place_block(const Pixel* const* images, int count, real* out) const;
  std::size_t size() const { return static_cast<std::size_t>(channels_) * static_cast<std::size_t>(pixels_); }
  // Whole vectors, even of one image.
  std::size_t padded_images() const {
    return (static_cast<std::size_t>(max_blocks_ * lanes_) * size() + 15) / 16 * 16;
  }
  std::uint32_t image_at(int slot) const {
    return shuffled_[static_cast<std::size_t>(order_.range.first + slot)];
  }
  const std::uint8_t* bytes_of(int slot) const {
    return order_.split->images.data() + image_at(slot) * size();
  }

  int channels_;
  int pixels_;
  int height_;
  int width_;
  int lanes_;
  int max_blocks_;
  std::vector<real> scale_;  // per channel: out = pixel · scale + offset
  std::vector<real> offset_;
  Contents present_;
  Contents next_;
  Order order_;
  const Maker maker_{*this};
  std::vector<Scratch> scratch_;         // by thread
  std::vector<std::uint32_t> shuffled_;  // of the epoch below
  std::uint64_t shuffled_seed_ = 0;
  std::uint64_t shuffled_epoch_ = ~std::uint64_t{0};
};

}  // namespace espalier
