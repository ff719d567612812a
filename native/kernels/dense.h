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

inline constexpr int kDenseUnits = 6;
inline constexpr int kDenseVectors = kRegisters == 32 ? 4 : 2;

// U units x V vectors of features. `partial` features of the last vector are stored one by one.
template <int U, int V>
ESPALIER_INLINE void dense_gradient_tile(const real* x, int stride, const real* g, int units, int images,
                                         int inputs, int features, bool add, real* grad) {
  Vector acc[U][V];
  alignas(64) real edge[V * kWidth];
  for (int u = 0; u < U; ++u) {
    if (!add) {
      for (int v = 0; v < V; ++v) acc[u][v] = Vector{};
    } else if (features == V * kWidth) {
      for (int v = 0; v < V; ++v) acc[u][v] = load_vector(grad + std::int64_t{u} * inputs + v * kWidth);
    } else {
      std::memcpy(edge, grad + std::int64_t{u} * inputs, static_cast<std::size_t>(features) * sizeof(real));
      for (int v = 0; v < V; ++v) acc[u][v] = load_vector(edge + v * kWidth);
    }
  }
  for (int n = 0; n < images; ++n) {
    const real* px = x + std::int64_t{n} * stride;
    const real* pg = g + (std::int64_t{n / kLanes} * units) * kLanes + n % kLanes;
    Vector value[V];
    for (int v = 0; v < V; ++v) value[v] = load_vector(px + v * kWidth);
    for (int u = 0; u < U; ++u) {
      const Vector s = splat_vector(pg[u * kLanes]);
      for (int v = 0; v < V; ++v) acc[u][v] = madd(s, value[v], acc[u][v]);
    }
  }
  for (int u = 0; u < U; ++u) {
    if (features == V * kWidth) {
      for (int v = 0; v < V; ++v) store_vector(grad + std::int64_t{u} * inputs + v * kWidth, acc[u][v]);
    } else {
      for (int v = 0; v < V; ++v) store_vector(edge + v * kWidth, acc[u][v]);
      std::memcpy(grad + std::int64_t{u} * inputs, edge, static_cast<std::size_t>(features) * sizeof(real));
    }
  }
}

inline void dense_weight_gradient(const real* transposed, int stride, const real* grads, int images,
                                  int inputs, int units, int unit_begin, int unit_end, bool add,
                                  real* grad_weight) {
  const int count = unit_end - unit_begin;
  if (count == 0) return;
  const Tiling tiling(count, kDenseUnits);
  int k = 0;
  while (k < inputs) {
    const int left = inputs - k;
    const int features =
        left < kDenseVectors * kWidth ? (left < kWidth ? left : kWidth) : kDenseVectors * kWidth;
    for (int tile = 0; tile < tiling.tiles; ++tile) {
      const int u = unit_begin + tiling.begin(tile);
      dispatch<kDenseUnits>(tiling.size(tile), [&]<int U>() {
        const real* g = grads + std::int64_t{u} * kLanes;
        real* grad = grad_weight + std::int64_t{u} * inputs + k;
        if (features > kWidth) {
          dense_gradient_tile<U, kDenseVectors>(transposed + k, stride, g, units, images, inputs, features,
                                                add, grad);
        } else {
          dense_gradient_tile<U, 1>(transposed + k, stride, g, units, images, inputs, features, add, grad);
        }
      });
    }
    k += features;
  }
}
