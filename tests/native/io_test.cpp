// Model files: what is written is read back, what is damaged is refused, what is resumed ends the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_text.h"
#include "core/random.h"
#include "io/checkpoint.h"

namespace espalier {
namespace {

using nlohmann::json;
using Bytes = std::vector<std::uint8_t>;

// Convolution, batch norm with its running statistics, dropout and dense: 4 classes of 1x6x6 images.
json tiny_spec() {
  return json::parse(R"({
    "name": "tiny",
    "input": {"channels": 1, "height": 6, "width": 6, "mean": [0.1307], "standard_deviation": [0.3081]},
    "classes": 4,
    "layers": [
      {"type": "conv", "name": "conv1", "out_channels": 3, "kernel": 3, "padding": "same", "bias": false},
      {"type": "batch_norm", "name": "bn1"},
      {"type": "relu", "name": "relu1"},
      {"type": "max_pool", "name": "pool1", "kernel": 2},
      {"type": "flatten", "name": "flat"},
      {"type": "dropout", "name": "drop", "rate": 0.25},
      {"type": "dense", "name": "fc", "units": "classes"}
    ]})");
}

// Noise whose brightest quarter says the class.
Dataset noise(int train, int validation = 0, int test = 0) {
  Dataset dataset{
      .name = "noise", .channels = 1, .height = 6, .width = 6, .class_names = {"a", "b", "c", "d"}};
  const auto fill = [](Split& split, int count, std::uint64_t index) {
    Random random(1, RandomStream::kDigits, index);
    for (int i = 0; i < count; ++i) {
      const auto label = static_cast<std::uint16_t>(random.below(4));
      split.labels.push_back(label);
      for (int p = 0; p < 36; ++p) {
        const int quarter = p / 18 * 2 + p % 6 / 3;
        split.images.push_back(static_cast<std::uint8_t>(random.below(128) + (quarter == label ? 100u : 0u)));
      }
    }
  };
  fill(dataset.train, train, 1);
  fill(dataset.validation, validation, 2);
  fill(dataset.test, test, 3);
  return dataset;
}

std::unique_ptr<Model> tiny_model(std::uint64_t seed = 1) {
  return Model::create(tiny_spec(), seed, nullptr);
}

// The error's text; fails the test when there is none or it is of another kind.
template <class Action>
std::string model_error(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

std::string read_error(const Bytes& bytes) {
  return model_error([&] { read_safetensors({"file.safetensors", bytes}); });
}

std::string load_error(const Bytes& bytes) {
  return model_error([&] { load_checkpoint({"file.safetensors", bytes}); });
}

// A file with this header and so many bytes of zeros behind it.
Bytes with_header(const std::string& header, std::size_t data) {
  Bytes bytes(8 + header.size() + data);
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  TensorFile file;
  file.metadata = {{"format", "pt"}, {"quote", "\"\\\n\u00e9"}};
  file.tensors = {{"b", {2, 3}, {1, -2, 3.5f, 1e-40f, std::numeric_limits<float>::max(), -0.0f}},
                  {"a", {}, {7}},
                  {"none", {0, 4}, {}},
                  {"last", {1}, {std::numeric_limits<float>::infinity()}}};
  const TensorFile read = read_safetensors({"file", write_safetensors(file)});
  EXPECT_EQ(read.metadata, file.metadata);
  ASSERT_EQ(read.tensors.size(), file.tensors.size());
  for (const Tensor& tensor : file.tensors) {
    const Tensor* found = read.find(tensor.name);
    ASSERT_TRUE(found) << tensor.name;
    EXPECT_EQ(found->shape, tensor.shape);
    ASSERT_EQ(found->values.size(), tensor.values.size());
    EXPECT_TRUE(tensor.values.empty() ||
                std::memcmp(found->values.data(), tensor.values.data(), tensor.values.size() * 4) == 0);
  }
  EXPECT_EQ(read.find("c"), nullptr);
}

// Read as Python's safetensors does: length, JSON, offsets from the header's end, no holes.
TEST(Safetensors, TheLayoutIsTheOneOfTheFormat) {
  const Bytes bytes = write_safetensors(
      {.metadata = {{"format", "pt"}}, .tensors = {{"w", {2, 1}, {1.5f, -2}}, {"b", {1}, {4}}}});
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | bytes[static_cast<std::size_t>(i)];
  EXPECT_EQ(length % 8, 0u);
  ASSERT_EQ(bytes.size(), 8 + length + 12);
  const std::string text(bytes.begin() + 8, bytes.begin() + 8 + static_cast<std::ptrdiff_t>(length));
  EXPECT_EQ(text.front(), '{');
  EXPECT_EQ(text.substr(text.find_last_of('}') + 1).find_first_not_of(' '), std::string::npos);
  EXPECT_EQ(json::parse(text), json::parse(R"({"__metadata__": {"format": "pt"},
      "w": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
      "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}})"));
  const std::uint8_t one_and_a_half[] = {0, 0, 0xC0, 0x3F};
  EXPECT_TRUE(std::equal(one_and_a_half, one_and_a_half + 4,
                         bytes.begin() + 8 + static_cast<std::ptrdiff_t>(length)));
}

TEST(Safetensors, AFileCutAnywhereIsRefused) {
  const Bytes bytes = save_model(*tiny_model());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(load_checkpoint({"cut", cut}), Error) << size << " bytes";
  }
}

// Whatever one byte is changed to, the file is read or refused, and nothing else happens (the sanitizers
// watch).
TEST(Safetensors, NoChangedByteDoesHarm) {
  const Bytes bytes = save_model(*tiny_model());
  std::size_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  for (std::size_t at = 0; at < 8 + header; ++at) {
    for (const int value : {0x00, 0x7F, 0xFF, 0x30, 0x39, 0x22, 0x5B, 0x7D}) {
      Bytes changed = bytes;
      changed[at] = static_cast<std::uint8_t>(value);
      try {
        load_checkpoint({"changed", changed});
      } catch (const Error&) {
      }
    }
  }
}

TEST(Safetensors, HeadersThatLieAreRefused) {
  const auto entry = [](const std::string& shape, const std::string& offsets,
                        const std::string& type = "\"F32\"") {
    return R"({"w": {"dtype": )" + type + R"(, "shape": )" + shape + R"(, "data_offsets": )" + offsets + "}}";
  };
  EXPECT_NO_THROW(read_safetensors({"file", with_header(entry("[2]", "[0, 8]"), 8)}));
  const struct {
    std::string header;
    std::size_t data;
    const char* message;
  } cases[] = {
      {entry("[3]", "[0, 8]"), 8, "do not span 12 bytes"},
      {entry("[2]", "[8, 0]"), 8, "do not span 8 bytes"},
      {entry("[2]", "[4, 12]"), 12, "leaves a hole"},
      {entry("[2]", "[0, 8]"), 12, "4 bytes behind its last tensor"},
      {entry("[4]", "[0, 16]"), 8, "it was cut off"},
      {entry("[4]", "[0, 18446744073709551615]"), 8, "it was cut off"},
      {entry("[4294967296, 4294967296]", "[0, 0]"), 8, "it was cut off"},
      {entry("[9223372036854775807, 8]", "[0, 0]"), 8, "it was cut off"},
      {entry("[-2]", "[0, 8]"), 8, "not whole"},
      {entry("[2.5]", "[0, 8]"), 8, "not whole"},
      {entry("[\"2\"]", "[0, 8]"), 8, "not whole"},
      {entry("2", "[0, 8]"), 8, "not a list"},
      {entry("[1,1,1,1,1,1,1,1,2]", "[0, 8]"), 8, "not a list of at most 8"},
      {entry("[2]", "[0]"), 8, "not two whole numbers"},
      {entry("[2]", "[0, -8]"), 8, "not two whole numbers"},
      {entry("[2]", "[0, 8]", "\"F16\""), 8, "only \"F32\" can be read"},
      {entry("[2]", "[0, 8]", "7"), 8, "only \"F32\" can be read"},
      {R"({"w": 3})", 8, "not described by an object"},
      {R"({"w": {}})", 8, "has no \"dtype\""},
      {R"({"__metadata__": {"a": 1}})", 0, "not a text"},
      {R"({"__metadata__": 3})", 0, "not an object"},
      {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
           "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}})",
       12, "overlaps"},
      {R"({"w": )", 8, "is not valid JSON (line 1, column"},
      {"{\"\xff\": 1}", 8, "is not valid JSON"},
      {"{\"w\": " + std::string(100000, '['), 8, "nested more than 32 deep"},
      {"[1, 2]", 8, "not a safetensors file"},
  };
  for (const auto& c : cases) {
    const std::string error = read_error(with_header(c.header, c.data));
    EXPECT_TRUE(error.starts_with("file.safetensors")) << error;
    EXPECT_NE(error.find(c.message), std::string::npos) << error << "\nfor " << c.header.substr(0, 100);
  }
  Bytes huge = with_header("{}", 0);
  huge[7] = 0x7F;
  EXPECT_NE(read_error(huge).find("not a safetensors file"), std::string::npos);
}

TEST(Checkpoint, AModelComesBackWithItsBitsAndItsNormalisation) {
  const auto model = tiny_model(7);
  const Bytes bytes = save_model(*model);
  const auto loaded = load_model({"file", bytes});
  EXPECT_EQ(weight_bytes(*loaded), weight_bytes(*model));
  EXPECT_EQ(to_spec(loaded->graph), to_spec(model->graph));
  EXPECT_EQ(loaded->graph.input.mean, std::vector<double>{0.1307});
  EXPECT_EQ(loaded->graph.input.standard_deviation, std::vector<double>{0.3081});
  EXPECT_EQ(save_model(*loaded), bytes);
  EXPECT_FALSE(load_checkpoint({"file", bytes}).training);
}

TEST(Checkpoint, LabelsAndPipelineComeBack) {
  const auto model = tiny_model();
  std::vector<std::string> labels;
  for (int i = 0; i < model->graph.classes; ++i) labels.push_back("class " + std::to_string(i));
  const Bytes bytes = save_model(*model, nullptr, labels, R"({"passes": []})");
  const Checkpoint read = load_checkpoint({"file", bytes});
  EXPECT_EQ(read.labels, labels);
  EXPECT_EQ(read.pipeline, R"({"passes": []})");
  EXPECT_EQ(save_model(*read.model, nullptr, read.labels, read.pipeline), bytes);

  TensorFile file = read_safetensors({"file", bytes});
  file.metadata["espalier.labels"] = R"(["one"])";
  const Bytes wrong = write_safetensors(file);
  EXPECT_THROW((void)load_checkpoint({"file", wrong}), Error);
}

TEST(Checkpoint, EveryPresetComesBack) {
  for (const Preset& preset : presets()) {
    const auto model = Model::create(json::parse(preset.spec), 1, nullptr);
    const auto loaded = load_model({std::string(preset.name), save_model(*model)});
    EXPECT_EQ(weight_bytes(*loaded), weight_bytes(*model)) << preset.name;
    EXPECT_EQ(to_spec(loaded->graph), to_spec(model->graph)) << preset.name;
  }
}

TEST(Checkpoint, TheTensorsAreTheParametersInOrder) {
  const auto model = tiny_model();
  const TensorFile file = read_safetensors({"file", save_model(*model)});
  const auto parameters = model->graph.parameters();
  ASSERT_EQ(file.tensors.size(), parameters.size());
  std::size_t size = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_EQ(file.tensors[i].name, parameters[i]->name);
    size += file.tensors[i].values.size() * sizeof(float);
  }
  EXPECT_EQ(weight_bytes(*model).size(), size);
  EXPECT_TRUE(file.find("bn1.running_mean"));
  EXPECT_EQ(file.metadata.at("format"), "pt");
}

TEST(Checkpoint, HashesAsSha256Does) {
  EXPECT_EQ(sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const Bytes abc{'a', 'b', 'c'};
  EXPECT_EQ(sha256_hex(abc), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Checkpoint, AnotherModelsIsRefusedAndChangesNothing) {
  const Bytes bytes = save_model(*tiny_model());
  json wider = tiny_spec();
  wider["layers"][0]["out_channels"] = 5;
  const auto other = Model::create(wider, 3, nullptr);
  const auto before = weight_bytes(*other);
  const std::string shapes = model_error([&] { load_weights({"tiny.safetensors", bytes}, *other); });
  EXPECT_NE(shapes.find("\"conv1.weight\" with shape [3, 1, 3, 3], but the model needs [5, 1, 3, 3]"),
            std::string::npos)
      << shapes;
  EXPECT_EQ(weight_bytes(*other), before);

  json renamed = tiny_spec();
  renamed["layers"][6]["name"] = "head";
  const auto headed = Model::create(renamed, 3, nullptr);
  const std::string missing = model_error([&] { load_weights({"tiny.safetensors", bytes}, *headed); });
  EXPECT_NE(missing.find("no tensor \"head.weight\" of shape [4, 27]"), std::string::npos) << missing;

  json without_bias = tiny_spec();
  without_bias["layers"][6]["bias"] = false;
  const auto lean = Model::create(without_bias, 3, nullptr);
  const std::string more = model_error([&] { load_weights({"tiny.safetensors", bytes}, *lean); });
  EXPECT_NE(more.find("\"fc.bias\" of shape [4] that the model does not have"), std::string::npos) << more;

  const auto same = tiny_model(9);
  load_weights({"tiny.safetensors", bytes}, *same);
  EXPECT_EQ(weight_bytes(*same), weight_bytes(*tiny_model()));
}

TEST(Checkpoint, AFileWithoutASoundSpecIsRefused) {
  TensorFile file = read_safetensors({"file", save_model(*tiny_model())});
  const auto with_spec = [&](const std::string& spec) {
    file.metadata["espalier.spec"] = spec;
    return load_error(write_safetensors(file));
  };
  EXPECT_NE(with_spec("{").find("not valid JSON"), std::string::npos);
  EXPECT_NE(with_spec("{}").find("spec that is not valid"), std::string::npos);
  EXPECT_NE(with_spec(std::string(100000, '[')).find("nested"), std::string::npos);
  // A spec of a model too big for any memory is refused by the tensors that are not there.
  json giant = tiny_spec();
  giant["layers"][0]["out_channels"] = 1 << 14;
  EXPECT_NE(with_spec(giant.dump()).find("belongs to another model"), std::string::npos);
  file.metadata.erase("espalier.spec");
  EXPECT_NE(load_error(write_safetensors(file)).find("not an Espalier model"), std::string::npos);
}

TEST(Checkpoint, WeightsThatAreNotNumbersAreRefused) {
  TensorFile file = read_safetensors({"file", save_model(*tiny_model())});
  file.tensors[0].values[4] = std::numeric_limits<float>::quiet_NaN();
  const std::string error = load_error(write_safetensors(file));
  EXPECT_NE(error.find("\"conv1.weight\" that is not a finite number"), std::string::npos) << error;
}

struct Session {
  ThreadPool pool{2};
  std::unique_ptr<Model> model;
  Trainer trainer;
  Session(std::unique_ptr<Model> m, const Dataset& dataset, const TrainingConfig& config)
      : model(std::move(m)), trainer(*model, dataset, config, select_kernels("auto"), pool) {}
};

TEST(Checkpoint, ATrainingStoppedAnywhereEndsWithTheSameBits) {
  const Dataset dataset = noise(150);
  for (const char* optimizer : {"sgd", "momentum", "adam"}) {
    const TrainingConfig config = training_config({{"epochs", 3},
                                                   {"batch_size", 32},
                                                   {"optimizer", optimizer},
                                                   {"schedule", "one-cycle"},
                                                   {"warmup_steps", 2},
                                                   {"weight_decay", 0.01},
                                                   {"clip_norm", 1},
                                                   {"label_smoothing", 0.1},
                                                   {"augment", "shift:1,mixup"},
                                                   {"seed", 5}});
    Session whole(tiny_model(config.seed), dataset, config);
    std::vector<Bytes> files;  // as it would be left behind before each step
    while (!whole.trainer.done()) {
      files.push_back(save_model(*whole.model, &whole.trainer));
      whole.trainer.step();
    }
    const Bytes end = save_model(*whole.model, &whole.trainer);
    ASSERT_EQ(files.size(), 15u);
    for (std::size_t step = 0; step < files.size(); step += 3) {
      Checkpoint checkpoint = load_checkpoint({"file", files[step]});
      ASSERT_TRUE(checkpoint.training);
      EXPECT_EQ(to_json(checkpoint.training->config), to_json(config));
      Session rest(std::move(checkpoint.model), dataset, checkpoint.training->config);
      resume(rest.trainer, *checkpoint.training, "file");
      EXPECT_EQ(rest.trainer.step_count(), static_cast<std::int64_t>(step));
      EXPECT_EQ(save_model(*rest.model, &rest.trainer), files[step]);
      while (!rest.trainer.done()) rest.trainer.step();
      EXPECT_EQ(sha256_hex(weight_bytes(*rest.model)), sha256_hex(weight_bytes(*whole.model)))
          << optimizer << " from step " << step;
      EXPECT_EQ(save_model(*rest.model, &rest.trainer), end);
    }
    EXPECT_NE(weight_bytes(*load_model({"file", files[0]})), weight_bytes(*whole.model));
  }
}

TEST(Checkpoint, AFinishedTrainingKeepsNoMoments) {
  const Dataset dataset = noise(64);
  Session run(tiny_model(), dataset, training_config({{"epochs", 1}, {"optimizer", "adam"}}));
  const Bytes begun = save_model(*run.model, &run.trainer);
  EXPECT_TRUE(read_safetensors({"file", begun}).find("optimizer.moment2.fc.bias"));
  EXPECT_FALSE(read_safetensors({"file", begun}).find("optimizer.moment1.bn1.running_mean"));
  while (!run.trainer.done()) run.trainer.step();
  const Bytes finished = save_model(*run.model, &run.trainer);
  EXPECT_LT(finished.size(), begun.size());
  const Checkpoint checkpoint = load_checkpoint({"file", finished});
  EXPECT_TRUE(checkpoint.training->finished());
  Session again(tiny_model(), dataset, checkpoint.training->config);
  resume(again.trainer, *checkpoint.training, "file");
  EXPECT_TRUE(again.trainer.done());
}

TEST(Checkpoint, ResumingOnOtherDataIsRefused) {
  const Dataset dataset = noise(150);
  Session run(tiny_model(), dataset, training_config({{"epochs", 2}, {"batch_size", 32}}));
  const Checkpoint checkpoint = load_checkpoint({"file", save_model(*run.model, &run.trainer)});
  const Dataset fewer = noise(100);
  Session other(tiny_model(), fewer, checkpoint.training->config);
  try {
    resume(other.trainer, *checkpoint.training, "half.safetensors");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kData);
    EXPECT_NE(std::string(error.what()).find("begun on 150 training images, but here are 100"),
              std::string::npos)
        << error.what();
  }
}

TEST(Checkpoint, ATrainingThatContradictsItselfIsRefused) {
  const Dataset dataset = noise(150);
  Session run(tiny_model(), dataset, training_config({{"epochs", 2}, {"batch_size", 32}}));
  const TensorFile sound = read_safetensors({"file", save_model(*run.model, &run.trainer)});
  const auto changed = [&](const char* pointer, const json& value) {
    TensorFile file = sound;
    json training = json::parse(file.metadata.at("espalier.training"));
    training[json::json_pointer(pointer)] = value;
    file.metadata["espalier.training"] = training.dump();
    return load_error(write_safetensors(file));
  };
  EXPECT_NE(changed("/step", 11).find("contradicts itself"), std::string::npos);
  EXPECT_NE(changed("/step", -1).find("no whole number \"step\""), std::string::npos);
  EXPECT_NE(changed("/step", "3").find("no whole number \"step\""), std::string::npos);
  EXPECT_NE(changed("/training_images", 0).find("contradicts itself"), std::string::npos);
  EXPECT_NE(changed("/training_images", 1000000000000).find("contradicts itself"), std::string::npos);
  EXPECT_NE(changed("/total_steps", 1000000).find("contradicts itself"), std::string::npos);
  EXPECT_NE(changed("/config/optimizer", "lion").find("optimizer"), std::string::npos);
  EXPECT_NE(changed("/config/batch_size", 0).find("batch_size"), std::string::npos);
  // Momentum keeps one moment, Adam needs two.
  EXPECT_NE(changed("/config/optimizer", "adam").find("no tensor \"optimizer.moment2.conv1.weight\""),
            std::string::npos);
  TensorFile file = sound;
  file.metadata["espalier.training"] = "[]";
  EXPECT_NE(load_error(write_safetensors(file)).find("has no \"config\""), std::string::npos);
}

}  // namespace
}  // namespace espalier
