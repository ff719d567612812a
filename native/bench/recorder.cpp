#include "bench/recorder.h"

#include <chrono>
#include <utility>

namespace espalier {
namespace {

// What the wrappers, plain functions, see.
struct Recording {
  const Kernels* kernels = nullptr;
  std::vector<KernelTime> times;
};
Recording recording;

std::string by(int a, int b) { return std::to_string(a) + "x" + std::to_string(b); }
std::string dense_name(int inputs, int units) {
  return "dense " + std::to_string(inputs) + " to " + std::to_string(units);
}

// What a call multiplied, from its arguments.
struct Work {
  std::string layer;
  std::int64_t multiply_adds = 0;
};
struct Nothing {
  template <class... Arguments>
  static Work of(const Arguments&...) {
    return {};
  }
};
struct Convolution {
  template <class... Rest>
  static Work of(const ConvShape& s, const Rest&...) {
    const std::int64_t pixels = std::int64_t{s.out_height} * s.out_width;
    const std::int64_t products =
        pixels * s.out_channels * s.group_in() * s.taps() * recording.kernels->lanes;
    if (s.in_height * s.in_width == 1) return {dense_name(s.in_channels, s.out_channels), products};
    std::string name = s.groups == 1 ? "conv " : s.groups == s.in_channels ? "depthwise " : "grouped conv ";
    name += std::to_string(s.in_channels) + " to " + std::to_string(s.out_channels) + ", " +
            by(s.kernel_height, s.kernel_width);
    if (s.stride_height > 1) name += " / " + std::to_string(s.stride_height);
    return {name + ", to " + by(s.out_height, s.out_width), products};
  }
};
// Of surviving weights: the same layer, fewer products.
template <bool kBackward>
struct SparseConvolution {
  // Backward there is a row for each input channel, phase of the strides and row of taps.
  static int row_count(const ConvShape& s) {
    return kBackward ? s.in_channels * s.stride_height * s.stride_width * s.kernel_height : s.out_channels;
  }
  template <class... Rest>
  static Work of(const ConvShape& s, const SparseRows& rows, const Rest&...) {
    Work work = Convolution::of(s);
    work.multiply_adds =
        std::int64_t{s.out_height} * s.out_width * rows.first[row_count(s)] * recording.kernels->lanes;
    return work;
  }
};
struct DenseGradient {
  static Work of(const real* /*transposed*/, int /*stride*/, const real* /*grads*/, int images, int inputs,
                 int units, int begin, int end, bool /*add*/, real* /*grad_weight*/) {
    return {dense_name(inputs, units), std::int64_t{images} * inputs * (end - begin)};
  }
};

void note(const char* kernel, Work work, double seconds) {
  for (KernelTime& time : recording.times) {
    if (time.kernel != kernel || time.layer != work.layer) continue;
    time.seconds += seconds;
    time.multiply_adds += work.multiply_adds;
    return;
  }
  recording.times.push_back({kernel, std::move(work.layer), work.multiply_adds, seconds, {}});
}

template <auto kMember, class Multiplies>
struct Timed;

template <class Result, class... Arguments, Result (*Kernels::*kMember)(Arguments...), class Multiplies>
struct Timed<kMember, Multiplies> {
  static inline const char* name = "";

  static Result call(Arguments... arguments) {
    struct Clock {
      Work work;
      double begin;
      ~Clock() { note(name, std::move(work), now_in_seconds() - begin); }
    };
    Work work = Multiplies::of(arguments...);
    Clock clock{std::move(work), now_in_seconds()};
    return (recording.kernels->*kMember)(arguments...);
  }
};

template <auto kMember, class Multiplies = Nothing>
void wrap(Kernels& kernels, const char* name) {
  using Wrapper = Timed<kMember, Multiplies>;
  Wrapper::name = name;
  kernels.*kMember = Wrapper::call;
}

}  // namespace

double now_in_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Recorder::Recorder(const Kernels& kernels) : wrapped_(kernels) {
  recording = {.kernels = &kernels};
  wrap<&Kernels::conv_pack_forward>(wrapped_, "pack forward");
  wrap<&Kernels::conv_pack_backward>(wrapped_, "pack backward");
  wrap<&Kernels::conv_forward, Convolution>(wrapped_, "forward");
  wrap<&Kernels::conv_input_gradient, Convolution>(wrapped_, "input gradient");
  wrap<&Kernels::conv_weight_gradient, Convolution>(wrapped_, "weight gradient");
  wrap<&Kernels::channel_sums>(wrapped_, "bias gradient");
  wrap<&Kernels::transpose_block>(wrapped_, "dense transpose");
  wrap<&Kernels::dense_weight_gradient, DenseGradient>(wrapped_, "weight gradient");
  wrap<&Kernels::sparse_forward, SparseConvolution<false>>(wrapped_, "sparse forward");
  wrap<&Kernels::sparse_input_gradient, SparseConvolution<true>>(wrapped_, "sparse input gradient");
  wrap<&Kernels::sparse_weight_gradient, SparseConvolution<false>>(wrapped_, "sparse weight gradient");
  wrap<&Kernels::sparse_dense_weight_gradient>(wrapped_, "sparse dense weight gradient");
  wrap<&Kernels::max_pool_forward>(wrapped_, "max pool forward");
  wrap<&Kernels::max_pool_backward>(wrapped_, "max pool backward");
  wrap<&Kernels::avg_pool_forward>(wrapped_, "average pool forward");
  wrap<&Kernels::avg_pool_backward>(wrapped_, "average pool backward");
  wrap<&Kernels::activation_forward>(wrapped_, "activation forward");
  wrap<&Kernels::activation_backward>(wrapped_, "activation backward");
  wrap<&Kernels::scale_shift>(wrapped_, "batch norm forward");
  wrap<&Kernels::centered_moments>(wrapped_, "batch norm statistics");
  wrap<&Kernels::gradient_moments>(wrapped_, "batch norm gradient sums");
  wrap<&Kernels::combine>(wrapped_, "batch norm backward");
  wrap<&Kernels::add>(wrapped_, "add");
  wrap<&Kernels::quantize_forward>(wrapped_, "quantize forward");
  wrap<&Kernels::quantize_backward>(wrapped_, "quantize backward");
  wrap<&Kernels::dropout>(wrapped_, "dropout");
  wrap<&Kernels::softmax_terms>(wrapped_, "softmax");
  wrap<&Kernels::update>(wrapped_, "optimizer");
  wrap<&Kernels::sum_of_squares>(wrapped_, "gradient norm");
}

Recorder::~Recorder() { recording = {}; }

void Recorder::end_step() {
  for (KernelTime& time : recording.times) {
    time.steps.push_back(time.seconds);
    time.seconds = 0;
  }
}

void Recorder::clear() { recording.times.clear(); }

const std::vector<KernelTime>& Recorder::times() const { return recording.times; }

}  // namespace espalier
