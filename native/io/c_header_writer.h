// A C header as far as it is written: its tables, its code, and where the graph's feature maps are.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/model.h"
#include "io/c_header_memory.h"
#include "io/c_header_text.h"
#include "runtime/codes.h"

namespace espalier::c_header {

// A feature map, as the reference keeps it.
struct Value {
  bool is_codes = false;
  CodeGrid grid;
  Shape shape;
  int buffer = -1;
  int numbers = -1;  // the buffer of the codes' numbers; -1: not made yet
};

struct Writer {
  Writer(const Model& model, std::string_view name);

  // ---- feature maps, by the names of their buffers

  std::string codes(const Value& value) { return memory.use(value.buffer); }
  // Of codes too: made of them when first asked for.
  std::string numbers(Value& value);
  // The map that a layer writes.
  std::string begin_codes(Value& value, const Shape& shape, const CodeGrid& grid);
  std::string begin_numbers(Value& value, const Shape& shape);
  // The layers that are computed with this one (runtime/tail.h) are known, too.
  void end_tail(const Node& node);

  // ---- text

  // The name of a layer's table.
  std::string table(const std::string& what, const Node& node) const {
    return name + "_" + what + text(node.index + 1);
  }
  void line(const std::string& code) { body += "  " + code + "\n"; }

  // Of `effective`.
  std::span<const real> numbers_of(const ParameterInfo& info) const {
    return {effective.data() + info.offset, static_cast<std::size_t>(info.size)};
  }

  const Graph& graph;
  std::string name;
  std::vector<real> effective;  // the numbers that layers compute with, as the executor makes them
  std::vector<Value> values;    // of the graph
  std::vector<bool> known;
  Memory memory;
  bool needs_math = false;
  std::string data, body;  // tables; code
};

// Layers whose inputs are codes, as the packed runtime computes them; false: this one has no integer form
// (c_header_integers.cpp).
bool write_on_codes(Writer& writer, const Node& node);
// The layers of training, in their order of sums (c_header_floats.cpp). Error{kUnsupported}.
void write_on_numbers(Writer& writer, const Node& node);

}  // namespace espalier::c_header
