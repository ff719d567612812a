// Depthwise convolution with rows of three taps: each channel by itself, so a tile of channels is no help. A
// plane is copied once between zeros, and then neighbouring outputs share weights and pixels without a
// thought for borders. A tap outside adds zero.
//
// In Chromium twice as fast on 7 x 7 planes as conv.h's loops, and the input gradient at stride 2 ten times.

inline constexpr int kPaddedPixels = 36 * 36;  // a plane between zeros, on the stack
inline constexpr int kMaxKernelHeight = 7;

struct Plane {
  int height, width;
};

// Rows and columns that all outputs see, and those that gradients come from (depthwise_input_gradient).
inline Plane padded_input(const ConvShape& s) {
  return {(s.out_height - 1) * s.stride_height + s.kernel_height,
          (s.out_width - 1) * s.stride_width + s.kernel_width};
}
inline Plane padded_gradient(const ConvShape& s) {
  return {(s.in_height - 1 + s.pad_top) / s.stride_height + 1 + (s.kernel_height - 1) / s.stride_height,
          (s.in_width - 1 + s.pad_left) / s.stride_width + 1 + (s.kernel_width - 1) / s.stride_width};
}

inline bool is_depthwise(const ConvShape& s) {
  const Plane input = padded_input(s), gradient = padded_gradient(s);
  return s.groups > 1 && s.groups == s.in_channels && s.groups == s.out_channels && s.dilation_height == 1 &&
         s.dilation_width == 1 && s.kernel_width == 3 && s.kernel_height <= kMaxKernelHeight &&
         s.stride_height <= 2 && s.stride_width <= 2 && input.height * input.width <= kPaddedPixels &&
         gradient.height * gradient.width <= kPaddedPixels;
}

// A plane between zeros, which stay from channel to channel.
class Padded {
 public:
  // height x width pixels from row `top` and column `left` on; what does not fit is left out.
  Padded(Plane plane, int height, int width, int top, int left)
      : begin_((std::int64_t{top} * plane.width + left) * kLanes),
        rows_(std::min(height, plane.height - top)),
        row_size_(std::min(width, plane.width - left) * kLanes),
        pitch_(plane.width * kLanes),
        in_pitch_(width * kLanes) {
    std::memset(pixels_, 0, static_cast<std::size_t>(plane.height * pitch_) * sizeof(real));
  }
  const real* copy(const real* in) {
    real* to = pixels_ + begin_;
    for (int y = 0; y < rows_; ++y, in += in_pitch_, to += pitch_) {
      for (int i = 0; i < row_size_; i += kLanes) store(to + i, load(in + i));
    }
    return pixels_;
  }
  int pitch() const { return pitch_; }

 private:
  alignas(64) real pixels_[kPaddedPixels * kLanes];
  std::int64_t begin_;
  int rows_, row_size_, pitch_, in_pitch_;
};

// out[y][x] = start + sum over rows r and taps k of weights[r][k] · in[y · row_stride + r][x · S + k].
struct Correlation {
  int rows, columns;         // of out
  int out_row, out_step;     // numbers from one output to the next one
  int in_pitch, row_stride;  // numbers from one row of `in` to the next one; rows from output to output
  int taps;                  // rows of W weights
  real weights[kMaxKernelHeight * 3];
  real start;
};
using Correlate = void (*)(const Correlation& c, const real* in, real* out);

// P neighbours at a time; the last ones overlap those before.
template <int P, int W, int S>
void correlate(const Correlation& c, const real* in, real* out) {
  for (int y = 0; y < c.rows; ++y, in += c.row_stride * c.in_pitch, out += c.out_row) {
    for (int next = 0; next < c.columns; next += P) {
      const int x = next + P <= c.columns ? next : c.columns - P;
      Lanes acc[P];
      for (int p = 0; p < P; ++p) acc[p] = splat(c.start);
      const real* px = in + x * (S * kLanes);
      const real* pw = c.weights;
      for (int r = 0; r < c.taps; ++r, px += c.in_pitch, pw += W) {
        Lanes weight[W];
        for (int k = 0; k < W; ++k) weight[k] = splat(pw[k]);
        // Each pixel is read once for all the outputs that see it; an output's taps stay in order.
        for (int i = 0; i < (P - 1) * S + W; ++i) {
          const Lanes value = load(px + i * kLanes);
          for (int p = 0; p < P; ++p) {
            const int k = i - p * S;
            if (k >= 0 && k < W) acc[p] = madd(weight[k], value, acc[p]);
          }
        }
      }
      real* to = out + x * c.out_step;
      for (int p = 0; p < P; ++p) store(to + p * c.out_step, acc[p]);
    }
  }
}

inline constexpr int kDepthwisePixels = 8 / kVectors;

template <int W, int S>
inline Correlate find_correlate(int columns) {
  if (columns >= kDepthwisePixels) return correlate<kDepthwisePixels, W, S>;
  return columns >= 2 ? correlate<2, W, S> : correlate<1, W, S>;
}

inline void depthwise_forward(const ConvShape& s, const real* in, const real* weight, const real* bias,
                              real* out) {
  Padded padded(padded_input(s), s.in_height, s.in_width, s.pad_top, s.pad_left);
  const Correlate correlate =
      s.stride_width == 1 ? find_correlate<3, 1>(s.out_width) : find_correlate<3, 2>(s.out_width);
  Correlation c{.rows = s.out_height,
                .columns = s.out_width,
                .out_row = s.out_width * kLanes,
                .out_step = kLanes,
                .in_pitch = padded.pitch(),
                .row_stride = s.stride_height,
                .taps = s.kernel_height};
  for (int channel = 0; channel < s.in_channels; ++channel) {
    std::copy_n(weight, s.taps(), c.weights);
    c.start = bias ? bias[channel] : real(0);
    correlate(c, padded.copy(in), out);
    in += s.in_height * s.in_width * kLanes;
    out += s.out_height * s.out_width * kLanes;
    weight += s.taps();
  }
}

// Input columns that lie `phase` behind a multiple of the stride (padding added) receive through the taps
// phase, phase + stride, …, from outputs one beside the other; likewise rows.
struct Phase {
  Correlation correlation;
  Correlate correlate;
  int y, x, taps_x;
  int from, to;  // the first number in the gradients and in the inputs

  // Backwards: a later tap reaches from an earlier output.
  void set_weights(const ConvShape& s, const real* weight) {
    real* to = correlation.weights;
    for (int i = correlation.taps - 1; i >= 0; --i) {
      const real* row = weight + (y + i * s.stride_height) * s.kernel_width + x;
      for (int k = taps_x - 1; k >= 0; --k) *to++ = row[k * s.stride_width];
    }
  }
};
inline bool find_phase(const ConvShape& s, int phase_y, int phase_x, int pitch, Phase& phase) {
  // The first row and column that are not padding, in gradients and in inputs.
  const int gy = (s.pad_top - phase_y + s.stride_height - 1) / s.stride_height;
  const int gx = (s.pad_left - phase_x + s.stride_width - 1) / s.stride_width;
  const int y = gy * s.stride_height + phase_y - s.pad_top, x = gx * s.stride_width + phase_x - s.pad_left;
  if (y >= s.in_height || x >= s.in_width) return false;
  const int taps_y = (s.kernel_height - phase_y + s.stride_height - 1) / s.stride_height;
  const int taps_x = (s.kernel_width - phase_x + s.stride_width - 1) / s.stride_width;
  const int columns = (s.in_width - 1 - x) / s.stride_width + 1;
  const int top = (s.kernel_height - 1) / s.stride_height, left = (s.kernel_width - 1) / s.stride_width;
  phase = {.correlation = {.rows = (s.in_height - 1 - y) / s.stride_height + 1,
                           .columns = columns,
                           .out_row = s.stride_height * s.in_width * kLanes,
                           .out_step = s.stride_width * kLanes,
                           .in_pitch = pitch,
                           .row_stride = 1,
                           .taps = taps_y,
                           .start = 0},
           .correlate = taps_x == 3   ? find_correlate<3, 1>(columns)
                        : taps_x == 2 ? find_correlate<2, 1>(columns)
                                      : find_correlate<1, 1>(columns),
           .y = phase_y,
           .x = phase_x,
           .taps_x = taps_x,
           .from = (gy + top - (taps_y - 1)) * pitch + (gx + left - (taps_x - 1)) * kLanes,
           .to = (y * s.in_width + x) * kLanes};
  return true;
}

inline void depthwise_input_gradient(const ConvShape& s, const real* grad_out, const real* weight,
                                     real* grad_in) {
  Padded padded(padded_gradient(s), s.out_height, s.out_width, (s.kernel_height - 1) / s.stride_height,
                (s.kernel_width - 1) / s.stride_width);
  Phase phases[4];
  int count = 0;
  for (int y = 0; y < s.stride_height; ++y) {
    for (int x = 0; x < s.stride_width; ++x) count += find_phase(s, y, x, padded.pitch(), phases[count]);
  }
  for (int channel = 0; channel < s.in_channels; ++channel, weight += s.taps()) {
    const real* gradients = padded.copy(grad_out);
    for (int i = 0; i < count; ++i) {
      Phase& phase = phases[i];
      phase.set_weights(s, weight);
      phase.correlate(phase.correlation, gradients + phase.from, grad_in + phase.to);
    }
    grad_out += s.out_height * s.out_width * kLanes;
    grad_in += s.in_height * s.in_width * kLanes;
  }
}

// sums[ky][kx] = sum over pixels of x · g, for R rows of W taps, one register of lanes.
using PlaneGradient = void (*)(const ConvShape& s, int pitch, const real* in, const real* grad_out,
                               Vector* sums);
template <int R, int W>
void plane_gradient(const ConvShape& s, int pitch, const real* in, const real* grad_out, Vector* sums) {
  Vector acc[R][W];
  for (int r = 0; r < R; ++r) {
    for (int k = 0; k < W; ++k) acc[r][k] = Vector{};
  }
  for (int y = 0; y < s.out_height; ++y) {
    const real* px = in + y * s.stride_height * pitch;
    for (int x = 0; x < s.out_width; ++x, px += s.stride_width * kLanes, grad_out += kLanes) {
      const Vector g = load_vector(grad_out);
      for (int r = 0; r < R; ++r) {
        for (int k = 0; k < W; ++k) {
          acc[r][k] = madd(load_vector(px + r * pitch + k * kLanes), g, acc[r][k]);
        }
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int k = 0; k < W; ++k) sums[(r * W + k) * kVectors] = acc[r][k];
  }
}

inline void depthwise_weight_gradient(const ConvShape& s, const real* in, const real* grad_out,
                                      real* grad_weight) {
  Padded padded(padded_input(s), s.in_height, s.in_width, s.pad_top, s.pad_left);
  const int rows = s.kernel_height == 3 ? 3 : 1;
  const PlaneGradient gradient = rows == 3 ? plane_gradient<3, 3> : plane_gradient<1, 3>;
  for (int c = 0; c < s.in_channels; ++c) {
    const real* pixels = padded.copy(in);
    for (int ky = 0; ky < s.kernel_height; ky += rows) {
      Lanes sums[9];
      const real* from = pixels + ky * padded.pitch();
      for (int v = 0; v < kVectors; ++v) {
        gradient(s, padded.pitch(), from + v * kWidth, grad_out + v * kWidth, sums[0].v + v);
      }
      for (int tap = 0; tap < rows * 3; ++tap) add_groups(sums[tap], *grad_weight++);
    }
    in += s.in_height * s.in_width * kLanes;
    grad_out += s.out_height * s.out_width * kLanes;
  }
}
