// Floating point, surviving weights alone: 8 bytes for each, its value and what it multiplies, and 4 for each
// output channel. Packed: where each channel's weights begin, then the weights.
#include <algorithm>

#include "kernels/sparse_weights.h"
#include "runtime/format.h"

namespace espalier {
namespace {

bool accepts(const LayerWeights&) { return true; }
double share(const LayerWeights& weights) { return weights.density(); }
double break_even(const ConvShape& shape, const Kernels& kernels, const IntegerKernels&) {
  return sparse_break_even(kernels, shape);
}

// Of the list of beginnings, whole cache lines.
std::size_t list_bytes(const ConvShape& shape) {
  return (static_cast<std::size_t>(shape.out_channels) * sizeof(std::int32_t) + sizeof(std::int32_t) + 63) /
         64 * 64;
}
SparseRows rows(const ConvShape& shape, const std::uint8_t* packed) {
  return {reinterpret_cast<const std::int32_t*>(packed),
          reinterpret_cast<const SparseWeight*>(packed + list_bytes(shape))};
}

PackedBytes pack(const LayerWeights& weights, const Kernels& kernels, const IntegerKernels&) {
  const SparseWeights sparse =
      forward_weights(weights.shape, kernels.sparse_forward_layout(weights.shape), weights.values.data());
  const std::size_t list = list_bytes(weights.shape);
  PackedBytes packed(list + sparse.weights.size() * sizeof(SparseWeight));
  std::copy(sparse.first.begin(), sparse.first.end(), reinterpret_cast<std::int32_t*>(packed.data()));
  std::copy(sparse.weights.begin(), sparse.weights.end(),
            reinterpret_cast<SparseWeight*>(packed.data() + list));
  return packed;
}

// The offsets of a layer with all of its weights are known, in the same order: the packed ones are among
// them.
void unpack(const ConvShape& shape, const Kernels& kernels, const IntegerKernels&, const PackedBytes& packed,
            void* weights) {
  const std::size_t row = static_cast<std::size_t>(shape.group_in() * shape.taps());
  const std::vector<real> ones(row * static_cast<std::size_t>(shape.out_channels), real{1});
  const SparseWeights all = forward_weights(shape, kernels.sparse_forward_layout(shape), ones.data());
  const SparseRows survivors = rows(shape, packed.data());
  auto* out = static_cast<real*>(weights);
  for (std::size_t o = 0, i = 0; o < static_cast<std::size_t>(shape.out_channels); ++o) {
    std::int32_t next = survivors.first[o];
    for (const std::size_t end = i + row; i < end; ++i) {
      const bool is_next =
          next < survivors.first[o + 1] && survivors.weights[next].offset == all.weights[i].offset;
      out[i] = is_next ? survivors.weights[next++].value : real{0};
    }
  }
}

std::int64_t scratch_bytes(const ConvShape& shape, const Kernels& kernels) {
  return kernels.sparse_forward_layout(shape).scratch * static_cast<std::int64_t>(sizeof(real));
}

void run(const RunContext& c) {
  c.kernels.sparse_forward(c.shape, rows(c.shape, c.packed), static_cast<const real*>(c.in), c.bias,
                           static_cast<real*>(c.scratch), static_cast<real*>(c.out));
}

}  // namespace

constinit const WeightFormat kSparseFloat32Format{
    .name = "sparse_float32",
    .summary = "Floating point, without the weights that are 0.",
    .accepts = accepts,
    .what = "weights",
    .share = share,
    .break_even = break_even,
    .pack = pack,
    .unpack = unpack,
    .run = run,
    .scratch_bytes = scratch_bytes,
    .bytes = all_bytes};

}  // namespace espalier
