#include "io/espalier_surroundings.h"

#include <bit>

#include "io/espalier_coder.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier::espl {
namespace {

// 0 … 12: how much of `total` `part` is, finest near none; 15: unknown.
std::uint32_t share_of(std::int64_t part, std::int64_t total) {
  if (total == 0) return 15;
  std::uint32_t step = 0;
  for (const int percent : {1, 3, 6, 10, 15, 21, 28, 36, 48, 64, 80, 95}) {
    if (part * 100 > total * percent) ++step;
  }
  return step;
}

std::uint32_t length_of(std::int64_t count) {
  return static_cast<std::uint32_t>(std::bit_width(static_cast<std::uint64_t>(count)));
}

}  // namespace

Window window_of(const Graph& graph, const Node& node) {
  const ParameterInfo& weight = weight_of(node);
  if (node.op == &kConv) return {weight.shape[0], weight.shape[1], weight.shape[2], weight.shape[3]};
  // A dense layer sees the map behind its flatten.
  Shape shape = node.in_shape();
  int value = node.inputs[0];
  while (value > 0 && shape.pixels() == 1) {
    const Node& before = graph.nodes[static_cast<std::size_t>(value - 1)];
    if (before.inputs.size() != 1 || before.in_shape().size() != shape.size()) break;
    shape = before.in_shape();
    value = before.inputs[0];
  }
  return {weight.shape[0], shape.channels, shape.height, shape.width};
}

Surroundings::Surroundings(const Window& window)
    : w_(window),
      level_(static_cast<std::size_t>(w_.rows * w_.row()), -1),
      column_(static_cast<std::size_t>(w_.row())),
      channel_(static_cast<std::size_t>(w_.channels)) {}

void Surroundings::move_to(std::int64_t at) {
  at_ = at;
  const std::int64_t row = w_.row();
  row_ = at / row;
  in_row_ = at % row;
  x_ = in_row_ % w_.width;
  y_ = in_row_ / w_.width % w_.height;
  c_ = in_row_ / (w_.width * w_.height);
  if (in_row_ == 0) kept_in_row_ = 0;
}

void Surroundings::put(std::int32_t level) {
  level_[static_cast<std::size_t>(at_)] = level;
  if (level < 0) return;
  ++kept_in_row_;
  ++kept_;
  ++column_[static_cast<std::size_t>(in_row_)];
  ++channel_[static_cast<std::size_t>(c_)];
  last_ = level;
}

Contexts Surroundings::mask_contexts(std::uint32_t tensor) const {
  const std::int64_t row = w_.row();
  const std::uint32_t left = kept(at_ - 1, x_ > 0), left2 = kept(at_ - 2, x_ > 1);
  const std::uint32_t up = kept(at_ - w_.width, y_ > 0);
  const std::uint32_t before = kept(at_ - row, row_ > 0), before2 = kept(at_ - 2 * row, row_ > 1);
  const std::uint32_t column = share_of(column_[static_cast<std::size_t>(in_row_)], row_);
  std::int64_t near = 0, places = 0;
  for (int dy = -1; dy <= 1; ++dy) {
    for (int dx = -1; dx <= 1; ++dx) {
      if (y_ + dy < 0 || y_ + dy >= w_.height || x_ + dx < 0 || x_ + dx >= w_.width) continue;
      near += column_[static_cast<std::size_t>(in_row_ + dy * w_.width + dx)];
      ++places;
    }
  }
  const std::uint32_t neighbourhood = share_of(near, places * row_);
  const std::uint32_t channel =
      share_of(channel_[static_cast<std::size_t>(c_)], row_ * w_.height * w_.width + y_ * w_.width + x_);
  const std::uint32_t in_row = share_of(kept_in_row_, in_row_);
  const auto rows = length_of(row_);
  return Contexts(kMask)
      .add(tensor)
      .add(tensor, in_row, length_of(in_row_))
      .add(column, rows, neighbourhood)
      .add(neighbourhood, in_row, rows)
      .add(left | up << 1 | before << 2 | left2 << 3 | before2 << 4, tensor)
      .add(tensor, static_cast<std::uint32_t>(in_row_))
      .add(channel, in_row, left + up + before)
      .add(static_cast<std::uint32_t>(y_ * w_.width + x_), tensor);
}

Contexts Surroundings::level_contexts(std::uint32_t tensor, std::uint32_t bits) const {
  const std::uint32_t left = level(at_ - 1, x_ > 0), up = level(at_ - w_.width, y_ > 0);
  const std::uint32_t before = level(at_ - w_.row(), row_ > 0);
  return Contexts(kLevel)
      .add(tensor)
      .add(bits)
      .add(tensor, last_ + 1)
      .add(left, up, tensor)
      .add(before, tensor)
      .add(static_cast<std::uint32_t>(row_), tensor)
      .add(static_cast<std::uint32_t>(in_row_), tensor);
}

}  // namespace espalier::espl
