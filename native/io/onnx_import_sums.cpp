// Sums and products: of maps, which are layers, and with constants, which are the normalisation of the image
// or a bias.
#include "io/onnx_import_operators.h"

#include <cmath>
#include <utility>

#include "ops/weights.h"

namespace espalier::onnx_import {
namespace {

// pixel · scale + offset, in the order of the file, so that what was written comes back the same.
void normalise(NodeImport& node, const Value& x, const Constant& c, char operation) {
  Normalisation& normalisation = node.network().normalisation;
  const std::size_t channels = normalisation.scale.size(), size = c.numbers.size();
  const auto rank = c.dims.size();
  const bool by_channel =
      size == channels &&
      (channels == 1 || (rank >= 3 && c.dims[rank - 3] == static_cast<std::int64_t>(channels)));
  node.require(size == 1 || by_channel,
               "with a constant that is neither one number nor one for each channel");
  for (std::size_t i = 0; i < channels; ++i) {
    const double number = double{c.numbers[size == 1 ? 0 : i]};
    if (operation == '+') normalisation.offset[i] += number;
    if (operation == '-') normalisation.offset[i] -= number;
    if (operation == '*') normalisation.scale[i] *= number, normalisation.offset[i] *= number;
    if (operation == '/') normalisation.scale[i] /= number, normalisation.offset[i] /= number;
    node.require(std::isfinite(normalisation.scale[i]) && normalisation.scale[i] > 0 &&
                     std::isfinite(normalisation.offset[i]),
                 "that leaves nothing of the image, or turns it around");
  }
  node.set(x);
  normalisation.tensor = node.output_name();
}

bool add_bias(NodeImport& node, const Value& x, const Constant& c) {
  Layer& layer = node.network().layers.back();
  const Shape& shape = node.shape_of(x);
  // One number for each channel: the last dimension of vectors, the last but two of maps.
  const std::size_t rank = c.dims.size();
  const auto channel = x.flat ? rank - 1 : rank - 3;
  const bool fits =
      c.numbers.size() == 1 || (rank > (x.flat ? 0u : 2u) && c.dims[channel] == shape.channels &&
                                static_cast<int>(c.numbers.size()) == shape.channels);
  if (!fits || c.numbers.empty()) return false;
  layer.parameters.insert(layer.parameters.begin() + 1,
                          bias_of_constant(node, c, static_cast<std::size_t>(shape.channels)));
  layer.node.attributes.bias = true;
  Value out = x;
  node.set(out);
  return true;
}

void with_constant(NodeImport& node, char operation) {
  Network& network = node.network();
  const bool swapped = node.maybe_constant(0) != nullptr;
  if (swapped && (operation == '-' || operation == '/')) node.refuse(" of a constant and a map");
  if (!swapped && !node.maybe_constant(1)) node.refuse(" of two maps");
  const Constant& c = node.constant(swapped ? 0 : 1);
  const std::string& name = node.input_name(swapped ? 1 : 0);
  const Value x = node.value(swapped ? 1 : 0);
  if (x.id == 0 && name == network.normalisation.tensor && network.only_reader(name))
    return normalise(node, x, c, operation);
  if (operation == '+' && network.only_reader(name) && x.id == static_cast<int>(network.layers.size()) &&
      x.id > 0 && has_weights(network.layers.back().node) && !network.layers.back().node.attributes.bias &&
      add_bias(node, x, c)) {
    return;
  }
  node.refuse(" with a constant, which the engine has only on the image and as a bias");
}

}  // namespace

void read_sum(NodeImport& node) {
  if (node.input_count() == 1) return node.set(node.value(0));
  if (node.input_count() == 2 && (node.maybe_constant(0) || node.maybe_constant(1)))
    return with_constant(node, '+');
  std::vector<Value> from;
  for (std::size_t i = 0; i < node.input_count(); ++i) from.push_back(node.value(i));
  node.set(node.append(kAdd, std::move(from), {}));
}

void read_sub(NodeImport& node) { with_constant(node, '-'); }
void read_mul(NodeImport& node) { with_constant(node, '*'); }

void read_div(NodeImport& node) { with_constant(node, '/'); }

}  // namespace espalier::onnx_import
