// Optimizer steps over flat slabs. Formulas as in PyTorch's documentation, with g the clipped
// gradient: L2 decay adds weight_decay·value to g; AdamW's decay shrinks the value itself.

template <class F>
ESPALIER_INLINE void for_each_weight(const UpdateContext& u, F&& f) {
  const Vector scale = splat_vector(u.gradient_scale);
  for (std::int64_t i = 0; i < u.count; i += kWidth) {
    const Vector value = load_vector(u.value + i);
    store_vector(u.value + i, f(i, value, load_vector(u.gradient + i) * scale));
  }
}

ESPALIER_INLINE Vector sqrt(Vector x) {
#if defined(__clang__)
  return __builtin_elementwise_sqrt(x);
#else
  for (int i = 0; i < kWidth; ++i) x[i] = std::sqrt(x[i]);
  return x;
#endif
}

inline void update(Update kind, const UpdateContext& u) {
  const Vector rate = splat_vector(-u.learning_rate);
  const Vector decay = splat_vector(u.weight_decay);
  const Vector momentum = splat_vector(u.momentum);
  switch (kind) {
    case Update::kSgd:
      for_each_weight(
          u, [&](std::int64_t, Vector value, Vector g) { return madd(rate, madd(decay, value, g), value); });
      return;
    case Update::kMomentum:
      for_each_weight(u, [&](std::int64_t i, Vector value, Vector g) {
        const Vector velocity = madd(momentum, load_vector(u.moment1 + i), madd(decay, value, g));
        store_vector(u.moment1 + i, velocity);
        return madd(rate, velocity, value);
      });
      return;
    case Update::kNesterov:
      for_each_weight(u, [&](std::int64_t i, Vector value, Vector g) {
        g = madd(decay, value, g);
        const Vector velocity = madd(momentum, load_vector(u.moment1 + i), g);
        store_vector(u.moment1 + i, velocity);
        return madd(rate, madd(momentum, velocity, g), value);
      });
      return;
    case Update::kAdam:
    case Update::kAdamW: {
      const bool decoupled = kind == Update::kAdamW;
      const Vector beta2 = splat_vector(u.beta2);
      const Vector rest1 = splat_vector(real(1) - u.momentum), rest2 = splat_vector(real(1) - u.beta2);
      const Vector correct1 = splat_vector(u.bias_correction1), correct2 = splat_vector(u.bias_correction2);
      const Vector epsilon = splat_vector(u.epsilon);
      for_each_weight(u, [&](std::int64_t i, Vector value, Vector g) {
        if (decoupled) {
          value = madd(rate * decay, value, value);
        } else {
          g = madd(decay, value, g);
        }
        const Vector mean = madd(momentum, load_vector(u.moment1 + i), rest1 * g);
        const Vector square = madd(beta2, load_vector(u.moment2 + i), rest2 * (g * g));
        store_vector(u.moment1 + i, mean);
        store_vector(u.moment2 + i, square);
        const Vector denominator = sqrt(square * correct2) + epsilon;
        return madd(rate, (mean * correct1) / denominator, value);
      });
      return;
    }
  }
}

// Chunks of 4,096 by 8 lanes each, then chunks in order: the same sum for every register width.
inline double sum_of_squares(const real* values, std::int64_t count) {
  double total = 0;
  for (std::int64_t begin = 0; begin < count; begin += 4096) {
    const std::int64_t end = begin + 4096 < count ? begin + 4096 : count;
    alignas(64) real lanes[8] = {};
    for (std::int64_t i = begin; i < end; i += 8) {
      for (int lane = 0; lane < 8; ++lane) {
        const real x = values[i + lane];
        lanes[lane] = lanes[lane] + x * x;
      }
    }
    total += static_cast<double>(sum8(lanes));
  }
  return total;
}
