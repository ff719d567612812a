// Specs: what compiles, to what shapes; and what does not, with which words.
#include "graph/graph.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "graph/plan.h"
#include "ops/op.h"

namespace espalier {
namespace {

using nlohmann::json;

json spec_with(const std::string& layers, int channels = 1, int height = 28, int width = 28) {
  return {{"input", {{"channels", channels}, {"height", height}, {"width", width}}},
          {"classes", 10},
          {"layers", json::parse(layers)}};
}

std::string message_of(const json& spec) {
  try {
    compile(spec);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kSpec);
    return error.what();
  }
  return "no error";
}

struct BadSpec {
  const char* name;
  const char* layers;
  const char* message;
};

constexpr BadSpec kBadSpecs[] = {
    {"unknown_layer", R"([{"type":"convolution","kernel":3}])",
     "layers[0].type: unknown layer \"convolution\"; the layers are conv, dense, batch_norm"},
    {"missing_type", R"([{"kernel":3}])", "layers[0].type: is missing"},
    {"negative_stride", R"([{"type":"conv","name":"c","out_channels":2,"kernel":3,"stride":-1}])",
     "c.stride: must be from 1 to 255, found -1"},
    {"zero_kernel", R"([{"type":"conv","name":"c","out_channels":2,"kernel":[0,3]}])",
     "c.kernel: must be from 1 to 255, found 0"},
    {"fractional_kernel", R"([{"type":"conv","name":"c","out_channels":2,"kernel":2.5}])",
     "c.kernel: must be a whole number, found 2.5"},
    {"huge_number", R"([{"type":"conv","name":"c","out_channels":99999999999999,"kernel":1}])",
     "c.out_channels: must be from 1 to 65536"},
    {"missing_filters", R"([{"type":"conv","name":"c","kernel":3}])", "c.out_channels: is missing"},
    {"missing_kernel", R"([{"type":"conv","name":"c","out_channels":2}])", "c.kernel: is missing"},
    {"kernel_beyond_image", R"([{"type":"conv","name":"c","out_channels":2,"kernel":29}])",
     "c.kernel: reaches over 29 pixels, but the padded input 1x28x28 has only 28 in height"},
    {"pool_beyond_image",
     R"([{"type":"conv","out_channels":2,"kernel":27},{"type":"max_pool","name":"p","kernel":3}])",
     "p.kernel: reaches over 3 pixels, but the padded input 2x2x2 has only 2 in height"},
    {"padding_beyond_kernel", R"([{"type":"conv","name":"c","out_channels":2,"kernel":3,"padding":3}])",
     "c.padding: is as large as the kernel's height (3)"},
    {"odd_padding_word", R"([{"type":"conv","name":"c","out_channels":2,"kernel":3,"padding":"full"}])",
     "c.padding: must be \"same\", \"valid\""},
    {"groups_that_do_not_divide", R"([{"type":"conv","name":"c","out_channels":4,"kernel":3,"groups":3}])",
     "c.groups: 3 groups do not divide 1 input and 4 output channels"},
    {"unknown_field", R"([{"type":"relu","name":"r","slope":1}])", "r.slope: is unknown; relu has no fields"},
    {"unknown_conv_field", R"([{"type":"conv","name":"c","filters":8,"kernel":3}])",
     "c.filters: is unknown; conv has out_channels, kernel, stride"},
    {"unknown_input", R"([{"type":"relu","name":"r","inputs":["nowhere"]}])",
     "r.inputs: names \"nowhere\", but no layer before it has that name"},
    {"add_of_one", R"([{"type":"add","name":"a"}])",
     "a.inputs: is missing; name the 2 or more layers that add takes"},
    {"relu_of_two", R"([{"type":"relu","name":"r","inputs":["input","input"]}])",
     "r.inputs: names 2 layers; relu takes 1"},
    {"add_of_unlike_shapes",
     R"([{"type":"conv","name":"c","out_channels":2,"kernel":3},{"type":"add","name":"a","inputs":["c","input"]}])",
     "a.inputs: adds 2x26x26 and 1x28x28; all inputs must have one shape"},
    {"concat_of_unlike_sizes",
     R"([{"type":"conv","name":"c","out_channels":2,"kernel":3},{"type":"concat","name":"a","inputs":["c","input"]}])",
     "a.inputs: concatenates 2x26x26 and 1x28x28; height and width must agree"},
    {"two_of_one_name", R"([{"type":"relu","name":"r"},{"type":"relu","name":"r"}])",
     "layers[1].name: \"r\" is the name of two layers"},
    {"named_input", R"([{"type":"relu","name":"input"}])",
     "layers[0].name: \"input\" is the image's own name"},
    {"no_layers", R"([])", "layers: must be a list with at least one layer"},
    {"wrong_output", R"([{"type":"conv","name":"c","out_channels":2,"kernel":3}])",
     "c: is the last layer and gives 2x26x26, but the model has 10 classes"},
    {"dead_end", R"([{"type":"relu","name":"r"},{"type":"dense","inputs":["input"],"units":"classes"}])",
     "r: leads nowhere; name it in the \"inputs\" of a later layer or remove it"},
    {"dropout_of_everything", R"([{"type":"dropout","name":"d","rate":1}])",
     "d.rate: must be from 0 to 0.95, found 1"},
    {"text_for_number", R"([{"type":"leaky_relu","name":"l","slope":"steep"}])",
     "l.slope: must be a number, found \"steep\""},
    {"number_for_boolean", R"([{"type":"dense","name":"d","units":10,"bias":1}])",
     "d.bias: must be true or false, found 1"},
    {"units_word", R"([{"type":"dense","name":"d","units":"many"}])",
     "d.units: must be a whole number or \"classes\", found \"many\""},
    {"too_many_weights", R"([{"type":"dense","name":"d","units":1000000},{"type":"dense","units":10}])",
     "d.weight: has 784000000 numbers; at most 268435456 fit"},
};

void PrintTo(const BadSpec& spec, std::ostream* out) { *out << spec.layers; }

class BadSpecs : public ::testing::TestWithParam<BadSpec> {};

TEST_P(BadSpecs, name_layer_and_field) {
  const std::string message = message_of(spec_with(GetParam().layers));
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(Specs, BadSpecs, ::testing::ValuesIn(kBadSpecs),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Spec, errors_outside_the_layers_name_the_field) {
  EXPECT_EQ(message_of(json::array()), "spec: must be a JSON object, found []");
  EXPECT_EQ(message_of({{"classes", 10}}), "input: is missing");
  json spec = preset_spec("small", 1, 28, 28, 10);
  spec["input"].erase("width");
  EXPECT_EQ(message_of(spec), "input.width: is missing");
  spec = preset_spec("small", 1, 28, 28, 10);
  spec["classes"] = 1;
  EXPECT_EQ(message_of(spec), "classes: must be a whole number from 2 to 65536, found 1");
  spec["classes"] = 10;
  spec["optimizer"] = "adam";
  EXPECT_EQ(message_of(spec),
            "optimizer: is unknown; a spec has $schema, classes, description, input, layers, name");
  spec.erase("optimizer");
  spec["input"]["mean"] = {0.1, 0.2};
  EXPECT_EQ(message_of(spec), "input.mean: must be a list of 1 numbers, one for each channel");
  spec["input"]["mean"] = {1e18};
  EXPECT_EQ(message_of(spec), "no error");
  // Their quotient would be no number of float32.
  const char* const out_of_range =
      "input: has a mean beyond 1e18 or a standard deviation beyond 1e18 or 1e-18";
  spec["input"]["mean"] = {-1.1e18};
  EXPECT_EQ(message_of(spec), out_of_range);
  spec["input"]["mean"] = {0};
  for (const double deviation : {1.1e18, 0.9e-18}) {
    spec["input"]["standard_deviation"] = {deviation};
    EXPECT_EQ(message_of(spec), out_of_range);
  }
}

TEST(Spec, presets_have_the_parameters_of_the_papers) {
  const auto parameters = [](const char* name) {
    return compile(preset_spec(name, 1, 28, 28, 10)).parameter_count();
  };
  EXPECT_EQ(parameters("small"), 9098);
  EXPECT_EQ(parameters("lenet5"), 431080);
  EXPECT_EQ(parameters("lenet-300-100"), 266610);
  EXPECT_NEAR(static_cast<double>(parameters("resnet")), 75000, 5000);
  EXPECT_LT(parameters("mobile"), 30000);
}

TEST(Spec, presets_fit_other_images_and_class_counts) {
  for (const Preset& preset : presets()) {
    const Graph graph = compile(preset_spec(preset.name, 3, 32, 32, 26));
    EXPECT_EQ(graph.nodes.back().out_shape, (Shape{26, 1, 1})) << preset.name;
  }
}

TEST(Spec, same_padding_puts_the_odd_pixel_behind) {
  const Graph graph = compile(spec_with(
      R"([{"type":"conv","name":"c","out_channels":1,"kernel":[4,3],"stride":[1,2],"padding":"same"},{"type":"dense","units":"classes"}])"));
  EXPECT_EQ(graph.nodes[0].out_shape, (Shape{1, 28, 14}));
  const Padding expected{Padding::Mode::kExplicit, 1, 0, 2, 1};
  EXPECT_EQ(graph.nodes[0].attributes.padding, expected);
}

TEST(Spec, what_a_graph_writes_compiles_to_the_same_graph) {
  for (const Preset& preset : presets()) {
    const Graph graph = compile(json::parse(preset.spec));
    const json written = to_spec(graph);
    EXPECT_EQ(to_spec(compile(written)), written) << preset.name;
    EXPECT_EQ(compile(written).slab_size, graph.slab_size);
    EXPECT_EQ(compile(written).macs(), graph.macs());
  }
}

TEST(Spec, macs_count_each_weight_once_for_each_output_pixel) {
  // 20·25·24² + 50·500·8² + 800·500 + 500·10
  EXPECT_EQ(compile(preset_spec("lenet5", 1, 28, 28, 10)).macs(), 288000 + 1600000 + 400000 + 5000);
}

TEST(Schema, describes_every_layer_and_every_field) {
  const json schema = spec_schema();
  const json& layers = schema["properties"]["layers"]["items"]["oneOf"];
  ASSERT_EQ(layers.size(), op_types().size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const OpType& type = *op_types()[i];
    EXPECT_EQ(layers[i]["properties"]["type"]["const"], type.name);
    EXPECT_FALSE(type.summary.empty());
    for (const Field& field : type.fields) {
      EXPECT_TRUE(layers[i]["properties"].contains(field.name)) << type.name << "." << field.name;
      EXPECT_FALSE(field.summary.empty());
    }
  }
  EXPECT_EQ(layer_catalog().size(), op_types().size());
}

TEST(LayerTable, every_row_is_complete_and_found_by_name) {
  for (const OpType* type : op_types()) {
    EXPECT_EQ(find_op(type->name), type);
    EXPECT_TRUE(type->configure && type->forward && type->backward) << type->name;
  }
  EXPECT_EQ(find_op("nothing"), nullptr);
}

std::int64_t arena(const char* preset, int batch) {
  const Graph graph = compile(preset_spec(preset, 1, 28, 28, 10));
  return make_plan(graph, 8, {.training = true, .max_batch = batch}).arena_size;
}

TEST(Plan, memory_without_batch_norm_does_not_depend_on_the_batch) {
  for (const char* preset : {"small", "lenet5", "lenet-300-100"})
    EXPECT_EQ(arena(preset, 8), arena(preset, 4096)) << preset;
}

TEST(Plan, memory_with_batch_norm_grows_by_what_crosses_sweeps_only) {
  EXPECT_GT(arena("resnet", 128), arena("resnet", 64));
  // Every feature map of the batch, kept, would take 64 x 216 KB of floats twice over.
  const Graph graph = compile(preset_spec("resnet", 1, 28, 28, 10));
  std::int64_t all = 0;
  for (const Node& node : graph.nodes) all += node.out_shape.size();
  EXPECT_LT(arena("resnet", 64), all * 64);
}

TEST(Plan, a_network_without_batch_norm_is_one_sweep) {
  EXPECT_EQ(make_plan(compile(preset_spec("lenet5", 1, 28, 28, 10)), 8, {.training = true}).sweeps.size(),
            1u);
  // Seven batch norms deep: seven forward, the turning one, seven backward.
  EXPECT_EQ(make_plan(compile(preset_spec("resnet", 1, 28, 28, 10)), 8, {.training = true}).sweeps.size(),
            15u);
  EXPECT_EQ(make_plan(compile(preset_spec("resnet", 1, 28, 28, 10)), 8, {}).sweeps.size(), 1u);
}

}  // namespace
}  // namespace espalier
