// How loops are cut to fit the registers.

// Channels [0, count) in tiles of nearly equal size, none above kTile.
struct Tiling {
  int count;
  int tiles;
  explicit Tiling(int count, int largest) : count(count), tiles((count + largest - 1) / largest) {}
  int begin(int tile) const { return static_cast<int>(static_cast<std::int64_t>(count) * tile / tiles); }
  int size(int tile) const { return begin(tile + 1) - begin(tile); }
};

// Accumulators that fit the registers: 16 in a browser and with AVX2, 32 with AVX-512.
inline constexpr int kRegisters = ESPALIER_VECTOR_BYTES == 64 ? 32 : 16;
inline constexpr int kTile = kRegisters == 32 ? 10 : ESPALIER_FUSED ? 6 : 5;
// Neighbouring pixels at once, for a tile of T channels.
template <int T>
inline constexpr int kPixels = kRegisters == 32 ? (T <= 3   ? 8
                                                   : T <= 6 ? 4
                                                   : T <= 8 ? 3
                                                            : 2)
                               : kVectors > 1   ? (T == 1   ? 4
                                                   : T == 2 ? 2
                                                            : 1)
                                                : (T == 1   ? 8
                                                   : T == 2 ? 4
                                                   : T <= 4 ? 3
                                                            : 2);

// Positions [begin, end) along an axis.
struct Range {
  int begin;
  int end;
};
// The pixels of a pool's window that lie inside the image.
ESPALIER_INLINE Range window(int out, int stride, int pad, int kernel, int in) {
  const int begin = out * stride - pad;
  return {begin > 0 ? begin : 0, begin + kernel < in ? begin + kernel : in};
}

// Calls f.template operator()<n>() for 1 <= n <= Max.
template <int Max, class F>
ESPALIER_INLINE void dispatch(int n, F&& f) {
  if constexpr (Max > 0) {
    if (n == Max) {
      f.template operator()<Max>();
    } else {
      dispatch<Max - 1>(n, static_cast<F&&>(f));
    }
  }
}
