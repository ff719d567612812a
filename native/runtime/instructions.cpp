#include "runtime/instructions.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace espalier {
namespace {

// Kernels for single images run over the end of a map by up to a register of numbers or a block of codes.
constexpr std::int64_t kSingleSlack = std::max<std::int64_t>(kCodeSlack, 16 * sizeof(real));

}  // namespace

std::int64_t bytes_of(const Map& map, int lanes) {
  const std::int64_t pixels = map.shape.pixels();
  const std::int64_t bytes =
      map.is_codes ? code_groups(map.shape.channels) * pixels * lanes * kCodeChannels
                   : map.shape.channels * pixels * lanes * static_cast<std::int64_t>(sizeof(real));
  return lanes == 1 ? bytes + kSingleSlack : bytes;
}

CodeRange range_of(const CodeGrid& grid, Rectifier rectifier) {
  return {rectifier == Rectifier::kNone ? 0 : grid.zero_point,
          rectifier == Rectifier::kRelu6 ? code_of(6, grid) : grid.highest};
}

namespace {

using Table = std::array<std::uint8_t, 256>;

struct LoadImages final : Instruction {
  LoadImages(const InputInfo& input, const Kernels& kernels, Map* map)
      : lanes(kernels.lanes), shape(input.shape) {
    out = map;
    for (int c = 0; c < shape.channels; ++c) {
      const auto channel = static_cast<std::size_t>(c);
      const double mean = input.mean.empty() ? 0 : input.mean[channel];
      const double deviation = input.standard_deviation.empty() ? 1 : input.standard_deviation[channel];
      // As data/batcher.cpp has it.
      const auto scale = static_cast<real>(1 / (255 * deviation));
      const auto offset = static_cast<real>(-mean / deviation);
      for (int byte = 0; byte < 256; ++byte) {
        const real number = static_cast<real>(byte) * scale + offset;
        numbers.push_back(number);
        codes.push_back(static_cast<std::uint8_t>(code_of(static_cast<float>(number), map->grid)));
      }
    }
  }

  void run(const Frame& frame) const override {
    const int pixels = shape.pixels();
    for (int lane = 0; lane < lanes; ++lane) {
      for (int c = 0; c < shape.channels; ++c) {
        const std::uint8_t* from = frame.images + (std::int64_t{lane} * shape.channels + c) * pixels;
        if (out->is_codes) {
          const std::uint8_t* table = codes.data() + std::size_t{256} * static_cast<std::size_t>(c);
          std::uint8_t* to = frame.codes(*out) +
                             (std::int64_t{c} / kCodeChannels * pixels * lanes + lane) * kCodeChannels +
                             c % kCodeChannels;
          for (int i = 0; i < pixels; ++i, to += lanes * kCodeChannels)
            *to = lane < frame.count ? table[from[i]] : 0;
        } else {
          const real* table = numbers.data() + std::size_t{256} * static_cast<std::size_t>(c);
          real* to = frame.numbers(*out) + std::int64_t{c} * pixels * lanes + lane;
          for (int i = 0; i < pixels; ++i, to += lanes) *to = lane < frame.count ? table[from[i]] : 0;
        }
      }
    }
  }

  int lanes;
  Shape shape;
  std::vector<real> numbers;        // [channel][byte]
  std::vector<std::uint8_t> codes;  // the same
};

struct RunNode final : Instruction {
  RunNode(const Node& n, const Kernels& k, const real* v) : node(n), kernels(k), value(v) {
    if (!node.op->prepare) return;
    const auto size = static_cast<std::size_t>(node.op->packed_size(node, false));
    packed.reserve(size + std::size_t{kReachBytes});
    packed.resize(size);
    node.op->prepare(node, kernels, value, packed.data(), Way::kForward);
  }

  void run(const Frame& frame) const override {
    constexpr std::size_t kMaxInputs = 16;
    std::array<const real*, kMaxInputs> inputs{};
    for (std::size_t i = 0; i < in.size(); ++i) inputs[i] = frame.numbers(*in[i]);
    node.op->forward({.node = node,
                      .kernels = kernels,
                      .in = inputs.data(),
                      .out = frame.numbers(*out),
                      .value = value,
                      .packed = packed.data(),
                      .scratch = reinterpret_cast<real*>(frame.scratch),
                      .valid = kernels.lanes});
  }
  std::int64_t scratch_bytes() const override {
    return node.op->scratch_size
               ? node.op->scratch_size(node, kernels) * static_cast<std::int64_t>(sizeof(real))
               : 0;
  }

  const Node& node;
  const Kernels& kernels;
  const real* value;
  aligned_vector<real> packed;
};

// A convolution whose groups are neither all channels nor one, as one with zeros between its groups.
void expand_groups(LayerWeights& weights) {
  ConvShape& s = weights.shape;
  if (s.groups == 1 || (s.groups == s.in_channels && s.groups == s.out_channels)) return;
  const std::size_t taps = static_cast<std::size_t>(s.taps());
  const std::size_t row = static_cast<std::size_t>(s.group_in()) * taps;
  std::vector<std::int8_t> expanded(static_cast<std::size_t>(s.out_channels) *
                                    static_cast<std::size_t>(s.in_channels) * taps);
  for (int o = 0; o < s.out_channels; ++o) {
    const int first_in = o / s.group_out() * s.group_in();
    const auto from =
        weights.integers.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(o) * row);
    std::copy_n(from, row,
                expanded.begin() +
                    (std::ptrdiff_t{o} * s.in_channels + first_in) * static_cast<std::ptrdiff_t>(taps));
  }
  weights.integers = std::move(expanded);
  s.groups = 1;
}

// Whether a convolution takes fewer products with the taps of a row as channels.
bool gathers_taps(const ConvShape& s) {
  return s.groups == 1 && s.in_channels < kCodeChannels &&
         code_groups(s.kernel_width * s.in_channels) < s.kernel_width;
}

// The weights of that convolution: [out][kw · in][kh][1].
void gather_weights(LayerWeights& weights) {
  ConvShape& s = weights.shape;
  std::vector<std::int8_t> gathered(weights.integers.size());
  auto from = weights.integers.begin();
  for (int o = 0; o < s.out_channels; ++o) {
    for (int c = 0; c < s.in_channels; ++c) {
      for (int ky = 0; ky < s.kernel_height; ++ky) {
        for (int kx = 0; kx < s.kernel_width; ++kx) {
          const int channel = o * s.kernel_width * s.in_channels + kx * s.in_channels + c;
          gathered[static_cast<std::size_t>(channel * s.kernel_height + ky)] = *from++;
        }
      }
    }
  }
  weights.integers = std::move(gathered);
  s.in_channels *= s.kernel_width;
  s.in_height = (s.out_height - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
  s.in_width = s.out_width;
  s.kernel_width = s.stride_width = s.dilation_width = 1;
  s.pad_top = s.pad_left = 0;
}

}  // namespace

void to_integer_form(LayerWeights& weights) {
  expand_groups(weights);
  if (gathers_taps(weights.shape)) gather_weights(weights);
}

namespace {

struct Convolve final : Instruction {
  Convolve(const WeightFormat& f, LayerWeights weights, const Kernels& k, Rectifier rectifier, Map* from,
           Map* to)
      : format(f),
        kernels(k),
        integer(integer_kernels(k)),
        lanes(k.lanes),
        original(weights.shape),
        shape(original) {
    in = {from};
    out = to;
    if (format.integer) {
      find_start(weights);
      find_multiplier(weights);
      const CodeRange range = to->is_codes ? range_of(to->grid, rectifier) : CodeRange{0, 255};
      requantization = {.start = start.data(),
                        .multiplier = multiplier.data(),
                        .zero_point = to->grid.zero_point,
                        .lowest = range.lowest,
                        .highest = range.highest};
      expand_groups(weights);
      original = weights.shape;
      gathers = gathers_taps(original);
      if (gathers) gather_weights(weights);
    } else {
      bias.assign(weights.bias.begin(), weights.bias.end());
    }
    shape = weights.shape;
    arrange();
    weights.shape = shape;
    packed = format.pack(weights, kernels, integer);
  }

  void run(const Frame& frame) const override {
    const void* source = frame.codes(*in[0]);
    if (gathers) {
      integer.gather_taps(original, in[0]->grid.zero_point, frame.codes(*in[0]), frame.scratch);
      source = frame.scratch;
    }
    if (with_border) source = surround(frame.codes(*in[0]), frame.scratch);
    format.run({.shape = shape,
                .kernels = kernels,
                .integer = integer,
                .packed = packed.data(),
                .in = source,
                .scratch = frame.scratch,
                .spread = frame.scratch + input_bytes(),
                .out = frame.codes(*out),
                .to_codes = out->is_codes,
                .requantization = &requantization,
                .bias = bias.empty() ? nullptr : bias.data()});
  }
  std::int64_t scratch_bytes() const override {
    return input_bytes() + (format.spread_bytes ? format.spread_bytes(shape, integer) : 0);
  }

  // Of the input as it is read. What follows is aligned.
  std::int64_t input_bytes() const {
    std::int64_t bytes = 0;
    if (!format.integer) {
      if (format.scratch_bytes) bytes = format.scratch_bytes(shape, kernels);
    } else if (with_border || gathers) {
      bytes = border_bytes() + kSingleSlack;
    }
    return (bytes + kReachBytes - 1) / kReachBytes * kReachBytes;
  }

  std::int64_t border_bytes() const {
    return std::int64_t{code_groups(shape.in_channels)} * shape.in_height * shape.in_width * pixel_bytes();
  }
  std::int64_t pixel_bytes() const { return std::int64_t{lanes} * kCodeChannels; }

  // A sum begins with the bias and without what the zero point will add: the border holds zero points, so
  // each weight meets one.
  void find_start(const LayerWeights& weights) {
    const std::size_t rows = static_cast<std::size_t>(weights.shape.out_channels);
    const std::size_t row = weights.integers.size() / rows;
    start.resize(rows + kMoreChannels);
    for (std::size_t o = 0; o < rows; ++o) {
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < row; ++i) sum += weights.integers[o * row + i];
      const std::int32_t code = weights.bias.empty() ? 0
                                                     : bias_code(static_cast<float>(weights.bias[o]),
                                                                 in[0]->grid.scale, weights.scales[o]);
      start[o] = code - in[0]->grid.zero_point * sum;
    }
  }
  void find_multiplier(const LayerWeights& weights) {
    for (const float scale : weights.scales) {
      const float sum_scale = in[0]->grid.scale * scale;
      multiplier.push_back(out->is_codes ? sum_scale / out->grid.scale : sum_scale);
    }
    multiplier.resize(weights.scales.size() + kMoreChannels);
  }

  // Integer kernels know no borders: the map is copied between zero points where it has any.
  void arrange() {
    if (!format.integer || gathers) return;
    const int height =
        (shape.out_height - 1) * shape.stride_height + (shape.kernel_height - 1) * shape.dilation_height + 1;
    const int width =
        (shape.out_width - 1) * shape.stride_width + (shape.kernel_width - 1) * shape.dilation_width + 1;
    with_border =
        shape.pad_top > 0 || shape.pad_left > 0 || height > shape.in_height || width > shape.in_width;
    if (!with_border) return;
    top = shape.pad_top;
    left = shape.pad_left;
    rows = std::min(shape.in_height, height - top);
    columns = std::min(shape.in_width, width - left);
    from_height = shape.in_height;
    from_width = shape.in_width;
    shape.in_height = height;
    shape.in_width = width;
    shape.pad_top = shape.pad_left = 0;
  }

  const std::uint8_t* surround(const std::uint8_t* map, std::uint8_t* bordered) const {
    std::memset(bordered, in[0]->grid.zero_point, static_cast<std::size_t>(border_bytes()));
    for (int group = 0; group < code_groups(shape.in_channels); ++group) {
      for (int y = 0; y < rows; ++y) {
        std::memcpy(bordered + ((std::int64_t{group} * shape.in_height + top + y) * shape.in_width + left) *
                                   pixel_bytes(),
                    map + (std::int64_t{group} * from_height + y) * from_width * pixel_bytes(),
                    static_cast<std::size_t>(columns * pixel_bytes()));
      }
    }
    return bordered;
  }

  const WeightFormat& format;
  const Kernels& kernels;
  const IntegerKernels& integer;
  int lanes;
  ConvShape original;  // before its taps were gathered
  ConvShape shape;
  PackedBytes packed;
  std::vector<std::int32_t> start;
  std::vector<float> multiplier;
  aligned_vector<real> bias;
  Requantization requantization{};
  bool gathers = false;
  bool with_border = false;
  int top = 0, left = 0, rows = 0, columns = 0, from_height = 0, from_width = 0;
};

struct MaxPool final : Instruction {
  MaxPool(const PoolShape& s, const IntegerKernels& k) : shape(s), kernels(k) {}
  void run(const Frame& frame) const override {
    kernels.max_pool(shape, frame.codes(*in[0]), frame.codes(*out));
  }

  PoolShape shape;
  const IntegerKernels& kernels;
};

struct AveragePool final : Instruction {
  AveragePool(const PoolShape& s, const IntegerKernels& k, Rectifier rectifier, Map* from, Map* to)
      : shape(s), kernels(k) {
    in = {from};
    out = to;
    for (int pixels = 1; pixels <= s.kernel_height * s.kernel_width; ++pixels) {
      multiplier.push_back(from->grid.scale / (to->grid.scale * static_cast<float>(pixels)));
    }
    const CodeRange range = range_of(to->grid, rectifier);
    requantization = {.start = nullptr,
                      .multiplier = multiplier.data(),
                      .zero_point = to->grid.zero_point,
                      .lowest = range.lowest,
                      .highest = range.highest};
  }
  void run(const Frame& frame) const override {
    kernels.average_pool(shape, in[0]->grid.zero_point, frame.codes(*in[0]), requantization,
                         frame.codes(*out));
  }

  PoolShape shape;
  const IntegerKernels& kernels;
  std::vector<float> multiplier;
  Requantization requantization{};
};

struct Add final : Instruction {
  Add(const IntegerKernels& k, Rectifier rectifier, std::vector<Map*> from, Map* to) : kernels(k) {
    in = std::move(from);
    out = to;
    const CodeRange range = range_of(to->grid, rectifier);
    sum = {.scale_a = in[0]->grid.scale,
           .scale_b = in[1]->grid.scale,
           .scale = to->grid.scale,
           .zero_a = in[0]->grid.zero_point,
           .zero_b = in[1]->grid.zero_point,
           .zero_point = to->grid.zero_point,
           .lowest = range.lowest,
           .highest = range.highest};
    size = code_groups(to->shape.channels) * std::int64_t{to->shape.pixels()} * kernels.lanes * kCodeChannels;
  }
  void run(const Frame& frame) const override {
    kernels.add(size, frame.codes(*in[0]), frame.codes(*in[1]), sum, frame.codes(*out));
  }

  const IntegerKernels& kernels;
  CodeSum sum{};
  std::int64_t size = 0;
};

// Codes of one grid as those of another, channel by channel.
struct Translate final : Instruction {
  Translate(const IntegerKernels& k, Rectifier rectifier, std::vector<Map*> from, Map* to) : lanes(k.lanes) {
    in = std::move(from);
    out = to;
    const CodeRange range = range_of(to->grid, rectifier);
    for (const Map* map : in) {
      Table& table = tables.emplace_back();
      for (int code = 0; code < 256; ++code) {
        const float number = map->grid.scale * static_cast<float>(code - map->grid.zero_point);
        table[static_cast<std::size_t>(code)] = static_cast<std::uint8_t>(
            map->grid == to->grid ? std::clamp(code, range.lowest, range.highest)
                                  : std::clamp(code_of(number, to->grid), range.lowest, range.highest));
      }
    }
  }
  void run(const Frame& frame) const override {
    int channel = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      for (int c = 0; c < in[i]->shape.channels; ++c, ++channel) {
        const std::uint8_t* from = channel_of(frame.codes(*in[i]), c);
        std::uint8_t* to = const_cast<std::uint8_t*>(channel_of(frame.codes(*out), channel));
        const std::int64_t numbers = std::int64_t{out->shape.pixels()} * lanes;
        for (std::int64_t k = 0; k < numbers; ++k) to[k * kCodeChannels] = tables[i][from[k * kCodeChannels]];
      }
    }
  }
  const std::uint8_t* channel_of(const std::uint8_t* codes, int channel) const {
    return codes + std::int64_t{channel / kCodeChannels} * out->shape.pixels() * lanes * kCodeChannels +
           channel % kCodeChannels;
  }

  int lanes;
  std::vector<Table> tables;
};

struct ToCodes final : Instruction {
  explicit ToCodes(const IntegerKernels& k) : kernels(k) {}
  void run(const Frame& frame) const override {
    const CodeGrid& grid = out->grid;
    kernels.to_codes(frame.numbers(*in[0]), out->shape.channels, out->shape.pixels(), grid.scale,
                     grid.zero_point, grid.highest, frame.codes(*out));
  }
  const IntegerKernels& kernels;
};

struct ToNumbers final : Instruction {
  explicit ToNumbers(const IntegerKernels& k) : kernels(k) {}
  void run(const Frame& frame) const override {
    const Map& map = *in[0];
    kernels.to_numbers(frame.codes(map), map.shape.channels, map.shape.pixels(), map.grid.scale,
                       map.grid.zero_point, frame.numbers(*out));
  }
  const IntegerKernels& kernels;
};

template <class Made>
std::unique_ptr<Instruction> between(std::unique_ptr<Made> made, Map* in, Map* out) {
  made->in = {in};
  made->out = out;
  return made;
}

}  // namespace

std::unique_ptr<Instruction> load_images(const InputInfo& input, const Kernels& kernels, Map* out) {
  return std::make_unique<LoadImages>(input, kernels, out);
}

std::unique_ptr<Instruction> run_node(const Node& node, const Kernels& kernels, const real* value,
                                      std::vector<Map*> in, Map* out) {
  auto made = std::make_unique<RunNode>(node, kernels, value);
  made->in = std::move(in);
  made->out = out;
  return made;
}

std::unique_ptr<Instruction> convolve(const WeightFormat& format, LayerWeights weights,
                                      const Kernels& kernels, Rectifier rectifier, Map* in, Map* out,
                                      std::int64_t& packed_bytes) {
  auto made = std::make_unique<Convolve>(format, std::move(weights), kernels, rectifier, in, out);
  packed_bytes = format.bytes(made->packed);
  return made;
}

std::unique_ptr<Instruction> max_pool(const PoolShape& shape, const IntegerKernels& kernels, Map* in,
                                      Map* out) {
  return between(std::make_unique<MaxPool>(shape, kernels), in, out);
}
std::unique_ptr<Instruction> average_pool(const PoolShape& shape, const IntegerKernels& kernels,
                                          Rectifier rectifier, Map* in, Map* out) {
  return std::make_unique<AveragePool>(shape, kernels, rectifier, in, out);
}
std::unique_ptr<Instruction> add(const IntegerKernels& kernels, Rectifier rectifier, std::vector<Map*> in,
                                 Map* out) {
  return std::make_unique<Add>(kernels, rectifier, std::move(in), out);
}
std::unique_ptr<Instruction> concatenate(const IntegerKernels& kernels, Rectifier rectifier,
                                         std::vector<Map*> in, Map* out) {
  return std::make_unique<Translate>(kernels, rectifier, std::move(in), out);
}
std::unique_ptr<Instruction> rectify(const IntegerKernels& kernels, Map* in, Map* out) {
  return std::make_unique<Translate>(kernels, Rectifier::kRelu, std::vector<Map*>{in}, out);
}
std::unique_ptr<Instruction> to_codes(const IntegerKernels& kernels, Map* in, Map* out) {
  return between(std::make_unique<ToCodes>(kernels), in, out);
}
std::unique_ptr<Instruction> to_numbers(const IntegerKernels& kernels, Map* in, Map* out) {
  return between(std::make_unique<ToNumbers>(kernels), in, out);
}

}  // namespace espalier
