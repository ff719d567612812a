// Dropout (Srivastava et al. 2014), inverted: in training a share `rate` of the values becomes zero
// and the others are scaled by 1 / (1 - rate); in inference nothing happens. Which values is a
// function of (seed, step, layer, image, position), so backward draws the same ones again.
#include <algorithm>

#include "core/random.h"
#include "core/training_only.h"
#include "ops/configure.h"
#include "ops/op.h"

namespace espalier {
namespace {

constexpr Field kFields[] = {
    {.name = "rate",
     .target = &Attributes::rate,
     .summary = "Share of the values that is zeroed in training.",
     .minimum = 0,
     .maximum = 0.95},
};

void configure(Node& node) { node.out_shape = node.in_shape(); }

void apply(const BlockContext& c, const real* in, real* out) {
  Random random(c.seed, RandomStream::kDropout, (c.step << 16) | c.node.index);
  const std::uint64_t key = (std::uint64_t{random.bits()} << 32) | random.bits();
  c.kernels.dropout(c.node.out_shape.size(), c.node.attributes.rate, key, c.image_in_batch, in, out);
}

void forward(const BlockContext& c) {
  if (c.training) {
    apply(c, c.in[0], c.out);
  } else if (c.out != c.in[0]) {
    std::copy_n(c.in[0], c.node.out_shape.size() * c.kernels.lanes, c.out);
  }
}

void backward(const BlockContext& c) {
  if (!c.grad_in[0]) return;
  if (c.training) {
    apply(c, c.grad_out, c.grad_in[0]);
  } else if (c.grad_in[0] != c.grad_out) {
    std::copy_n(c.grad_out, c.node.out_shape.size() * c.kernels.lanes, c.grad_in[0]);
  }
}

}  // namespace

constinit const OpType kDropout{.name = "dropout",
                                .summary = "Zeroes random values in training.",
                                .fields = kFields,
                                .configure = configure,
                                .forward = forward,
                                .backward = training_only(backward),
                                .recompute = true,
                                .in_place = true};

}  // namespace espalier
