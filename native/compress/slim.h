// Slimming: removes pruned channels and neurons from the network itself, so that a dense engine is faster
// without knowing about masks (Li et al. 2017, "Pruning filters for efficient ConvNets"; Liu et al. 2017,
// "Network slimming"). What the smaller network computes in inference is the same, to rounding.
//
// A channel goes when everyone who reads it can do without:
//   - its weights there are 0 (in the effective weights: masked, or quantized to 0), or
//   - it is the same constant for every image and pixel, which the reader's bias takes over. A pruned filter
//     gives its bias; batch norm, activations, pools and sums carry the constant on. At the border of a
//     padded convolution a constant other than 0 does not look constant, so there it stays.
// Channels that share a place go together or stay together: the addends of a residual sum, a concatenation
// and its parts, the filters and channels of a group, a feature map's channel and its flattened pixels.
#pragma once

#include <memory>

#include "train/trainer.h"

namespace espalier {

// Masks and grids of what remains are kept (masks that keep everything are dropped). The image and the last
// layer stay as they are, and every layer keeps at least one channel. Groups of a convolution are removed
// whole, or lose the same number of channels each; where weights are quantized in groups along a row, inputs
// go only if the others keep their groups. A model without anything to remove comes back as a copy.
std::unique_ptr<Model> slim(const Model& model);

}  // namespace espalier
