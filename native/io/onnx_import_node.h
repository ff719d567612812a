// A node of an ONNX file on its way in: its attributes, its inputs, and where its output goes. What is wrong
// with it is told with its name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/onnx_file.h"
#include "io/onnx_import_network.h"
#include "ops/op.h"

namespace espalier::onnx_import {

using onnx::Attribute;
using onnx::Constant;

// The decimal number that became this float: 1e-5, not 9.99999974e-6.
double decimal_of(float number);

class NodeImport {
 public:
  NodeImport(const onnx::Node& node, Network& network) : node_(node), network_(network) {}

  Network& network() { return network_; }

  // ---- errors

  // Error{kUnsupported}: what the engine does not have.
  [[noreturn]] void refuse(const std::string& what) const;
  // Error{kModel}: what cannot be.
  [[noreturn]] void contradicts(const std::string& what) const;
  void require(bool fits, const std::string& what) const {
    if (!fits) contradicts(what);
  }

  // ---- attributes: null or `otherwise` where the node has none

  const Attribute* attribute(std::string_view name, Attribute::Type type) const;
  std::int64_t whole(std::string_view name, std::int64_t otherwise) const;
  double number(std::string_view name, double otherwise) const;
  std::string text(std::string_view name, const std::string& otherwise) const;
  // As many as `otherwise` has, or any number if that is empty.
  std::vector<std::int64_t> wholes(std::string_view name, std::vector<std::int64_t> otherwise) const;
  int small(std::int64_t number) const;
  Pair pair(const std::vector<std::int64_t>& two) const { return {small(two[0]), small(two[1])}; }

  // ---- inputs

  std::size_t input_count() const { return node_.inputs.size(); }
  bool has_input(std::size_t i) const { return i < node_.inputs.size() && !node_.inputs[i].empty(); }
  const std::string& input_name(std::size_t i) const;
  const Value& value(std::size_t i) const;
  const Constant* maybe_constant(std::size_t i) const;
  const Constant& constant(std::size_t i) const;
  float scalar(std::size_t i) const;
  const Shape& shape_of(const Value& v) const { return network_.shape_of(v); }

  // ---- the output

  std::string output_name() const { return node_.outputs.empty() ? "" : node_.outputs[0]; }
  void set(const Value& v);
  void set_constant(Constant c);

  // ---- the graph

  // Appends a layer; its shapes are proved at once.
  Value append(const OpType& op, std::vector<Value> from, Attributes attributes,
               std::vector<std::vector<float>> parameters = {});
  Value flattened(Value v);

 private:
  std::string fresh_name(const OpType& op) const;

  const onnx::Node& node_;
  Network& network_;
};

}  // namespace espalier::onnx_import
