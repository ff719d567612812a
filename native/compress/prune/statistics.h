// What some criteria measure on training images: gradients of weights, activations of channels. Both are
// sums, so they can be recorded in any number of pieces: on a model as it is, or while it is trained.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "compress/pass.h"
#include "core/work.h"
#include "data/batcher.h"
#include "graph/executor.h"

namespace espalier {

// Training images in use, as the trainer counts them. Error{kData} when there are none.
int training_images(const PassContext& context);

// Sums over samples of |g|, |w · g| and g², g = dL/dw, for every number of the trainable slab.
class GradientStatistics {
 public:
  explicit GradientStatistics(const Graph& graph);

  // `weights` and `gradient` of one sample (or of one batch), parallel to the slab.
  void add(std::span<const real> weights, std::span<const real> gradient);
  void clear();

  std::int64_t samples() const { return samples_; }
  double mean_size(std::size_t i) const { return size_[i] / divisor(); }        // |g|
  double mean_product(std::size_t i) const { return product_[i] / divisor(); }  // |w · g|
  double mean_square(std::size_t i) const { return square_[i] / divisor(); }    // g²

 private:
  double divisor() const { return samples_ > 0 ? static_cast<double>(samples_) : 1.0; }

  std::vector<double> size_;
  std::vector<double> product_;
  std::vector<double> square_;
  std::int64_t samples_ = 0;
};

// The slab's weights as the network computes with them before grids round them: codebook layers decoded.
void take_scored_weights(const Model& model, std::vector<real>& weights);

// Adds the gradients of `samples` training images (all, if there are fewer), in the shuffled order of
// context.training.seed, one image at a time. Batch norm and dropout run as in inference; the model stays as
// it is. Error{kData} when there are no training images.
Work record_gradients(const Model& model, const PassContext& context, int samples,
                      GradientStatistics& statistics);

// Sums over images and pixels, for every channel of every conv and dense layer, of |a| and of a ≠ 0, where a
// is the layer's output behind the activation that follows it (batch norm, sums and pools may lie
// between them); where none follows, the output itself.
class ActivityStatistics {
 public:
  explicit ActivityStatistics(const Graph& graph);

  // The outputs of `node`, [channels][pixels] of one image.
  void add(const Node& node, std::span<const real> values);
  void clear();

  bool empty() const;
  // The value that is observed for a layer: where its outputs end up.
  int observed(const Node& node) const { return layers_[node.index].value; }
  double mean_size(const Node& node, int channel) const;
  double share_of_nonzeros(const Node& node, int channel) const;

 private:
  struct Layer {
    int value = -1;  // the observed one; -1: a layer without weights
    std::vector<double> size;
    std::vector<double> nonzeros;
    double count = 0;  // of pixels
  };
  std::vector<Layer> layers_;  // by node
};

// Runs training images through a model and adds what its channels do.
class ActivityRecorder {
 public:
  // All must outlive the recorder. Error{kData} when there are no training images.
  ActivityRecorder(const Model& model, const PassContext& context, ActivityStatistics& statistics);

  // The next `images` of the shuffled training images, with the weights as they are now.
  void record(int images);
  int population() const { return population_; }

  static constexpr int kSlice = 16;

 private:
  const Model& model_;
  const PassContext& context_;
  ActivityStatistics& statistics_;
  Batcher batcher_;
  Executor executor_;
  int population_ = 0;
  int next_ = 0;
  std::vector<real> logits_;
  std::vector<real> values_;
};

Work record_activity(const Model& model, const PassContext& context, int samples,
                     ActivityStatistics& statistics);

}  // namespace espalier
