// A layer's sizes as the kernels want them.
#pragma once

#include "kernels/kernels.h"
#include "ops/node.h"

namespace espalier {

ConvShape conv_shape(const Node& node);  // of a dense layer too: one pixel
PoolShape pool_shape(const Node& node);

}  // namespace espalier
