// Lanes: one number from each of kLanes images, as one value. Included once by each variant
// (kernels/variant.cpp), which defines
//   ESPALIER_LANES         8 or 16 images
//   ESPALIER_VECTOR_BYTES  width of a hardware register: 16, 32 or 64
//   ESPALIER_FUSED         1 where madd rounds once
// and wraps everything here in a namespace of its own.
//
// GCC's and clang's vector extensions carry the arithmetic, so the same source is scalar, SSE, AVX,
// AVX-512 and WebAssembly SIMD.

using Vector = real __attribute__((vector_size(ESPALIER_VECTOR_BYTES)));
using Mask = decltype(Vector{} < Vector{});

inline constexpr int kLanes = ESPALIER_LANES;
inline constexpr int kWidth = ESPALIER_VECTOR_BYTES / static_cast<int>(sizeof(real));
inline constexpr int kVectors = kLanes / kWidth;

#define ESPALIER_INLINE inline __attribute__((always_inline))

ESPALIER_INLINE Vector splat_vector(real x) { return x - Vector{}; }

// a · b + c
ESPALIER_INLINE Vector madd(Vector a, Vector b, Vector c) {
#if !ESPALIER_FUSED
  return a * b + c;
#elif defined(__wasm_relaxed_simd__)
  return reinterpret_cast<Vector>(wasm_f32x4_relaxed_madd(
      reinterpret_cast<v128_t>(a), reinterpret_cast<v128_t>(b), reinterpret_cast<v128_t>(c)));
#elif defined(__clang__)
  return __builtin_elementwise_fma(a, b, c);
#else
  Vector result{};
  for (int i = 0; i < kWidth; ++i) result[i] = std::fma(a[i], b[i], c[i]);
  return result;
#endif
}

ESPALIER_INLINE Vector load_vector(const real* p) {
  Vector v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
ESPALIER_INLINE void store_vector(real* p, Vector v) { std::memcpy(p, &v, sizeof(v)); }

struct Lanes {
  Vector v[kVectors];
};

template <class F>
ESPALIER_INLINE Lanes map(F f) {
  Lanes r;
  for (int i = 0; i < kVectors; ++i) r.v[i] = f(i);
  return r;
}

ESPALIER_INLINE Lanes load(const real* p) {
  return map([&](int i) { return load_vector(p + i * kWidth); });
}
ESPALIER_INLINE void store(real* p, const Lanes& a) {
  for (int i = 0; i < kVectors; ++i) store_vector(p + i * kWidth, a.v[i]);
}
ESPALIER_INLINE Lanes splat(real x) {
  return map([&](int) { return splat_vector(x); });
}
ESPALIER_INLINE Lanes operator+(const Lanes& a, const Lanes& b) {
  return map([&](int i) { return a.v[i] + b.v[i]; });
}
ESPALIER_INLINE Lanes operator-(const Lanes& a, const Lanes& b) {
  return map([&](int i) { return a.v[i] - b.v[i]; });
}
ESPALIER_INLINE Lanes operator*(const Lanes& a, const Lanes& b) {
  return map([&](int i) { return a.v[i] * b.v[i]; });
}
ESPALIER_INLINE Lanes operator/(const Lanes& a, const Lanes& b) {
  return map([&](int i) { return a.v[i] / b.v[i]; });
}
ESPALIER_INLINE Lanes madd(const Lanes& a, const Lanes& b, const Lanes& c) {
  return map([&](int i) { return madd(a.v[i], b.v[i], c.v[i]); });
}
ESPALIER_INLINE Lanes max(const Lanes& a, const Lanes& b) {
  return map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
ESPALIER_INLINE Lanes min(const Lanes& a, const Lanes& b) {
  return map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
// where a > b: x, else y
ESPALIER_INLINE Lanes select_greater(const Lanes& a, const Lanes& b, const Lanes& x, const Lanes& y) {
  return map([&](int i) { return a.v[i] > b.v[i] ? x.v[i] : y.v[i]; });
}

// The sum of 8 lanes as a fixed tree; a register of 16 is two of them. This and its callers are
// the only place where lanes meet.
ESPALIER_INLINE real sum8(const real* p) {
  return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
}
// sums[g] = the sum of group g of 8 lanes.
template <int Width = kWidth>
ESPALIER_INLINE void sum_groups(const Lanes& a, real (&sums)[kLanes / 8]) {
  if constexpr (Width == 4) {
    // The tree's first step in registers.
    const Vector q = a.v[0] + a.v[Width == 4 ? 1 : 0];
    sums[0] = (q[0] + q[2]) + (q[1] + q[3]);
  } else {
    alignas(64) real lanes[kLanes];
    store(lanes, a);
    for (int group = 0; group < kLanes / 8; ++group) sums[group] = sum8(lanes + group * 8);
  }
}
// total += each group of 8, in order.
ESPALIER_INLINE void add_groups(const Lanes& a, real& total) {
  real sums[kLanes / 8];
  sum_groups(a, sums);
  for (const real sum : sums) total += sum;
}

// e^x: 2^k · p(r), |r| <= ln(2)/2, with Cephes' polynomial; 2 ulp. Clamped to finite results.
ESPALIER_INLINE Vector exp(Vector x) {
  if constexpr (sizeof(real) == sizeof(double)) {
    for (int i = 0; i < kWidth; ++i) x[i] = static_cast<real>(std::exp(static_cast<double>(x[i])));
    return x;
  } else {
    const Vector low = splat_vector(real(-87.0)), high = splat_vector(real(88.0));
    x = x < low ? low : x;
    x = x > high ? high : x;
    const Vector magic = splat_vector(real(12582912.0));  // 1.5 · 2^23: adding it rounds
    const Vector k = madd(x, splat_vector(real(1.44269504088896341)), magic);
    const Vector n = k - magic;
    Vector r = madd(n, splat_vector(real(-0.693359375)), x);
    r = madd(n, splat_vector(real(2.12194440e-4)), r);
    Vector p = splat_vector(real(1.9875691500e-4));
    p = madd(p, r, splat_vector(real(1.3981999507e-3)));
    p = madd(p, r, splat_vector(real(8.3334519073e-3)));
    p = madd(p, r, splat_vector(real(4.1665795894e-2)));
    p = madd(p, r, splat_vector(real(1.6666665459e-1)));
    p = madd(p, r, splat_vector(real(5.0000001201e-1)));
    p = madd(p, r * r, r) + splat_vector(real(1.0));
    const Mask scale = (reinterpret_cast<Mask>(k) << 23) + reinterpret_cast<Mask>(splat_vector(real(1.0)));
    return p * reinterpret_cast<Vector>(scale);
  }
}
ESPALIER_INLINE Lanes exp(const Lanes& x) {
  return map([&](int i) { return exp(x.v[i]); });
}

ESPALIER_INLINE Vector sigmoid(Vector x) {
  const Vector one = splat_vector(real(1.0));
  return one / (one + exp(-x));
}

// tanh x = 1 - 2 / (e^2x + 1); near zero an odd polynomial (Cephes), which keeps small values exact.
ESPALIER_INLINE Vector tanh(Vector x) {
  if constexpr (sizeof(real) == sizeof(double)) {
    for (int i = 0; i < kWidth; ++i) x[i] = static_cast<real>(std::tanh(static_cast<double>(x[i])));
    return x;
  } else {
    const Vector one = splat_vector(real(1.0)), two = splat_vector(real(2.0));
    const Vector large = one - two / (exp(x * two) + one);
    const Vector z = x * x;
    Vector p = splat_vector(real(-5.70498872745e-3));
    p = madd(p, z, splat_vector(real(2.06390887954e-2)));
    p = madd(p, z, splat_vector(real(-5.37397155531e-2)));
    p = madd(p, z, splat_vector(real(1.33314422036e-1)));
    p = madd(p, z, splat_vector(real(-3.33332819422e-1)));
    const Vector small = madd(p * z, x, x);
    return z < splat_vector(real(0.390625)) ? small : large;
  }
}
