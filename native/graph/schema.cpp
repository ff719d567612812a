// The layer table, told to others: as JSON Schema and as a catalogue for menus.
#include <nlohmann/json.hpp>

#include "core/json_fields.h"
#include "graph/graph.h"
#include "ops/op.h"

namespace espalier {
namespace {

using nlohmann::json;

json whole_number(double minimum, double maximum) {
  return Fields()("type", "integer")("minimum", minimum)("maximum", maximum).take();
}

json list_of(json items, int minimum, int maximum) {
  Fields list;
  list("type", "array")("items", std::move(items))("minItems", minimum);
  if (maximum > 0) list("maxItems", maximum);
  return list.take();
}

json any_of(json first, json second) {
  json choices = json::array();
  choices.push_back(std::move(first));
  choices.push_back(std::move(second));
  return Fields()("anyOf", std::move(choices)).take();
}

// An object with these properties and no others.
json closed_object(json properties, std::vector<std::string> required) {
  return Fields()("type", "object")("properties", std::move(properties))("required", required)(
             "additionalProperties", false)
      .take();
}

struct FieldSchema {
  const Field& field;
  json integer() const { return whole_number(field.minimum, field.maximum); }
  json operator()(int Attributes::*) const {
    if (field.keyword.empty()) return integer();
    return any_of(integer(), Fields()("const", field.keyword).take());
  }
  json operator()(double Attributes::*) const {
    return Fields()("type", "number")("minimum", field.minimum)("maximum", field.maximum).take();
  }
  json operator()(bool Attributes::*) const { return Fields()("type", "boolean").take(); }
  json operator()(Pair Attributes::*) const { return any_of(integer(), list_of(integer(), 2, 2)); }
  json operator()(WeightQuantization Attributes::*) const {
    std::vector<std::string> schemes;
    for (const QuantizationScheme* scheme : quantization_schemes()) schemes.emplace_back(scheme->name);
    const json truth = Fields()("type", "boolean").take();
    return closed_object(
        Fields()("scheme", Fields()("enum", schemes).take())("bits", whole_number(1, 8))(
            "granularity", Fields()("enum", std::vector<std::string>{"tensor", "channel", "group"}).take())(
            "group_size", whole_number(1, 1 << 20))("learned", truth)("pinned_zero", truth)
            .take(),
        {"scheme"});
  }
  json operator()(Padding Attributes::*) const {
    json schema = any_of(Fields()("enum", std::vector<std::string>{"same", "valid"}).take(), integer());
    schema["anyOf"].push_back(list_of(integer(), 2, 2));
    schema["anyOf"].push_back(list_of(integer(), 4, 4));
    return schema;
  }
};

struct FieldKind {
  std::string_view operator()(int Attributes::*) const { return "integer"; }
  std::string_view operator()(double Attributes::*) const { return "number"; }
  std::string_view operator()(bool Attributes::*) const { return "boolean"; }
  std::string_view operator()(Pair Attributes::*) const { return "pair"; }
  std::string_view operator()(Padding Attributes::*) const { return "padding"; }
  std::string_view operator()(WeightQuantization Attributes::*) const { return "quantization"; }
};

// What the spec may leave out; null where the field has no default of its own.
struct FieldDefault {
  Attributes attributes;
  json operator()(int Attributes::* m) const { return attributes.*m > 0 ? json(attributes.*m) : json(); }
  json operator()(double Attributes::* m) const { return attributes.*m; }
  json operator()(bool Attributes::* m) const { return attributes.*m; }
  json operator()(Pair Attributes::* m) const {
    return (attributes.*m).height > 0 ? json((attributes.*m).height) : json();
  }
  json operator()(Padding Attributes::*) const { return 0; }
  json operator()(WeightQuantization Attributes::*) const { return nullptr; }
};

json text() { return Fields()("type", "string").take(); }

json layer_schema(const OpType& type) {
  json name = text();
  name["minLength"] = 1;
  json inputs = list_of(text(), type.min_inputs, type.max_inputs);
  inputs["description"] = "Names of earlier layers, or \"input\"; the layer before if not given.";
  Fields properties;
  properties("type", Fields()("const", type.name).take())("name", std::move(name))("inputs",
                                                                                   std::move(inputs));
  std::vector<std::string> required{"type"};
  if (type.min_inputs > 1) required.emplace_back("inputs");
  for (const Field& field : type.fields) {
    json schema = std::visit(FieldSchema{field}, field.target);
    schema["description"] = field.summary;
    json fallback = std::visit(FieldDefault{}, field.target);
    if (!field.required && !fallback.is_null()) schema["default"] = std::move(fallback);
    properties(field.name, std::move(schema));
    if (field.required) required.emplace_back(field.name);
  }
  json schema = closed_object(properties.take(), std::move(required));
  schema["description"] = type.summary;
  return schema;
}

}  // namespace

json spec_schema() {
  json layer_schemas = json::array();
  for (const OpType* type : op_types()) layer_schemas.push_back(layer_schema(*type));
  const json numbers = Fields()("type", "array")("items", Fields()("type", "number").take()).take();
  json input =
      closed_object(Fields()("channels", whole_number(1, 1024))("height", whole_number(1, 4096))(
                        "width", whole_number(1, 4096))("mean", numbers)("standard_deviation", numbers)
                        .take(),
                    {"channels", "height", "width"});
  json layers = list_of(Fields()("oneOf", std::move(layer_schemas)).take(), 1, 1000);
  json schema = closed_object(
      Fields()("$schema", text())("name", text())("description", text())("input", std::move(input))(
          "classes", whole_number(2, 65536))("layers", std::move(layers))
          .take(),
      {"input", "classes", "layers"});
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "Espalier model spec";
  return schema;
}

json layer_catalog() {
  json catalog = json::array();
  for (const OpType* type : op_types()) {
    json fields = json::array();
    for (const Field& field : type->fields) {
      Fields entry;
      entry("name", field.name)("kind", std::visit(FieldKind{}, field.target))("required", field.required)(
          "description", field.summary);
      json fallback = std::visit(FieldDefault{}, field.target);
      if (!field.required && !fallback.is_null()) entry("default", std::move(fallback));
      fields.push_back(entry.take());
    }
    catalog.push_back(
        Fields()("name", type->name)("summary", type->summary)("fields", std::move(fields)).take());
  }
  return catalog;
}

}  // namespace espalier
