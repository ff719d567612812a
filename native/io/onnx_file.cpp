#include "io/onnx_file.h"

#include <bit>
#include <limits>
#include <protozero/pbf_builder.hpp>
#include <protozero/pbf_message.hpp>
#include <utility>

#include "core/error.h"

namespace espalier::onnx {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::size_t kMaxNodes = 20000;      // a thousand layers need a tenth of it
constexpr std::size_t kMaxConstants = 20000;  // the same
constexpr std::size_t kMaxNames = 64;         // inputs, outputs or attributes of a node
constexpr std::size_t kMaxDims = 8;
constexpr std::int64_t kIrVersion = 7, kIrVersionOf4Bits = 10;
constexpr std::int64_t kOpsetOf4Bits = 21;

// Fields of the messages of onnx.proto3, by their numbers there.
enum class ModelField : protozero::pbf_tag_type {
  kIrVersion = 1,
  kProducerName = 2,
  kProducerVersion = 3,
  kGraph = 7,
  kOpsetImport = 8,
  kMetadata = 14,
};
enum class OpsetField : protozero::pbf_tag_type { kDomain = 1, kVersion = 2 };
enum class EntryField : protozero::pbf_tag_type { kKey = 1, kValue = 2 };
enum class GraphField : protozero::pbf_tag_type {
  kNode = 1,
  kName = 2,
  kInitializer = 5,
  kInput = 11,
  kOutput = 12,
};
enum class NodeField : protozero::pbf_tag_type {
  kInput = 1,
  kOutput = 2,
  kName = 3,
  kOpType = 4,
  kAttribute = 5,
  kDomain = 7,
};
enum class AttributeField : protozero::pbf_tag_type {
  kName = 1,
  kF = 2,
  kI = 3,
  kS = 4,
  kT = 5,
  kInts = 8,
  kType = 20,
};
enum class TensorField : protozero::pbf_tag_type {
  kDims = 1,
  kDataType = 2,
  kFloatData = 4,
  kInt32Data = 5,
  kInt64Data = 7,
  kName = 8,
  kRawData = 9,
  kDoubleData = 10,
  kDataLocation = 14,
};
enum class ValueField : protozero::pbf_tag_type { kName = 1, kType = 2, kDocString = 3 };
enum class TypeField : protozero::pbf_tag_type { kTensor = 1 };
enum class TensorTypeField : protozero::pbf_tag_type { kElemType = 1, kShape = 2 };
enum class ShapeField : protozero::pbf_tag_type { kDim = 1 };
enum class DimField : protozero::pbf_tag_type { kValue = 1, kParameter = 2 };

// ---- writing

using Bytes = std::string;
template <class Field>
using Builder = protozero::pbf_builder<Field>;

template <class Field, class Parent, class ParentField>
Builder<Field> child(Parent& parent, ParentField field) {
  return Builder<Field>(parent, field);
}

void put(Builder<TensorField>& out, const Tensor& tensor) {
  for (const std::int64_t dim : tensor.dims) out.add_int64(TensorField::kDims, dim);
  out.add_int32(TensorField::kDataType, static_cast<std::int32_t>(tensor.type));
  if (!tensor.name.empty()) out.add_string(TensorField::kName, tensor.name);
  out.add_bytes(TensorField::kRawData, tensor.bytes);
}

void put(Builder<AttributeField>& out, const Attribute& attribute) {
  using Type = Attribute::Type;
  out.add_string(AttributeField::kName, attribute.name);
  switch (attribute.type) {
    case Type::kFloat:
      out.add_float(AttributeField::kF, attribute.number);
      break;
    case Type::kInt:
      out.add_int64(AttributeField::kI, attribute.whole);
      break;
    case Type::kString:
      out.add_bytes(AttributeField::kS, attribute.text);
      break;
    case Type::kTensor: {
      auto tensor = child<TensorField>(out, AttributeField::kT);
      put(tensor, attribute.tensor);
      break;
    }
    case Type::kInts:
      for (const std::int64_t whole : attribute.wholes) out.add_int64(AttributeField::kInts, whole);
      break;
    case Type::kOther:
      break;
  }
  out.add_enum(AttributeField::kType, static_cast<std::int32_t>(attribute.type));
}

void put(Builder<NodeField>& out, const Node& node) {
  for (const std::string& name : node.inputs) out.add_string(NodeField::kInput, name);
  for (const std::string& name : node.outputs) out.add_string(NodeField::kOutput, name);
  out.add_string(NodeField::kName, node.name);
  out.add_string(NodeField::kOpType, node.op);
  if (!node.domain.empty()) out.add_string(NodeField::kDomain, node.domain);
  for (const Attribute& attribute : node.attributes) {
    auto inner = child<AttributeField>(out, NodeField::kAttribute);
    put(inner, attribute);
  }
}

void put(Builder<ValueField>& out, const Value& value) {
  out.add_string(ValueField::kName, value.name);
  {
    auto type = child<TypeField>(out, ValueField::kType);
    auto tensor = child<TensorTypeField>(type, TypeField::kTensor);
    tensor.add_int32(TensorTypeField::kElemType, static_cast<std::int32_t>(value.type));
    auto shape = child<ShapeField>(tensor, TensorTypeField::kShape);
    for (const std::int64_t extent : value.dims) {
      auto dim = child<DimField>(shape, ShapeField::kDim);
      if (extent == Value::kSymbolic) {
        dim.add_string(DimField::kParameter, "N");
      } else {
        dim.add_int64(DimField::kValue, extent);
      }
    }
  }
  if (!value.summary.empty()) out.add_string(ValueField::kDocString, value.summary);
}

// ---- reading

using protozero::pbf_wire_type;
using protozero::tag_and_type;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::kModel, {}, message); }

template <class Field>
using Message = protozero::pbf_message<Field>;

template <class Field>
constexpr std::uint32_t bytes_of(Field field) {
  return tag_and_type(field, pbf_wire_type::length_delimited);
}
template <class Field>
constexpr std::uint32_t varint_of(Field field) {
  return tag_and_type(field, pbf_wire_type::varint);
}

// A name or text; what is not UTF-8 is JSON's and the terminal's problem.
template <class Field>
std::string text_of(Message<Field>& message) {
  return message.get_string();
}

template <class List>
auto& another(List& list, std::size_t limit, const char* what) {
  if (list.size() >= limit) fail(std::string("has more than ") + std::to_string(limit) + " " + what);
  return list.emplace_back();
}

template <class Number>
void append(std::string& bytes, Number number) {
  const char* first = reinterpret_cast<const char*>(&number);
  bytes.append(first, sizeof(number));
}

std::int64_t bits_of(DataType type) {
  switch (type) {
    case DataType::kUint4:
    case DataType::kInt4:
      return 4;
    case DataType::kUint8:
    case DataType::kInt8:
      return 8;
    case DataType::kFloat:
    case DataType::kInt32:
      return 32;
    case DataType::kInt64:
    case DataType::kDouble:
      return 64;
  }
  return 0;
}

// An int32_data entry holds one element, of whatever small type it is; two of 4 bits.
void append_int32(Tensor& tensor, std::int32_t number) {
  if (bits_of(tensor.type) == 32) {
    append(tensor.bytes, number);
  } else {
    append(tensor.bytes, static_cast<std::uint8_t>(number));
  }
}

Tensor read_tensor(Message<TensorField> message) {
  Tensor tensor;
  std::vector<std::int32_t> int32_data;
  bool external = false;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case varint_of(TensorField::kDims):
        another(tensor.dims, kMaxDims, "dimensions in a tensor") = message.get_int64();
        break;
      case bytes_of(TensorField::kDims):
        for (const std::int64_t dim : message.get_packed_int64()) {
          another(tensor.dims, kMaxDims, "dimensions in a tensor") = dim;
        }
        break;
      case varint_of(TensorField::kDataType):
        tensor.type = static_cast<DataType>(message.get_int32());
        break;
      case bytes_of(TensorField::kName):
        tensor.name = text_of(message);
        break;
      case bytes_of(TensorField::kRawData):
        tensor.bytes = message.get_bytes();
        break;
      case tag_and_type(TensorField::kFloatData, pbf_wire_type::fixed32):
        append(tensor.bytes, message.get_float());
        break;
      case bytes_of(TensorField::kFloatData):
        for (const float number : message.get_packed_float()) append(tensor.bytes, number);
        break;
      case tag_and_type(TensorField::kDoubleData, pbf_wire_type::fixed64):
        append(tensor.bytes, message.get_double());
        break;
      case bytes_of(TensorField::kDoubleData):
        for (const double number : message.get_packed_double()) append(tensor.bytes, number);
        break;
      case varint_of(TensorField::kInt32Data):
        int32_data.push_back(message.get_int32());
        break;
      case bytes_of(TensorField::kInt32Data):
        for (const std::int32_t number : message.get_packed_int32()) int32_data.push_back(number);
        break;
      case varint_of(TensorField::kInt64Data):
        append(tensor.bytes, message.get_int64());
        break;
      case bytes_of(TensorField::kInt64Data):
        for (const std::int64_t number : message.get_packed_int64()) append(tensor.bytes, number);
        break;
      case varint_of(TensorField::kDataLocation):
        external = message.get_enum() != 0;
        break;
      default:
        message.skip();
    }
  }
  const std::string where = "has a tensor \"" + tensor.name + "\" ";
  if (external) fail(where + "whose numbers are in another file; save the model as one file");
  const std::int64_t bits = bits_of(tensor.type);
  if (bits == 0) {
    fail(where + "of ONNX's data type " + std::to_string(static_cast<std::int32_t>(tensor.type)) +
         ", which is not read; use float, double, int32, int64 or integers of 8 or 4 bits");
  }
  for (const std::int32_t number : int32_data) append_int32(tensor, number);
  constexpr std::int64_t kMostElements = std::int64_t{1} << 40;
  std::int64_t size = 1;
  for (const std::int64_t dim : tensor.dims) {
    if (dim < 0 || (dim > 0 && size > kMostElements / dim)) fail(where + "whose shape is not a shape");
    size *= dim;
  }
  if (static_cast<std::int64_t>(tensor.bytes.size()) != (size * bits + 7) / 8) {
    fail(where + "of " + std::to_string(size) + " numbers that has " + std::to_string(tensor.bytes.size()) +
         " bytes instead of " + std::to_string((size * bits + 7) / 8));
  }
  return tensor;
}

Attribute read_attribute(Message<AttributeField> message) {
  using Type = Attribute::Type;
  Attribute attribute;
  Type found = Type::kOther;  // old files do not say the type
  while (message.next()) {
    switch (message.tag_and_type()) {
      case bytes_of(AttributeField::kName):
        attribute.name = text_of(message);
        break;
      case tag_and_type(AttributeField::kF, pbf_wire_type::fixed32):
        attribute.number = message.get_float();
        found = Type::kFloat;
        break;
      case varint_of(AttributeField::kI):
        attribute.whole = message.get_int64();
        found = Type::kInt;
        break;
      case bytes_of(AttributeField::kS):
        attribute.text = text_of(message);
        found = Type::kString;
        break;
      case bytes_of(AttributeField::kT):
        attribute.tensor = read_tensor(Message<TensorField>(message.get_message()));
        found = Type::kTensor;
        break;
      case varint_of(AttributeField::kInts):
        another(attribute.wholes, kMaxNames, "numbers in an attribute") = message.get_int64();
        found = Type::kInts;
        break;
      case bytes_of(AttributeField::kInts):
        for (const std::int64_t whole : message.get_packed_int64()) {
          another(attribute.wholes, kMaxNames, "numbers in an attribute") = whole;
        }
        found = Type::kInts;
        break;
      case varint_of(AttributeField::kType):
        attribute.type = static_cast<Type>(message.get_enum());
        break;
      default:
        message.skip();
    }
  }
  if (attribute.type == Type::kOther) attribute.type = found;
  return attribute;
}

Node read_node(Message<NodeField> message) {
  Node node;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case bytes_of(NodeField::kInput):
        another(node.inputs, kMaxNames, "inputs of a node") = text_of(message);
        break;
      case bytes_of(NodeField::kOutput):
        another(node.outputs, kMaxNames, "outputs of a node") = text_of(message);
        break;
      case bytes_of(NodeField::kName):
        node.name = text_of(message);
        break;
      case bytes_of(NodeField::kOpType):
        node.op = text_of(message);
        break;
      case bytes_of(NodeField::kAttribute):
        another(node.attributes, kMaxNames, "attributes of a node") =
            read_attribute(Message<AttributeField>(message.get_message()));
        break;
      case bytes_of(NodeField::kDomain):
        node.domain = text_of(message);
        break;
      default:
        message.skip();
    }
  }
  return node;
}

std::int64_t read_dim(Message<DimField> message) {
  std::int64_t dim = Value::kSymbolic;
  while (message.next()) {
    if (message.tag_and_type() == varint_of(DimField::kValue)) {
      dim = message.get_int64();
    } else {
      message.skip();
    }
  }
  return dim;
}

void read_type(Message<TypeField> message, Value& value) {
  while (message.next()) {
    if (message.tag_and_type() != bytes_of(TypeField::kTensor)) {
      message.skip();
      continue;
    }
    Message<TensorTypeField> tensor(message.get_message());
    while (tensor.next()) {
      if (tensor.tag_and_type() == varint_of(TensorTypeField::kElemType)) {
        value.type = static_cast<DataType>(tensor.get_int32());
      } else if (tensor.tag_and_type() == bytes_of(TensorTypeField::kShape)) {
        Message<ShapeField> shape(tensor.get_message());
        while (shape.next()) {
          if (shape.tag_and_type() == bytes_of(ShapeField::kDim)) {
            another(value.dims, kMaxDims, "dimensions in an input") =
                read_dim(Message<DimField>(shape.get_message()));
          } else {
            shape.skip();
          }
        }
      } else {
        tensor.skip();
      }
    }
  }
}

Value read_value(Message<ValueField> message) {
  Value value;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case bytes_of(ValueField::kName):
        value.name = text_of(message);
        break;
      case bytes_of(ValueField::kType):
        read_type(Message<TypeField>(message.get_message()), value);
        break;
      case bytes_of(ValueField::kDocString):
        value.summary = text_of(message);
        break;
      default:
        message.skip();
    }
  }
  return value;
}

void read_graph(Message<GraphField> message, File& file) {
  while (message.next()) {
    switch (message.tag_and_type()) {
      case bytes_of(GraphField::kNode):
        another(file.nodes, kMaxNodes, "nodes") = read_node(Message<NodeField>(message.get_message()));
        break;
      case bytes_of(GraphField::kName):
        file.name = text_of(message);
        break;
      case bytes_of(GraphField::kInitializer):
        another(file.constants, kMaxConstants, "tensors") =
            read_tensor(Message<TensorField>(message.get_message()));
        break;
      case bytes_of(GraphField::kInput):
        another(file.inputs, kMaxConstants, "inputs") =
            read_value(Message<ValueField>(message.get_message()));
        break;
      case bytes_of(GraphField::kOutput):
        another(file.outputs, kMaxNames, "outputs") = read_value(Message<ValueField>(message.get_message()));
        break;
      default:
        message.skip();
    }
  }
}

void read_opset(Message<OpsetField> message, File& file) {
  std::string domain;
  std::int64_t version = 0;
  while (message.next()) {
    if (message.tag_and_type() == bytes_of(OpsetField::kDomain)) {
      domain = text_of(message);
    } else if (message.tag_and_type() == varint_of(OpsetField::kVersion)) {
      version = message.get_int64();
    } else {
      message.skip();
    }
  }
  if (domain.empty() || domain == "ai.onnx") file.opset = version;
}

void read_metadata(Message<EntryField> message, File& file) {
  std::string key, value;
  while (message.next()) {
    if (message.tag_and_type() == bytes_of(EntryField::kKey)) {
      key = text_of(message);
    } else if (message.tag_and_type() == bytes_of(EntryField::kValue)) {
      value = text_of(message);
    } else {
      message.skip();
    }
  }
  file.metadata[std::move(key)] = std::move(value);
}

File read_model(Message<ModelField> message) {
  File file;
  bool has_graph = false;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case bytes_of(ModelField::kGraph):
        if (has_graph) fail("has two graphs");
        has_graph = true;
        read_graph(Message<GraphField>(message.get_message()), file);
        break;
      case bytes_of(ModelField::kOpsetImport):
        read_opset(Message<OpsetField>(message.get_message()), file);
        break;
      case bytes_of(ModelField::kMetadata):
        read_metadata(Message<EntryField>(message.get_message()), file);
        break;
      default:
        message.skip();
    }
  }
  if (!has_graph) fail("is cut off or damaged: it has no graph");
  return file;
}

}  // namespace

std::int64_t Tensor::size() const {
  std::int64_t size = 1;
  for (const std::int64_t dim : dims) size *= dim;
  return size;
}

std::vector<std::uint8_t> write(const File& file) {
  Bytes graph_bytes;
  Builder<GraphField> graph(graph_bytes);
  for (const Node& node : file.nodes) {
    auto inner = child<NodeField>(graph, GraphField::kNode);
    put(inner, node);
  }
  graph.add_string(GraphField::kName, file.name);
  for (const Tensor& tensor : file.constants) {
    auto inner = child<TensorField>(graph, GraphField::kInitializer);
    put(inner, tensor);
  }
  for (const Value& value : file.inputs) {
    auto inner = child<ValueField>(graph, GraphField::kInput);
    put(inner, value);
  }
  for (const Value& value : file.outputs) {
    auto inner = child<ValueField>(graph, GraphField::kOutput);
    put(inner, value);
  }

  Bytes bytes;
  Builder<ModelField> model(bytes);
  model.add_int64(ModelField::kIrVersion, file.opset >= kOpsetOf4Bits ? kIrVersionOf4Bits : kIrVersion);
  model.add_string(ModelField::kProducerName, "espalier");
  model.add_string(ModelField::kProducerVersion, ESPALIER_VERSION);
  model.add_bytes(ModelField::kGraph, graph_bytes);
  {
    auto opset = child<OpsetField>(model, ModelField::kOpsetImport);
    opset.add_string(OpsetField::kDomain, "");
    opset.add_int64(OpsetField::kVersion, file.opset);
  }
  for (const auto& [key, value] : file.metadata) {
    auto entry = child<EntryField>(model, ModelField::kMetadata);
    entry.add_string(EntryField::kKey, key);
    entry.add_string(EntryField::kValue, value);
  }
  return {bytes.begin(), bytes.end()};
}

File read(const NamedBytes& file) {
  try {
    const auto* first = reinterpret_cast<const char*>(file.bytes.data());
    return read_model(Message<ModelField>(protozero::data_view(first, file.bytes.size())));
  } catch (const Error& error) {
    throw Error(error.code(), file.name, error.message());
  } catch (const protozero::exception&) {
    throw Error(ErrorCode::kModel, file.name,
                "is cut off or damaged: its messages do not fit into each other");
  }
}

bool recognises(std::span<const std::uint8_t> bytes) {
  // The version of the format, a small number, comes first; then another field of a model.
  constexpr std::uint8_t kFirst = varint_of(ModelField::kIrVersion), kHighestVersion = 64;
  constexpr std::uint8_t kNext[] = {0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72};
  if (bytes.size() < 3 || bytes[0] != kFirst || bytes[1] == 0 || bytes[1] > kHighestVersion) return false;
  for (const std::uint8_t next : kNext) {
    if (bytes[2] == next) return true;
  }
  return false;
}

}  // namespace espalier::onnx
