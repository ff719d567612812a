#include "io/espalier_numbers.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "io/espalier_surroundings.h"
#include "ops/op.h"
#include "ops/weights.h"

namespace espalier::espl {
namespace {

// The floats in order, as whole numbers: -0 is -1, 0 is 0.
float float_at(std::int32_t place) {
  const std::int32_t bits = place < 0 ? std::numeric_limits<std::int32_t>::min() - place - 1 : place;
  return std::bit_cast<float>(bits);
}
constexpr std::int32_t kLastFloat = 0x7F7FFFFF;

// A number that has this code: its level, or, where rounding or a threshold would give that another code, the
// smallest other one; levels rise with the numbers that they stand for. So what was read has the codes that
// were written.
real number_of(const QuantizationScheme& scheme, std::int32_t code, const Grid& grid, int bits) {
  const auto code_of = [&](real x) {
    std::int32_t found = 0;
    scheme.quantize({&x, 1}, grid, bits, &found);
    return found;
  };
  const auto level_of = [&](std::int32_t of) {
    real level = 0;
    scheme.dequantize({&of, 1}, grid, bits, &level);
    return level;
  };
  const real level = level_of(code);
  if (code_of(level) == code) return level;
  std::int32_t low = -kLastFloat - 1, high = kLastFloat;
  while (low < high) {
    const auto middle = static_cast<std::int32_t>((std::int64_t{low} + high) >> 1);
    if (level_of(code_of(float_at(middle))) < level) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (code_of(float_at(low)) != code) refuse("has a weight that is not on its grid");
  return float_at(low);
}

class Numbers {
 public:
  explicit Numbers(EspalierCoder& coder) : coder_(coder) {}

  void code(Model& model) {
    Parameters& p = model.parameters;
    const bool masked = coder_.flag(!p.mask.empty(), Contexts(kTensorFlag).add(0));
    if (coder_.reading() && masked)
      p.mask.assign(static_cast<std::size_t>(model.graph.trainable_size), real{1});
    for (const Node& node : model.graph.nodes) {
      std::size_t first = 0;
      if (has_weights(node)) {
        weights(model, node, masked);
        first = 1;
      }
      for (std::size_t i = first; i < node.parameters.size(); ++i) {
        const ParameterInfo& info = node.parameters[i];
        // Grids go with their weights.
        if (&info == grid_scale_of(node) || &info == grid_offset_of(node)) continue;
        const bool partly = masked && info.trainable && pruned(p.mask, info);
        floats(p, info, {.rows = info.size}, partly);
        coder_.part(info.name);
      }
    }
  }

 private:
  // Whether the tensor has a mask.
  bool pruned(const aligned_vector<real>& mask, const ParameterInfo& info) {
    const auto first = mask.begin() + info.offset;
    const bool any = !coder_.reading() && std::find(first, first + info.size, real{0}) != first + info.size;
    return coder_.flag(any, Contexts(kTensorFlag).add(1));
  }

  // One mask bit: true if the weight is kept.
  bool kept(aligned_vector<real>& mask, std::int64_t at, const Surroundings& around) {
    real& bit = mask[static_cast<std::size_t>(at)];
    const bool kept = coder_.flag(bit != 0, around.mask_contexts(tensor_));
    if (coder_.reading()) bit = kept ? real{1} : real{0};
    return kept;
  }

  void weights(Model& model, const Node& node, bool masked) {
    Parameters& p = model.parameters;
    const ParameterInfo& weight = weight_of(node);
    const bool partly = masked && pruned(p.mask, weight);
    const Window window = window_of(model.graph, node);
    const WeightQuantization& q = node.attributes.quantize;
    if (!q.scheme) {
      floats(p, weight, window, partly);
      coder_.part(weight.name);
      return;
    }
    if (q.scheme->codebook) {
      shared(p, node, window, partly);
    } else {
      codes(p, node, window, partly);
    }
  }

  // Weights on grids: all codes, then the grids of those groups that have any.
  void codes(Parameters& p, const Node& node, const Window& window, bool partly) {
    const WeightQuantization& q = node.attributes.quantize;
    const ParameterInfo& weight = weight_of(node);
    const std::int32_t lowest = q.scheme->lowest_code(q.bits);
    std::vector<std::int32_t> codes(static_cast<std::size_t>(weight.size));
    if (!coder_.reading()) codes = weight_codes(node, p.value.data());
    std::vector<bool> stored(codes.size(), true);
    ++tensor_;
    Surroundings around(window);
    for (std::int64_t i = 0; i < weight.size; ++i) {
      const auto at = static_cast<std::size_t>(i);
      around.move_to(i);
      stored[at] = !partly || kept(p.mask, weight.offset + i, around);
      if (!stored[at]) {
        around.put(-1);
        continue;
      }
      const auto bits = static_cast<std::uint32_t>(q.bits);
      const std::uint32_t level = coder_.symbol(static_cast<std::uint32_t>(codes[at] - lowest), q.bits,
                                                around.level_contexts(tensor_, bits));
      codes[at] = static_cast<std::int32_t>(level) + lowest;
      if (codes[at] > q.scheme->highest_code(q.bits)) refuse("has a weight that is not on its grid");
      around.put(static_cast<std::int32_t>(level));
    }
    coder_.part(weight.name);

    const ParameterInfo& scale = *grid_scale_of(node);
    const ParameterInfo* offset = grid_offset_of(node);
    std::vector<bool> used;
    for (std::int64_t i = 0; i < scale.size; ++i) {
      const WeightGroup group = group_at(q, window.rows, window.row(), i);
      const auto first = stored.begin() + group.begin;
      used.push_back(std::find(first, first + group.size, true) != first + group.size);
    }
    list(p, scale, used, real{1});
    if (offset) list(p, *offset, used, real{0});
    coder_.part(scale.name);
    if (!coder_.reading()) return;
    for (std::int64_t i = 0; i < scale.size; ++i) {
      const WeightGroup group = group_at(q, window.rows, window.row(), i);
      const Grid grid{q.learned ? std::max(p.value[static_cast<std::size_t>(scale.offset + i)], real(1e-12))
                                : p.value[static_cast<std::size_t>(scale.offset + i)],
                      offset ? p.value[static_cast<std::size_t>(offset->offset + i)] : real{0}};
      for (std::int64_t k = group.begin; k < group.begin + group.size; ++k) {
        const auto at = static_cast<std::size_t>(k);
        if (stored[at]) {
          p.value[static_cast<std::size_t>(weight.offset + k)] =
              number_of(*q.scheme, codes[at], grid, q.bits);
        }
      }
    }
  }

  // Weights that share levels: the levels in use, then for each weight which of them, in ascending order.
  void shared(Parameters& p, const Node& node, const Window& window, bool partly) {
    const ParameterInfo& weight = weight_of(node);
    const ParameterInfo& codebook = *codebook_of(node);
    real* levels = p.value.data() + codebook.offset;
    real* index = p.value.data() + codebook_index_of(node)->offset;
    std::vector<bool> used(static_cast<std::size_t>(codebook.size));
    for (std::int64_t i = 0; !coder_.reading() && i < weight.size; ++i) {
      if (!partly || p.mask[static_cast<std::size_t>(weight.offset + i)] != 0)
        used[static_cast<std::size_t>(index[i])] = true;
    }
    ++tensor_;
    for (std::size_t i = 0; i < used.size(); ++i) {
      used[i] = coder_.flag(used[i], Contexts(kUsedLevel).add(i == 0 ? 0 : 1));
    }
    list(p, codebook, used, real{0});
    coder_.part(codebook.name);

    std::vector<std::uint32_t> rank(used.size());
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i]) continue;
      const auto at = std::upper_bound(order.begin(), order.end(), i,
                                       [&](std::size_t a, std::size_t b) { return levels[a] < levels[b]; });
      order.insert(at, i);
    }
    for (std::size_t i = 0; i < order.size(); ++i) rank[order[i]] = static_cast<std::uint32_t>(i);
    const int bits = order.size() > 1 ? static_cast<int>(std::bit_width(order.size() - 1)) : 0;

    Surroundings around(window);
    for (std::int64_t i = 0; i < weight.size; ++i) {
      around.move_to(i);
      if (partly && !kept(p.mask, weight.offset + i, around)) {
        around.put(-1);
        if (coder_.reading()) index[i] = 0;
        continue;
      }
      const std::uint32_t level =
          coder_.symbol(coder_.reading() ? 0 : rank[static_cast<std::size_t>(index[i])], std::max(bits, 1),
                        around.level_contexts(tensor_, static_cast<std::uint32_t>(bits)));
      if (level >= order.size()) refuse("has a weight whose level is not in its codebook");
      around.put(static_cast<std::int32_t>(level));
      if (!coder_.reading()) continue;
      index[i] = static_cast<real>(order[level]);
      p.value[static_cast<std::size_t>(weight.offset + i)] = levels[order[level]];
    }
    coder_.part(weight.name);
  }

  void floats(Parameters& p, const ParameterInfo& info, const Window& window, bool partly) {
    ++tensor_;
    begin_floats(p, info, {});
    Surroundings around(window);
    for (std::int64_t i = 0; i < info.size; ++i) {
      if (partly) {
        around.move_to(i);
        const bool stored = kept(p.mask, info.offset + i, around);
        around.put(stored ? 0 : -1);
        if (!stored) continue;
      }
      real32(p.value[static_cast<std::size_t>(info.offset + i)]);
    }
  }

  // The numbers of `info` that are used; the others become `unused`.
  void list(Parameters& p, const ParameterInfo& info, const std::vector<bool>& used, real unused) {
    begin_floats(p, info, used);
    for (std::int64_t i = 0; i < info.size; ++i) {
      real& number = p.value[static_cast<std::size_t>(info.offset + i)];
      if (used[static_cast<std::size_t>(i)]) {
        real32(number);
      } else if (coder_.reading()) {
        number = unused;
      }
    }
  }

  // How many of the lowest bits are 0 in all of the tensor's numbers: they are not stored.
  void begin_floats(const Parameters& p, const ParameterInfo& info, const std::vector<bool>& used) {
    std::uint32_t zeros = 23;
    for (std::int64_t i = 0; !coder_.reading() && i < info.size; ++i) {
      if (!used.empty() && !used[static_cast<std::size_t>(i)]) continue;
      const auto number = static_cast<float>(p.value[static_cast<std::size_t>(info.offset + i)]);
      zeros =
          std::min(zeros, static_cast<std::uint32_t>(std::countr_zero(std::bit_cast<std::uint32_t>(number))));
    }
    zero_bits_ = static_cast<int>(coder_.symbol(zeros, 5, Contexts(kZeroBits).add(0)));
    if (zero_bits_ > 23) refuse("has numbers of a form that is not known here; a newer version may read it");
    last_exponent_ = 0;
    ++float_tensor_;
  }

  void real32(real& number) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(number));
    const std::uint32_t exponent =
        coder_.symbol(bits >> 23 & 0xFF, 8,
                      Contexts(kExponent).add(0).add(float_tensor_).add(float_tensor_, last_exponent_));
    last_exponent_ = exponent;
    if (exponent == 255) refuse("has a value that is not a finite number");
    const std::uint32_t sign = static_cast<std::uint32_t>(
        coder_.bit(static_cast<int>(bits >> 31), Contexts(kMantissa).add(0).add(float_tensor_, exponent)));
    std::uint32_t result = sign << 31 | exponent << 23;
    const int stored = 23 - zero_bits_, known = std::min(stored, 3);
    const std::uint32_t mantissa = (bits & 0x7FFFFF) >> zero_bits_;
    std::uint32_t high = 0;
    if (known > 0) {
      high = coder_.symbol(mantissa >> (stored - known), known,
                           Contexts(kMantissa).add(1).add(float_tensor_).add(exponent));
    }
    const int rest = stored - known;
    const std::uint32_t low =
        exponent == 0 ? rest_of_zero(mantissa, rest) : coder_.raw(mantissa & ((1u << rest) - 1), rest);
    result |= (high << rest | low) << zero_bits_;
    if (coder_.reading()) number = static_cast<real>(std::bit_cast<float>(result));
  }

  // Of 0 and its smallest neighbours: usually 0.
  std::uint32_t rest_of_zero(std::uint32_t mantissa, int bits) {
    mantissa &= (1u << bits) - 1;
    if (bits == 0 || !coder_.flag(mantissa != 0, Contexts(kMantissa).add(2))) return 0;
    return coder_.raw(mantissa, bits);
  }

  EspalierCoder& coder_;
  std::uint32_t tensor_ = 0;
  std::uint32_t float_tensor_ = 0;
  std::uint32_t last_exponent_ = 0;
  int zero_bits_ = 0;
};

}  // namespace

void code_numbers(EspalierCoder& coder, Model& model) { Numbers(coder).code(model); }

}  // namespace espalier::espl
