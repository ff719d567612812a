// ONNX: what is written is read back to the same logits, other programs' graphs are read, all else is
// refused with a sentence. That ONNX Runtime computes the same is tested in tests/onnx.
#include "io/onnx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "compress/fold_batch_norm.h"
#include "compress/quantize/rewrite.h"
#include "compress/share.h"
#include "core/error.h"
#include "io/onnx_file.h"
#include "ops/weights.h"
#include "random_network.h"
#include "runtime/packed_model.h"

namespace espalier {
namespace {

using nlohmann::json;
using onnx::Attribute;
using onnx::DataType;

std::vector<real> logits(const Model& model, std::uint64_t seed = 3, int images = 5) {
  ThreadPool pool(1);
  PackedModel packed(model, select_kernels("plain"), pool);
  Random random = random_for(seed);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(images * model.graph.input.shape.size()));
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  std::vector<real> result(static_cast<std::size_t>(images * model.graph.classes));
  packed.infer(pixels.data(), images, result.data());
  return result;
}

ModelFile read(std::span<const std::uint8_t> bytes) { return load_onnx({"m.onnx", bytes}); }
std::vector<std::string> operators(std::span<const std::uint8_t> bytes) {
  std::vector<std::string> ops;
  for (const onnx::Node& node : onnx::read({"m.onnx", bytes}).nodes) ops.push_back(node.op);
  return ops;
}
ModelFile written(const Model& model) { return read(save_onnx(model, {})); }

bool follows_relu(const Graph& graph, const Node& node) {
  if (node.inputs[0] == 0) return false;
  const OpType* op = graph.nodes[static_cast<std::size_t>(node.inputs[0] - 1)].op;
  return op == &kRelu || op == &kRelu6;
}

// 8-bit weights and `bits` of features by the pass's own rules, with grids that codes spread over.
std::unique_ptr<Model> quantized(const Model& model, int weight_bits, int bits, bool zero_points = false) {
  Random random = random_for(9);
  const auto folded = fold_batch_norm(model);
  std::vector<WeightQuantization> weights(folded->graph.nodes.size());
  for (WeightQuantization& q : weights) q = {.scheme = &kSymmetric, .bits = weight_bits};
  auto result = rewritten(*folded, quantized_spec(folded->graph, weights, bits, false));
  real* value = result->parameters.value.data();
  for (const Node& node : result->graph.nodes) {
    if (node.op == &kFakeQuantize) {
      const bool positive = !zero_points && follows_relu(result->graph, node);
      value[node.parameters[0].offset] = static_cast<real>(random.uniform(1, 4) / (1 << bits));
      value[node.parameters[1].offset] =
          positive ? real{0} : static_cast<real>(random.below(1u << (bits - 1)));
    }
    if (has_weights(node)) fit_weights(node, RangeMethod::kMinMax, value);
  }
  return result;
}

TEST(Onnx, every_preset_comes_back_to_the_same_logits) {
  for (const Preset& preset : presets()) {
    SCOPED_TRACE(preset.name);
    const auto model = model_of(preset_spec(preset.name, 1, 28, 28, 10), 2);
    model->graph.input.mean = {0.1307};
    model->graph.input.standard_deviation = {0.3081};
    const ModelFile back = written(*model);
    EXPECT_EQ(logits(*back.model), logits(*model));
    EXPECT_EQ(back.model->graph.parameter_count(), model->graph.parameter_count());
    EXPECT_EQ(back.model->graph.name, model->graph.name);
  }
}

TEST(Onnx, quantized_presets_come_back_to_the_same_integers) {
  for (const Preset& preset : presets()) {
    const auto model = model_of(preset_spec(preset.name, 1, 28, 28, 10), 2);
    for (const int weight_bits : {8, 4}) {
      for (const int bits : {8, 5}) {
        for (const bool zero_points : {false, true}) {
          SCOPED_TRACE(std::string(preset.name) + " " + std::to_string(weight_bits) + " " +
                       std::to_string(bits) + (zero_points ? " with zero points" : ""));
          const auto start = quantized(*model, weight_bits, bits, zero_points);
          const ModelFile back = written(*start);
          EXPECT_EQ(logits(*back.model), logits(*start));
          ThreadPool pool(1);
          const PackedModel packed(*back.model, select_kernels("plain"), pool);
          for (const LayerExecution& layer : packed.layers()) EXPECT_NE(layer.format, "float32");
          // Nothing grows on the second way.
          const auto bytes = save_onnx(*back.model, {});
          const ModelFile again = read(bytes);
          EXPECT_EQ(logits(*again.model), logits(*start));
          EXPECT_EQ(again.model->graph.nodes.size(), back.model->graph.nodes.size());
          EXPECT_EQ(operators(save_onnx(*again.model, {})), operators(bytes));
        }
      }
    }
  }
}

TEST(Onnx, random_networks_come_back_to_the_same_logits) {
  std::set<std::string> types;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const json spec = NetworkGenerator(seed).spec();
    SCOPED_TRACE(spec.dump());
    const auto model = model_of(spec, seed);
    for (const Node& node : model->graph.nodes) {
      types.insert(std::string(node.op->name));
      const QuantizationScheme* scheme = node.attributes.quantize.scheme;
      if (!scheme) continue;
      real* value = model->parameters.value.data();
      if (scheme->codebook) {
        share_weights(node, CodebookStart::kLinear, seed, value, nullptr);
      } else {
        fit_weights(node, RangeMethod::kMinMax, value);
      }
    }
    const ModelFile back = written(*model);
    const std::vector<real> expected = logits(*model), found = logits(*back.model);
    ASSERT_EQ(found.size(), expected.size());
    if (is_quantized(model->graph)) {
      // Weights that are floats here have grids no more, or others do; sums are the same within rounding, but
      // a feature may fall on the neighbouring level.
      continue;
    }
    ASSERT_EQ(found, expected);
  }
  EXPECT_EQ(types.size(), op_types().size()) << "not all layers were met";
}

TEST(Onnx, pruned_weights_are_zeros) {
  const auto model = model_of(preset_spec("small", 1, 28, 28, 10), 2);
  auto& mask = model->parameters.mask;
  for (std::int64_t i = 0; i < model->graph.trainable_size; ++i) mask.push_back(i % 3 ? real{1} : real{0});
  const ModelFile back = written(*model);
  EXPECT_EQ(logits(*back.model), logits(*model));
  const ParameterInfo& weight = weight_of(back.model->graph.nodes[0]);
  const real* first = back.model->parameters.value.data() + weight.offset;
  EXPECT_GE(std::count(first, first + weight.size, real{0}), weight.size / 3);
}

TEST(Onnx, labels_pipeline_and_normalisation_come_back) {
  json spec = preset_spec("small", 3, 10, 10, 3);
  spec["input"]["mean"] = {0.4914, 0.4822, 0.4465};
  spec["input"]["standard_deviation"] = {0.247, 0.2435, 0.2616};
  const auto model = model_of(spec, 1);
  const std::vector<std::string> labels{"cat", "d\"og", "π"};
  const auto bytes = save_onnx(*model, {.labels = labels, .pipeline = R"({"passes":[]})"});
  const ModelFile back = read(bytes);
  EXPECT_EQ(back.labels, labels);
  EXPECT_EQ(back.pipeline, R"({"passes":[]})");
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(back.model->graph.input.mean[c], model->graph.input.mean[c], 1e-7);
    EXPECT_NEAR(back.model->graph.input.standard_deviation[c], model->graph.input.standard_deviation[c],
                1e-7);
  }
  EXPECT_EQ(logits(*back.model), logits(*model));
  EXPECT_EQ(save_onnx(*back.model, {.labels = labels, .pipeline = R"({"passes":[]})"}), bytes);
}

TEST(Onnx, four_bit_weights_take_half_a_byte_and_operator_set_21) {
  const auto model = model_of(preset_spec("lenet-300-100", 1, 28, 28, 10), 2);
  const auto eight = quantized(*model, 8, 8), four = quantized(*model, 4, 8);
  const auto bytes_of_eight = save_onnx(*eight, {}), bytes = save_onnx(*four, {});
  EXPECT_EQ(onnx::read({"m", bytes}).opset, 21);
  EXPECT_EQ(onnx::read({"m", bytes_of_eight}).opset, 13);
  EXPECT_NEAR(static_cast<double>(bytes_of_eight.size() - bytes.size()), 266200 / 2, 2000);
}

// ---- files of others

std::string raw(std::initializer_list<float> numbers) {
  return {reinterpret_cast<const char*>(std::data(numbers)), numbers.size() * sizeof(float)};
}
onnx::Tensor floats(std::string name, std::vector<std::int64_t> dims, std::initializer_list<float> numbers) {
  return {.name = std::move(name), .dims = std::move(dims), .bytes = raw(numbers)};
}
onnx::Tensor longs(std::string name, std::vector<std::int64_t> numbers) {
  return {.name = std::move(name),
          .dims = {static_cast<std::int64_t>(numbers.size())},
          .type = DataType::kInt64,
          .bytes = {reinterpret_cast<const char*>(numbers.data()), numbers.size() * 8}};
}
Attribute whole(std::string name, std::int64_t value) {
  return {.name = std::move(name), .type = Attribute::Type::kInt, .whole = value};
}
Attribute wholes(std::string name, std::vector<std::int64_t> values) {
  return {.name = std::move(name), .type = Attribute::Type::kInts, .wholes = std::move(values)};
}
Attribute word(std::string name, std::string value) {
  return {.name = std::move(name), .type = Attribute::Type::kString, .text = std::move(value)};
}

// x: a 1x4x4 image; y: two classes.
onnx::File graph_of(std::vector<onnx::Node> nodes, std::vector<onnx::Tensor> constants) {
  return {.name = "theirs",
          .opset = 13,
          .metadata = {},
          .nodes = std::move(nodes),
          .constants = std::move(constants),
          .inputs = {{.name = "x", .dims = {onnx::Value::kSymbolic, 1, 4, 4}}},
          .outputs = {{.name = "y", .dims = {onnx::Value::kSymbolic, 2}}}};
}
// With a layer of weights at the end: mean → two classes.
onnx::File ending(std::vector<onnx::Node> nodes, std::vector<onnx::Tensor> constants = {}) {
  nodes.push_back({.name = "mean", .op = "GlobalAveragePool", .inputs = {"end"}, .outputs = {"mean_out"}});
  nodes.push_back({.name = "flat", .op = "Flatten", .inputs = {"mean_out"}, .outputs = {"flat_out"}});
  nodes.push_back({.name = "fc", .op = "MatMul", .inputs = {"flat_out", "fc_w"}, .outputs = {"y"}});
  constants.push_back(floats("fc_w", {1, 2}, {1, -1}));
  return graph_of(std::move(nodes), std::move(constants));
}
std::unique_ptr<Model> model_of_file(const onnx::File& file) {
  const auto bytes = onnx::write(file);
  return read(bytes).model;
}
// Of an image whose pixels are 0, 15, 30, …, 225.
std::vector<real> answers(const Model& model) {
  ThreadPool pool(1);
  PackedModel packed(model, select_kernels("plain"), pool);
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < 16; ++i) pixels.push_back(static_cast<std::uint8_t>(15 * i));
  std::vector<real> result(static_cast<std::size_t>(model.graph.classes));
  packed.infer(pixels.data(), 1, result.data());
  return result;
}
std::string error_of(std::span<const std::uint8_t> bytes, ErrorCode code = ErrorCode::kModel) {
  try {
    (void)read(bytes);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.message();
    EXPECT_EQ(error.where(), "m.onnx");
    return error.message();
  }
  return "";
}
std::string error_of(const onnx::File& file, ErrorCode code = ErrorCode::kModel) {
  return error_of(onnx::write(file), code);
}
void expect_says(const std::string& message, const std::string& words) {
  EXPECT_NE(message.find(words), std::string::npos) << "it says: " << message;
}

constexpr real kMean = real(112.5) / 255;  // of those pixels

TEST(Onnx, pixels_are_from_0_to_1_unless_the_file_says_255) {
  onnx::File file = ending({{.name = "i", .op = "Identity", .inputs = {"x"}, .outputs = {"end"}}});
  EXPECT_NEAR(answers(*model_of_file(file))[0], kMean, 1e-6);
  file.metadata["Image.NominalPixelRange"] = "NominalRange_0_255";
  EXPECT_NEAR(answers(*model_of_file(file))[0], 112.5, 1e-4);
}

TEST(Onnx, constants_on_the_image_are_its_normalisation) {
  const auto model =
      model_of_file(ending({{.name = "s", .op = "Sub", .inputs = {"x", "m"}, .outputs = {"s_out"}},
                            {.name = "d", .op = "Div", .inputs = {"s_out", "v"}, .outputs = {"end"}}},
                           {floats("m", {1, 1, 1}, {0.25}), floats("v", {}, {0.5})}));
  EXPECT_NEAR(model->graph.input.mean[0], 0.25, 1e-12);
  EXPECT_NEAR(model->graph.input.standard_deviation[0], 0.5, 1e-12);
  EXPECT_NEAR(answers(*model)[0], (kMean - real(0.25)) / real(0.5), 1e-6);
}

TEST(Onnx, a_normalisation_that_float32_cannot_hold_is_refused) {
  for (const float scale : {1e-30f, 1e30f}) {
    expect_says(error_of(ending({{.name = "s", .op = "Mul", .inputs = {"x", "m"}, .outputs = {"end"}}},
                                {floats("m", {}, {scale})})),
                "normalises its image with a mean beyond 1e17");
  }
}

TEST(Onnx, a_sum_behind_a_product_is_its_bias_and_a_softmax_at_the_end_is_left_out) {
  onnx::File file = ending({{.name = "i", .op = "Identity", .inputs = {"x"}, .outputs = {"end"}}});
  file.nodes.back().outputs = {"product"};
  file.nodes.push_back({.name = "b", .op = "Add", .inputs = {"b_c", "product"}, .outputs = {"sum"}});
  file.nodes.push_back({.name = "p", .op = "Softmax", .inputs = {"sum"}, .outputs = {"y"}});
  file.constants.push_back(floats("b_c", {2}, {1, 2}));
  const auto model = model_of_file(file);
  EXPECT_NEAR(answers(*model)[0], kMean + 1, 1e-6);
  EXPECT_NEAR(answers(*model)[1], -kMean + 2, 1e-6);
}

TEST(Onnx, rectangles_of_weights_are_transposed_where_the_file_has_them_so) {
  onnx::File file = graph_of({{.name = "r", .op = "Reshape", .inputs = {"x", "shape"}, .outputs = {"r_out"}},
                              {.name = "g", .op = "Gemm", .inputs = {"r_out", "w"}, .outputs = {"y"}}},
                             {longs("shape", {0, -1})});
  onnx::Tensor w{.name = "w", .dims = {16, 2}};
  for (int i = 0; i < 16; ++i) w.bytes += raw({static_cast<float>(i == 15), static_cast<float>(i == 1)});
  file.constants.push_back(w);
  const auto found = answers(*model_of_file(file));
  EXPECT_NEAR(found[0], real(225) / 255, 1e-6);
  EXPECT_NEAR(found[1], real(15) / 255, 1e-6);
}

TEST(Onnx, automatic_padding_is_the_same_size) {
  for (const char* padding : {"SAME_UPPER", "SAME_LOWER"}) {
    const auto model =
        model_of_file(ending({{.name = "c",
                               .op = "Conv",
                               .inputs = {"x", "w"},
                               .outputs = {"end"},
                               .attributes = {word("auto_pad", padding), wholes("strides", {1, 2})}}},
                             {floats("w", {1, 1, 2, 3}, {0, 0, 0, 0, 1, 0})}));
    const Node& conv = model->graph.nodes[0];
    EXPECT_EQ(conv.out_shape, (Shape{1, 4, 2}));
    EXPECT_EQ(conv.attributes.padding.top, std::string(padding) == "SAME_LOWER" ? 1 : 0);
    EXPECT_EQ(conv.attributes.padding.bottom, std::string(padding) == "SAME_LOWER" ? 0 : 1);
  }
}

TEST(Onnx, old_clips_and_signed_codes_are_read) {
  onnx::File file =
      ending({{.name = "c",
               .op = "Clip",
               .inputs = {"x"},
               .outputs = {"c_out"},
               .attributes = {{.name = "min", .type = Attribute::Type::kFloat, .number = 0},
                              {.name = "max", .type = Attribute::Type::kFloat, .number = 6}}},
              {.name = "q", .op = "QuantizeLinear", .inputs = {"c_out", "s", "z"}, .outputs = {"codes"}},
              {.name = "d", .op = "DequantizeLinear", .inputs = {"codes", "s", "z"}, .outputs = {"end"}}},
             {floats("s", {}, {0.125}),
              {.name = "z", .dims = {}, .type = DataType::kInt8, .bytes = std::string(1, '\x80')}});
  const auto model = model_of_file(file);
  EXPECT_EQ(model->graph.nodes[0].op, &kRelu6);
  EXPECT_EQ(model->graph.nodes[1].op, &kFakeQuantize);
  EXPECT_EQ(model->parameters.value[static_cast<std::size_t>(model->graph.nodes[1].parameters[1].offset)], 0);
}

TEST(Onnx, an_operator_without_a_layer_is_named_with_its_node) {
  const auto refused = [](const char* op, std::vector<Attribute> attributes = {}) {
    return error_of(ending({{.name = "the_node",
                             .op = op,
                             .inputs = {"x"},
                             .outputs = {"end"},
                             .attributes = std::move(attributes)}}),
                    ErrorCode::kUnsupported);
  };
  EXPECT_EQ(refused("Einsum"), "has the operator Einsum (node \"the_node\"), which the engine does not have");
  expect_says(refused("MaxPool", {wholes("kernel_shape", {2, 2}), wholes("dilations", {2, 1})}),
              "MaxPool (node \"the_node\"), which has dilations");
  expect_says(
      refused("MaxPool", {wholes("kernel_shape", {3, 3}), wholes("strides", {2, 2}), whole("ceil_mode", 1)}),
      "partly outside");
  expect_says(refused("AveragePool", {wholes("kernel_shape", {3, 3}), wholes("pads", {1, 1, 1, 1}),
                                      whole("count_include_pad", 1)}),
              "counts its padding");
  expect_says(refused("Clip", {{.name = "max", .type = Attribute::Type::kFloat, .number = 3}}), "from");
}

TEST(Onnx, what_contradicts_itself_is_refused) {
  const onnx::File good = ending({{.name = "i", .op = "Relu", .inputs = {"x"}, .outputs = {"end"}}});
  EXPECT_EQ(error_of(good), "");
  onnx::File file = good;
  file.nodes[0].inputs = {"nowhere"};
  expect_says(error_of(file), "\"nowhere\", which no node before it writes");
  file = good;
  file.constants.clear();
  expect_says(error_of(file), "MatMul (node \"fc\") that reads \"fc_w\", which is missing");
  file = good;
  file.nodes[1].outputs = {"end"};
  expect_says(error_of(file), "a second time");
  file = good;
  file.outputs[0].name = "z";
  expect_says(error_of(file), "output \"z\" that no node writes");
  file = good;
  file.outputs.push_back(file.outputs[0]);
  expect_says(error_of(file), "2 outputs");
  file = good;
  file.inputs.push_back({.name = "second", .dims = {1}});
  expect_says(error_of(file), "two inputs");
  file = good;
  file.inputs[0].dims[2] = onnx::Value::kSymbolic;
  expect_says(error_of(file), "not fixed sizes");
  file = good;
  file.constants[0].bytes.pop_back();
  expect_says(error_of(file), "7 bytes instead of 8");
  file = good;
  file.constants[0].dims = {-1, 2};
  expect_says(error_of(file), "not a shape");
  file = good;
  file.constants[0].dims = {std::int64_t{1} << 62, std::int64_t{1} << 62};
  expect_says(error_of(file), "not a shape");
  file = good;
  file.opset = 3;
  expect_says(error_of(file), "operator set 3");
  file = good;
  file.nodes.erase(file.nodes.begin() + 1, file.nodes.end() - 1);
  file.nodes.back().inputs[0] = "end";
  expect_says(error_of(file), "for another number of inputs");
}

TEST(Onnx, a_file_cut_off_anywhere_is_refused) {
  const auto model = quantized(*model_of(json::parse(R"({
      "input": {"channels": 1, "height": 4, "width": 4, "mean": [0.5], "standard_deviation": [0.25]},
      "classes": 2,
      "layers": [{"type": "conv", "out_channels": 2, "kernel": 3},
                 {"type": "relu"}, {"type": "dense", "units": "classes"}]})")),
                               8, 8);
  const auto bytes = save_onnx(*model, {});
  ASSERT_TRUE(is_onnx(bytes));
  int whole_models = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    try {
      (void)read({bytes.data(), size});
      ++whole_models;  // only what stands behind the graph is missing
    } catch (const Error& error) {
      ASSERT_TRUE(error.code() == ErrorCode::kModel);
      ASSERT_EQ(error.where(), "m.onnx");
      ASSERT_GT(error.message().size(), 10u);
    }
  }
  // Metadata, each entry a message of its own, may be missing without a trace.
  EXPECT_LE(whole_models, 4);
}

TEST(Onnx, many_readers_of_one_constant_do_not_fill_the_memory) {
  onnx::File file = graph_of({}, {});
  onnx::Tensor big{.name = "big", .dims = {1 << 20}, .bytes = std::string(std::size_t{4} << 20, '\0')};
  file.constants.push_back(big);
  for (int i = 0; i < 200; ++i) {
    file.nodes.push_back(
        {.name = "copy", .op = "Identity", .inputs = {"big"}, .outputs = {"copy" + std::to_string(i)}});
  }
  expect_says(error_of(file), "67 million numbers");
}

}  // namespace
}  // namespace espalier
