// The layer table, told to others: as JSON Schema and as a catalogue for menus.
#include <nlohmann/json.hpp>

#include "graph/graph.h"
#include "ops/op.h"

namespace espalier {
namespace {

using nlohmann::json;

struct FieldSchema {
  const Field& field;
  json integer() const {
    return {{"type", "integer"}, {"minimum", field.minimum}, {"maximum", field.maximum}};
  }
  json list(int count) const {
    return {{"type", "array"}, {"items", integer()}, {"minItems", count}, {"maxItems", count}};
  }
  json operator()(int Attributes::*) const {
    if (field.keyword.empty()) return integer();
    return {{"anyOf", {integer(), {{"const", field.keyword}}}}};
  }
  json operator()(double Attributes::*) const {
    return {{"type", "number"}, {"minimum", field.minimum}, {"maximum", field.maximum}};
  }
  json operator()(bool Attributes::*) const { return {{"type", "boolean"}}; }
  json operator()(Pair Attributes::*) const { return {{"anyOf", {integer(), list(2)}}}; }
  json operator()(Padding Attributes::*) const {
    return {{"anyOf", {{{"enum", {"same", "valid"}}}, integer(), list(2), list(4)}}};
  }
};

struct FieldKind {
  std::string_view operator()(int Attributes::*) const { return "integer"; }
  std::string_view operator()(double Attributes::*) const { return "number"; }
  std::string_view operator()(bool Attributes::*) const { return "boolean"; }
  std::string_view operator()(Pair Attributes::*) const { return "pair"; }
  std::string_view operator()(Padding Attributes::*) const { return "padding"; }
};

// What the spec may leave out; null where the field has no default of its own.
struct FieldDefault {
  Attributes attributes;
  json operator()(int Attributes::* m) const {
    return attributes.*m > 0 ? json(attributes.*m) : json();
  }
  json operator()(double Attributes::* m) const { return attributes.*m; }
  json operator()(bool Attributes::* m) const { return attributes.*m; }
  json operator()(Pair Attributes::* m) const {
    return (attributes.*m).height > 0 ? json((attributes.*m).height) : json();
  }
  json operator()(Padding Attributes::*) const { return 0; }
};

json layer_schema(const OpType& type) {
  json properties{{"type", {{"const", type.name}}},
                  {"name", {{"type", "string"}, {"minLength", 1}}},
                  {"inputs",
                   {{"type", "array"},
                    {"items", {{"type", "string"}}},
                    {"minItems", type.min_inputs},
                    {"maxItems", type.max_inputs},
                    {"description", "Names of earlier layers, or \"input\"; the layer before if not given."}}}};
  json required = {"type"};
  if (type.min_inputs > 1) required.push_back("inputs");
  for (const Field& field : type.fields) {
    json schema = std::visit(FieldSchema{field}, field.target);
    schema["description"] = field.summary;
    const json fallback = std::visit(FieldDefault{}, field.target);
    if (!field.required && !fallback.is_null()) schema["default"] = fallback;
    properties[field.name] = std::move(schema);
    if (field.required) required.push_back(field.name);
  }
  return {{"type", "object"},
          {"description", type.summary},
          {"properties", std::move(properties)},
          {"required", std::move(required)},
          {"additionalProperties", false}};
}

json extent_schema(int minimum, int maximum) {
  return {{"type", "integer"}, {"minimum", minimum}, {"maximum", maximum}};
}

}  // namespace

json spec_schema() {
  json layers = json::array();
  for (const OpType* type : op_types()) layers.push_back(layer_schema(*type));
  const json numbers{{"type", "array"}, {"items", {{"type", "number"}}}};
  json input{{"type", "object"},
             {"properties",
              {{"channels", extent_schema(1, 1024)},
               {"height", extent_schema(1, 4096)},
               {"width", extent_schema(1, 4096)},
               {"mean", numbers},
               {"standard_deviation", numbers}}},
             {"required", {"channels", "height", "width"}},
             {"additionalProperties", false}};
  return {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
          {"title", "Espalier model spec"},
          {"type", "object"},
          {"properties",
           {{"$schema", {{"type", "string"}}},
            {"name", {{"type", "string"}}},
            {"description", {{"type", "string"}}},
            {"input", std::move(input)},
            {"classes", extent_schema(2, 65536)},
            {"layers",
             {{"type", "array"}, {"minItems", 1}, {"maxItems", 1000}, {"items", {{"oneOf", std::move(layers)}}}}}}},
          {"required", {"input", "classes", "layers"}},
          {"additionalProperties", false}};
}

json layer_catalog() {
  json catalog = json::array();
  for (const OpType* type : op_types()) {
    json fields = json::array();
    for (const Field& field : type->fields) {
      json entry{{"name", field.name},
                 {"kind", std::visit(FieldKind{}, field.target)},
                 {"required", field.required},
                 {"description", field.summary}};
      const json fallback = std::visit(FieldDefault{}, field.target);
      if (!field.required && !fallback.is_null()) entry["default"] = fallback;
      fields.push_back(std::move(entry));
    }
    catalog.push_back({{"name", type->name}, {"summary", type->summary}, {"fields", std::move(fields)}});
  }
  return catalog;
}

}  // namespace espalier
