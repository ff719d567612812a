// Removes what pruning has emptied: the model without its pruned channels.
#pragma once

#include <memory>

#include "train/trainer.h"

namespace espalier {

std::unique_ptr<Model> slim(const Model& model);

}  // namespace espalier
