// Batch norm in inference is a scale and a shift of each channel, which the layer before it can take over:
//
//   weight' = weight · gamma / sqrt(variance + epsilon)
//   bias'   = (bias - mean) · gamma / sqrt(variance + epsilon) + beta
//
// (Jacob et al. 2018, section 3.2.) Where there is no such layer (batch norm of the image, of a sum, of a
// convolution that others read too), the scale and shift become a depthwise 1 x 1 convolution of the same
// name. So no batch norm remains. Masks are carried over; a channel whose gamma is masked stays pruned.
#pragma once

#include <memory>

#include "train/trainer.h"

namespace espalier {

std::unique_ptr<Model> fold_batch_norm(const Model& model);

}  // namespace espalier
