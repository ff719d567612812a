#include "io/c_header_writer.h"

#include "ops/weights.h"
#include "runtime/tail.h"

namespace espalier::c_header {
namespace {

std::vector<real> effective_values(const Model& model) {
  std::vector<real> values(model.parameters.value.begin(), model.parameters.value.end());
  const auto& mask = model.parameters.mask;
  const auto apply_mask = [&] {
    for (std::size_t i = 0; i < mask.size(); ++i) values[i] *= mask[i];
  };
  apply_mask();
  for (const Node& node : model.graph.nodes) {
    if (node.attributes.quantize.scheme)
      fake_quantize_weights(node, model.parameters.value.data(), values.data());
  }
  apply_mask();
  return values;
}

}  // namespace

Writer::Writer(const Model& model, std::string_view given)
    : graph(model.graph), name(given), effective(effective_values(model)) {}

std::string Writer::numbers(Value& value) {
  if (!value.is_codes) return memory.use(value.buffer);
  if (value.numbers < 0) {
    value.numbers = memory.make(value.shape.size(), true);
    line(each(value.shape.size(),
              fill("OUT[i] = (float)(IN[i] - ZERO) * SCALE;", {{"OUT", memory.use(value.numbers)},
                                                               {"IN", codes(value)},
                                                               {"ZERO", text(value.grid.zero_point)},
                                                               {"SCALE", text(double{value.grid.scale})}})));
  }
  return memory.use(value.numbers);
}

std::string Writer::begin_codes(Value& value, const Shape& shape, const CodeGrid& grid) {
  value = {.is_codes = true, .grid = grid, .shape = shape, .buffer = memory.make(shape.size(), false)};
  return memory.use(value.buffer);
}

std::string Writer::begin_numbers(Value& value, const Shape& shape) {
  value = {.shape = shape, .buffer = memory.make(shape.size(), true)};
  return memory.use(value.buffer);
}

void Writer::end_tail(const Node& node) {
  for (const std::size_t v : tail_of(graph, node.index + 1).values) {
    values[v] = values[node.index + 1];
    known[v] = true;
  }
}

}  // namespace espalier::c_header
