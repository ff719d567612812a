// The weight gradient of a dense layer over a round of images, as a matrix product whose lanes are
// input features: grad[u][k] = sum over images n of g[u][n] · x[n][k], n in order.

// [inputs][lanes] → rows of [lanes][stride].
inline void transpose_block(const real* in, int inputs, int stride, real* transposed) {
  for (int k = 0; k < inputs; ++k) {
    for (int lane = 0; lane < kLanes; ++lane) {
      transposed[std::int64_t{lane} * stride + k] = in[std::int64_t{k} * kLanes + lane];
    }
  }
}

// U x V registers of sums fit with their operands (U at most 6). A strip of features is at least a cache line
// of the gradient.
inline constexpr int kDenseVectors = kRegisters == 32 ? 4 : 2;
inline constexpr int kStrip = kDenseVectors * kWidth > 16 ? kDenseVectors* kWidth : 16;

// U units x V registers of features, which all exist.
template <int U, int V>
void dense_gradient_tile(const real* x, int stride, const real* g, int units, int images, int inputs,
                         bool add, real* grad) {
  Vector acc[U][V];
  for (int u = 0; u < U; ++u) {
    for (int v = 0; v < V; ++v) {
      acc[u][v] = add ? load_vector(grad + std::int64_t{u} * inputs + v * kWidth) : Vector{};
    }
  }
  for (int n = 0; n < images; n += kLanes, g += std::int64_t{units} * kLanes) {
    for (int lane = 0; lane < kLanes && n + lane < images; ++lane, x += stride) {
      Vector value[V];
      for (int v = 0; v < V; ++v) value[v] = load_vector(x + v * kWidth);
      for (int u = 0; u < U; ++u) {
        const Vector s = splat_vector(g[u * kLanes + lane]);
        for (int v = 0; v < V; ++v) acc[u][v] = madd(s, value[v], acc[u][v]);
      }
    }
  }
  for (int u = 0; u < U; ++u) {
    for (int v = 0; v < V; ++v) store_vector(grad + std::int64_t{u} * inputs + v * kWidth, acc[u][v]);
  }
}

using DenseTile = void (*)(const real* x, int stride, const real* g, int units, int images, int inputs,
                           bool add, real* grad);

// The last features, one unit at a time.
inline void dense_gradient_edge(const real* x, int stride, const real* g, int units, int images, int features,
                                bool add, real* grad) {
  alignas(64) real edge[16] = {};
  if (add) std::memcpy(edge, grad, static_cast<std::size_t>(features) * sizeof(real));
  for (int k = 0; k < features; k += kWidth) {
    dense_gradient_tile<1, 1>(x + k, stride, g, units, images, 0, add, edge + k);
  }
  std::memcpy(grad, edge, static_cast<std::size_t>(features) * sizeof(real));
}

// Six units, three or one: nearly all of a layer goes by sixes.
inline int dense_tile_size(int left) { return left >= 6 ? 6 : left >= 3 ? 3 : 1; }
template <int V>
inline DenseTile find_dense_tile(int size) {
  return size == 6   ? dense_gradient_tile<6, V>
         : size == 3 ? dense_gradient_tile<3, V>
                     : dense_gradient_tile<1, V>;
}

inline void dense_weight_gradient(const real* transposed, int stride, const real* grads, int images,
                                  int inputs, int units, int unit_begin, int unit_end, bool add,
                                  real* grad_weight) {
  for (int k = 0; k < inputs;) {
    const int left = inputs - k;
    const int features = left >= kStrip || left < 16 ? std::min(left, kStrip) : 16;
    const int part = std::min(features, kDenseVectors * kWidth);
    for (int u = unit_begin; u < unit_end;) {
      const int size = features < 16 ? 1 : dense_tile_size(unit_end - u);
      const real* g = grads + std::int64_t{u} * kLanes;
      real* grad = grad_weight + std::int64_t{u} * inputs + k;
      u += size;
      if (features < 16) {
        dense_gradient_edge(transposed + k, stride, g, units, images, features, add, grad);
        continue;
      }
      DenseTile add_part = find_dense_tile<kDenseVectors>(size);
      if constexpr (kWidth == 16) {
        if (features < kStrip) add_part = find_dense_tile<1>(size);
      }
      for (int i = 0; i < features; i += part) {
        add_part(transposed + k + i, stride, g, units, images, inputs, add, grad + i);
      }
    }
    k += features;
  }
}
