// The command line as its user meets it: exit status, what is said, what is left behind.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <png.h>
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "cli_fixture.h"
#include "data/load.h"
#include "io/safetensors.h"
#include "kernels/kernels.h"

namespace espalier {
namespace {

const Arguments kSmallTraining{"train",    "--data", "synthetic:120", "--model", "small",
                               "--epochs", "2",      "--batch",       "16"};

// --- what is asked for wrongly ---

TEST_F(Cli, AWrongCallIsStatus2AndSaysWhy) {
  const Arguments train{"train", "--data", "synthetic:60", "--model", "small"};
  expect_error(2, {"tarin"},
               "\"tarin\" is not a command; the commands are train, eval, predict, inspect, quantize, prune, "
               "factorize, "
               "transfer, finetune, fold, slim, round, compress, sweep, export, import, generate, schema");
  expect_error(2, {"--verbose"}, "\"--verbose\" is not an option; see espalier --help");
  expect_error(2, {"train", "--model", "small"}, "--data: is missing");
  expect_error(2, {"train", "--data", "synthetic:60"}, "--model: is missing");
  expect_error(2, {"eval", "--data", "synthetic:60"}, "eval: MODEL is required");
  expect_error(2, {"eval", "a", "--split", "best"},
               "--split: must be test, validation or train, found \"best\"");
  expect_error(2, {"eval", "a", "b", "--data", "synthetic:60"}, "eval: \"b\" is one argument too many");
  expect_error(2, with(train, {"--epoch", "3"}),
               "train: \"--epoch\" is not an option; see espalier train --help");
  expect_error(2, with(train, {"--epochs"}), "train: --epochs: needs a value");
  expect_error(2, with(train, {"--epochs", "three"}), "--epochs: must be a whole number, found \"three\"");
  expect_error(2, with(train, {"--epochs", "0"}), "--epochs: must be a whole number from 1");
  expect_error(2, with(train, {"--epochs", "2.5"}), "--epochs: must be a whole number, found \"2.5\"");
  expect_error(2, with(train, {"--batch", "100000"}), "--batch: must be a whole number from 1 to 4096");
  expect_error(2, with(train, {"--lr", "fast"}), "--lr: must be a number, found \"fast\"");
  expect_error(2, with(train, {"--lr", "-0.1"}), "--lr: must be a number from 0");
  expect_error(2, with(train, {"--lr", "nan"}), "--lr: must be");
  expect_error(2, with(train, {"--optimizer", "lion"}),
               "--optimizer: \"lion\" is unknown; choose one of sgd, momentum");
  expect_error(2, with(train, {"--schedule", "zigzag"}),
               "--schedule: \"zigzag\" is unknown; choose one of constant");
  expect_error(2, with(train, {"--loss", "hinge"}),
               "--loss: \"hinge\" is unknown; choose one of softmax_cross_entropy");
  expect_error(2, with(train, {"--augment", "blur"}), "blur");
  expect_error(2, with(train, {"--seed", "-1"}), "--seed: must be a whole number from 0");
  expect_error(2, with(train, {"--threads", "0"}), "--threads");
  expect_error(2, with(train, {"--kernels", "mmx"}),
               "--kernels: \"mmx\" is not available here; choose one of");
  expect_error(2, {"train", "--data", "synthetic:60", "--model", "lenet6"},
               "\"lenet6\" is neither a file nor a preset; the presets are small, lenet5");
}

TEST_F(Cli, HelpHasExamplesAndIsStatus0) {
  for (const char* name : {"train", "eval", "predict", "inspect", "generate", "schema"}) {
    const Result help = run({name, "--help"});
    EXPECT_EQ(help.status, 0) << name;
    EXPECT_EQ(help.err, "") << name;
    EXPECT_NE(help.out.find("\n  espalier " + std::string(name)), std::string::npos) << help.out;
  }
  EXPECT_EQ(run({"--version"}).out, "espalier " ESPALIER_VERSION "\n");
  const Result nothing = run({});
  EXPECT_EQ(nothing.status, 2);
  EXPECT_NE(nothing.err.find("train"), std::string::npos);
  EXPECT_EQ(nothing.out, "");
}

// --- specs ---

std::string spec_with(const std::string& layer) {
  return R"({"input": {"channels": 1, "height": 28, "width": 28}, "classes": 10, "layers": [)" + layer +
         R"(, {"type": "flatten"}, {"type": "dense", "units": "classes"}]})";
}

TEST_F(Cli, ABadSpecIsNamedByLayerAndField) {
  const auto expect_spec_error = [&](const std::string& spec, const std::string& message) {
    write("spec.json", spec);
    expect_error(1, {"train", "--data", "synthetic:60", "--model", "spec.json"}, message);
  };
  expect_spec_error(spec_with(R"({"type": "conv", "name": "c", "out_channels": 4, "kernel": 30})"),
                    "c.kernel");
  expect_spec_error(spec_with(R"({"type": "attention"})"),
                    "unknown layer \"attention\"; the layers are conv");
  expect_spec_error(
      spec_with(R"({"type": "conv", "name": "c", "out_channels": 4, "kernel": 3, "stride": -1})"),
      "c.stride");
  expect_spec_error("{\"input\": ", "spec.json: is not valid JSON (line 1");
  expect_spec_error(std::string(5000, '['), "spec.json: is nested more than 32 deep");
  expect_spec_error("", "spec.json: is not valid JSON");
}

TEST_F(Cli, ASpecThatDoesNotFitTheDataIsRefused) {
  std::string spec = spec_with(R"({"type": "relu"})");
  spec.replace(spec.find("10"), 2, "7");
  write("spec.json", spec);
  expect_error(1, {"train", "--data", "synthetic:60", "--model", "spec.json"}, "10 classes");
  spec = spec_with(R"({"type": "relu"})");
  spec.replace(spec.find("28"), 2, "32");
  write("spec.json", spec);
  expect_error(1, {"train", "--data", "synthetic:60", "--model", "spec.json"}, "1x32x28");
}

// --- model files ---

TEST_F(Cli, ADamagedOrForeignModelFileIsNamed) {
  ASSERT_EQ(run(with(kSmallTraining, {"--out", "small.safetensors"})).status, 0);
  const std::string whole = bytes("small.safetensors");
  write("half.safetensors", whole.substr(0, whole.size() / 2));
  write("text.safetensors", "This is not a model, it is a sentence.");
  write("empty.safetensors", "");
  const auto expect_refused = [&](const std::string& file, const std::string& message) {
    expect_error(1, {"eval", file, "--data", "synthetic:60"}, file + ": " + message);
    expect_error(1, {"train", "--data", "synthetic:60", "--resume", file}, file + ": " + message);
    expect_error(1, {"predict", file, "--data", "synthetic:60"}, file + ": " + message);
  };
  expect_refused("half.safetensors", "tensor \"fc.bias\" ends at byte");
  expect_refused("text.safetensors", "is not a safetensors file");
  expect_refused("empty.safetensors", "is only 0 bytes long");
  expect_error(1, {"inspect", "half.safetensors"}, "half.safetensors: tensor \"fc.bias\" ends at byte");
  expect_error(1, {"eval", "nowhere.safetensors", "--data", "synthetic:60"}, "nowhere.safetensors");

  // One of another model: a dense layer's tensors under the first spec.
  std::string other = whole;
  for (std::size_t at = 0; (at = other.find("conv1.weight", at)) != std::string::npos;)
    other.replace(at, 12, "conv9.weight");
  write("other.safetensors", other);
  expect_refused("other.safetensors",
                 "has no tensor \"conv1.weight\" of shape [8, 1, 3, 3]; it belongs to another model");
  expect_error(2, {"train", "--data", "synthetic:120", "--model", "lenet5", "--resume", "small.safetensors"},
               "--model: is \"lenet5\", but the training in small.safetensors was begun with \"small\"");
}

TEST_F(Cli, AModelOfOtherImagesIsRefused) {
  ASSERT_EQ(run(with(kSmallTraining, {"--out", "small.safetensors"})).status, 0);
  fs::create_directories(folder / "tiny");
  Split split{std::vector<std::uint8_t>(40 * 16), std::vector<std::uint16_t>(40)};
  for (std::size_t i = 0; i < 40; ++i) split.labels[i] = static_cast<std::uint16_t>(i % 10);
  for (const std::string prefix : {"train", "t10k"}) {
    write_file(path("tiny/" + prefix + "-images-idx3-ubyte"), write_idx_images(split, 1, 4, 4));
    write_file(path("tiny/" + prefix + "-labels-idx1-ubyte"), write_idx_labels(split));
  }
  expect_error(1, {"eval", "small.safetensors", "--data", "tiny"}, "1x4x4");
}

// --- datasets ---

TEST_F(Cli, ADamagedDatasetIsNamedByFile) {
  generate();
  const std::string images = "data/train-images-idx3-ubyte";
  const std::string labels = "data/train-labels-idx1-ubyte";
  const std::string good_images = bytes(images);
  const std::string good_labels = bytes(labels);
  const auto expect_data_error = [&](const std::string& file) {
    expect_error(1, {"train", "--data", "data", "--model", "small"}, fs::path(file).filename().string());
    write(images, good_images);
    write(labels, good_labels);
    fs::remove(folder / (images + ".gz"));
  };
  write(images, good_images.substr(0, good_images.size() / 2));
  expect_data_error(images);
  write(images, good_images.substr(0, 3));
  expect_data_error(images);
  write(images, "");
  expect_data_error(images);
  write(images, "\x01" + good_images.substr(1));
  expect_data_error(images);
  write(images, good_labels);
  expect_data_error(images);
  write(images, good_images + "more");
  expect_data_error(images);
  std::string miscounted = good_images;
  miscounted[7] = 61;
  write(images, miscounted);
  expect_data_error(images);
  write(labels, good_labels.substr(0, good_labels.size() - 1));
  expect_data_error(labels);
  std::string fewer = good_labels.substr(0, good_labels.size() - 1);
  fewer[7] = 59;
  write(labels, fewer);
  expect_data_error(labels);
  fs::rename(folder / images, folder / (images + ".gz"));              // plain bytes under gzip's name …
  write(images + ".gz", "\x1f\x8b\x08 and then nothing of the kind");  // … and gzip's magic before rubbish
  expect_data_error(images);
  EXPECT_EQ(run({"train", "--data", "data", "--model", "small", "--epochs", "1"}).status, 0);
}

TEST_F(Cli, MissingAndEmptyDataAreRefused) {
  expect_error(1, {"train", "--data", "nowhere", "--model", "small"}, "nowhere");
  fs::create_directories(folder / "hollow");
  expect_error(1, {"train", "--data", "hollow", "--model", "small"}, "hollow");
  generate();
  const std::string no_images("\0\0\x08\x03\0\0\0\0\0\0\0\x1c\0\0\0\x1c", 16);
  const std::string no_labels("\0\0\x08\x01\0\0\0\0", 8);
  write("data/train-images-idx3-ubyte", no_images);
  write("data/train-labels-idx1-ubyte", no_labels);
  expect_error(1, {"train", "--data", "data", "--model", "small"}, "image");
}

TEST_F(Cli, DataIsFoundByNameBelowAFolder) {
  generate();
  fs::create_directories(folder / "shelf");
  fs::rename(folder / "data", folder / "shelf/digits");
  expect_error(1, {"train", "--data", "digits", "--model", "small"}, "digits");
  setenv("ESPALIER_DATA", path("shelf").c_str(), 1);
  const std::string found = sha_of({"train", "--data", "digits", "--model", "small", "--epochs", "1"});
  unsetenv("ESPALIER_DATA");
  EXPECT_EQ(found, sha_of({"train", "--data", "shelf/digits", "--model", "small", "--epochs", "1"}));
}

// --- training ---

TEST_F(Cli, TrainingInJsonIsOneObjectWithEverything) {
  const json result = run_json(with(kSmallTraining, {"--out", "small.safetensors", "--seed", "3"}));
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["model"], "small");
  EXPECT_EQ(result["data"], "synthetic:120");
  EXPECT_EQ(result["out"], "small.safetensors");
  EXPECT_EQ(result["epochs"], 2);
  EXPECT_EQ(result["seed"], 3);
  EXPECT_EQ(result["parameters"], 9098);
  EXPECT_EQ(result["config"]["batch_size"], 16);
  EXPECT_EQ(result["steps"].get<int>(), 2 * ((result["training_images"].get<int>() + 15) / 16));
  for (const char* field : {"test_accuracy", "validation_accuracy", "training_accuracy"}) {
    ASSERT_TRUE(result[field].is_number()) << field;
    EXPECT_GE(result[field].get<double>(), 0);
    EXPECT_LE(result[field].get<double>(), 1);
  }
  for (const char* field : {"loss", "test_loss", "seconds", "images_per_second", "threads"}) {
    ASSERT_TRUE(result[field].is_number()) << field;
    EXPECT_GT(result[field].get<double>(), 0) << field;
  }
  EXPECT_EQ(result["weights_sha256"].get<std::string>().size(), 64u);

  const json evaluated = run_json({"eval", "small.safetensors", "--data", "synthetic:120"});
  EXPECT_EQ(evaluated["test_accuracy"], result["test_accuracy"]);
  EXPECT_EQ(evaluated["weights_sha256"], result["weights_sha256"]);
  EXPECT_EQ(evaluated["confusion"].size(), 10u);
  const json inspected = run_json({"inspect", "small.safetensors"});
  EXPECT_EQ(inspected["weights_sha256"], result["weights_sha256"]);
  EXPECT_EQ(inspected["training"]["step"], result["steps"]);
}

TEST_F(Cli, FrozenLayersKeepTheirWeightsAndUnknownOnesAreNamed) {
  const auto weights = [this](const char* file) {
    const std::vector<std::uint8_t> bytes = read_file((folder / file).string());
    const TensorFile tensors = read_safetensors({file, bytes});
    return std::pair(tensors.find("conv1.weight")->values, tensors.find("fc.weight")->values);
  };
  run_json(with(kSmallTraining, {"--out", "all.safetensors", "--save-early", "1"}));
  run_json(
      with(kSmallTraining, {"--out", "frozen.safetensors", "--freeze", "conv*", "--layer-rates", "fc=0.5"}));
  const auto early = weights("all.early.safetensors"), all = weights("all.safetensors");
  const auto frozen = weights("frozen.safetensors");
  EXPECT_NE(early.first, all.first);
  EXPECT_NE(frozen.first, all.first);
  EXPECT_NE(frozen.second, all.second);
  run_json(with(kSmallTraining, {"--out", "again.safetensors", "--freeze", "conv1,conv2", "--lr", "0.001"}));
  EXPECT_EQ(weights("again.safetensors").first, frozen.first) << "those of the seed";
  EXPECT_NE(weights("again.safetensors").second, frozen.second);

  const Result refused = run(with(kSmallTraining, {"--freeze", "dense*"}));
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.err.find("--freeze: names \"dense*\""), std::string::npos) << refused.err;
}

TEST_F(Cli, ASummaryForPeopleHasNoControlCharactersInAPipe) {
  const Result result = run(kSmallTraining);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  for (const char c : result.out) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < 127)) << static_cast<int>(c);
  for (const char* text : {"seed 1", "epoch 1/2  loss ", "epoch 2/2  loss ", "validation ", "images/s",
                           "test    accuracy ", "give --out FILE"}) {
    EXPECT_NE(result.out.find(text), std::string::npos) << text << " is not in:\n" << result.out;
  }
}

TEST_F(Cli, OnATerminalOneLineMoves) {
  int terminal = 0;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    setenv("TERM", "xterm", 1);
    become_espalier(
        {"train", "--data", "synthetic:1000", "--model", "lenet5", "--epochs", "6", "--lr", "0.01"});
  }
  const std::string text = drain(terminal);
  EXPECT_EQ(exit_status(child), 0) << text;
  EXPECT_TRUE(std::regex_search(
      text,
      std::regex(R"(\repoch [1-6]/6 \[#*\.*\]  loss [0-9.]+  accuracy [0-9.]+ %  [0-9,]+ images/s  ET)")))
      << text;
  EXPECT_NE(text.find("\x1b[K"), std::string::npos);
  EXPECT_NE(text.find("test    accuracy"), std::string::npos);
}

TEST_F(Cli, ClassesAndImagesPerClassMakeASmallerTask) {
  const Arguments few = with(kSmallTraining, {"--classes", "7,2,4", "--per-class", "3"});
  const json result = run_json(with(few, {"--out", "few.safetensors"}));
  EXPECT_EQ(result["training_images"], 9);
  const json seen = run_json({"inspect", "few.safetensors"});
  EXPECT_EQ(seen["classes"], 3);
  const json evaluated =
      run_json({"eval", "few.safetensors", "--data", "synthetic:120", "--classes", "7,2,4"});
  EXPECT_EQ(evaluated["test_accuracy"], result["test_accuracy"]);
  EXPECT_EQ(evaluated["classes"], json({"7", "2", "4"}));
  expect_error(1, {"eval", "few.safetensors", "--data", "synthetic:120"}, "has 10 classes, but the model");
  expect_error(2, with(kSmallTraining, {"--classes", "5-12"}), "--classes: names 10, but");
  expect_error(2, with(kSmallTraining, {"--classes", "five"}), "--classes: must be a list of classes like");
  expect_error(2, with(kSmallTraining, {"--classes", "3"}), "--classes: must name at least two classes");
  expect_error(2, with(kSmallTraining, {"--per-class", "0"}), "--per-class: must be a whole number from 1");
  expect_error(1, with(kSmallTraining, {"--per-class", "100"}), "fewer than the 100 per class");
}

TEST_F(Cli, AnEarlyModelIsKept) {
  const Arguments training = with(kSmallTraining, {"--out", "m.safetensors"});
  const std::string end = sha_of(with(training, {"--save-early", "3"}));
  ASSERT_TRUE(fs::exists(folder / "m.early.safetensors"));
  EXPECT_NE(run_json({"inspect", "m.early.safetensors"})["weights_sha256"], end);
  EXPECT_EQ(run_json({"inspect", "m.safetensors"})["weights_sha256"], end);
  expect_error(2, with(kSmallTraining, {"--save-early", "3"}), "--save-early: needs --out");
}

TEST_F(Cli, ThreadsDoNotChangeTheWeights) {
  const std::string one = sha_of(with(kSmallTraining, {"--threads", "1"}));
  EXPECT_EQ(sha_of(with(kSmallTraining, {"--threads", "2"})), one);
  EXPECT_EQ(sha_of(with(kSmallTraining, {"--threads", "3"})), one);
  EXPECT_NE(sha_of(with(kSmallTraining, {"--seed", "2"})), one);
}

TEST_F(Cli, VectorWidthDoesNotChangeTheWeights) {
  std::vector<std::string> fused;
  for (const Kernels* kernels : available_kernels()) {
    if (kernels->fused) fused.emplace_back(kernels->name);
  }
  if (fused.size() < 2) GTEST_SKIP() << "this machine has no two kinds of fused kernels";
  const std::string first = sha_of(with(kSmallTraining, {"--kernels", fused[0]}));
  EXPECT_EQ(sha_of(with(kSmallTraining, {"--kernels", fused[1]})), first);
  EXPECT_EQ(run_json(with(kSmallTraining, {"--kernels", "plain"}))["kernels"], "plain");
}

TEST_F(Cli, LimitUsesTheFirstImages) {
  const json result = run_json(with(kSmallTraining, {"--limit", "40"}));
  EXPECT_EQ(result["training_images"], 40);
  EXPECT_EQ(result["steps"], 6);
}

TEST_F(Cli, ADivergedTrainingSaysSoAndKeepsGoodWeights) {
  const Arguments wild =
      with(kSmallTraining, {"--lr", "1e9", "--clip-norm", "0", "--out", "wild.safetensors"});
  expect_error(1, wild, "training: the loss ");
  expect_error(1, wild, "lower the learning rate");
  const json evaluated = run_json({"eval", "wild.safetensors", "--data", "synthetic:60"});
  EXPECT_TRUE(evaluated["loss"].is_number());
  expect_error(1, {"train", "--data", "synthetic:120", "--resume", "wild.safetensors"}, "no training");
}

TEST_F(Cli, WhatCannotBeWrittenIsNamed) {
  expect_error(1, with(kSmallTraining, {"--out", "nowhere/small.safetensors"}),
               "nowhere/small.safetensors: cannot be written: there is no folder nowhere");
  fs::create_directories(folder / "taken");
  expect_error(1, with(kSmallTraining, {"--out", "taken"}), "taken: is a folder");
  expect_error(1, with(kSmallTraining, {"--out", "/dev/full"}), "/dev/full: could not be written");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(Cli, AFullStandardOutputIsAnError) {
  const pid_t child = fork();
  if (child == 0) {
    const int full = open("/dev/full", O_WRONLY);
    const int err = open(path("stderr").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(full, 1);
    dup2(err, 2);
    become_espalier({"schema"});
  }
  EXPECT_EQ(exit_status(child), 1);
  EXPECT_EQ(bytes("stderr"), "espalier: standard output: could not be written\n");
}

// --- stopping and going on ---

TEST_F(Cli, AnInterruptedTrainingIsResumedToTheSameWeights) {
  const Arguments training{"train",   "--data", "synthetic:100", "--model", "small", "--epochs", "120",
                           "--limit", "32",     "--optimizer",   "adam"};
  const std::string whole = sha_of(training);
  const struct {
    int signal;
    Arguments out;
    const char* file;
  } cases[] = {{SIGINT, {}, "espalier-interrupted.safetensors"},
               {SIGTERM, {"--out", "kept.safetensors"}, "kept.safetensors"}};
  for (const auto& c : cases) {
    // It cannot finish before the signal: its lines do not fit into the pipe.
    const Child child = start(with(training, c.out));
    ASSERT_GT(fcntl(child.out, F_SETPIPE_SZ, 4096), 0);
    while (!read_line(child.out).starts_with("epoch 2/")) {
    }
    kill(child.pid, c.signal);
    drain(child.out);
    EXPECT_EQ(exit_status(child.pid), 1);
    const std::string said = bytes("stderr");
    std::smatch match;
    ASSERT_TRUE(std::regex_match(said, match,
                                 std::regex("espalier: interrupted after step ([0-9]+) of 120; to go on: "
                                            "(espalier train --data synthetic:100 --resume (\\S+).*)\n")))
        << said;
    EXPECT_EQ(match[3], c.file);
    const Arguments resumed{"train", "--data", "synthetic:100", "--resume", c.file};
    const json result = run_json(resumed);
    EXPECT_EQ(std::to_string(result["resumed_at_step"].get<int>()), match[1]);
    EXPECT_EQ(result["steps"], 120);
    EXPECT_EQ(result["weights_sha256"], whole);
    fs::copy_file(folder / c.file, folder / "stopped.safetensors", fs::copy_options::overwrite_existing);
  }
  // What was begun is gone on with, not changed.
  const Arguments resume{"train", "--data", "synthetic:100", "--resume", "stopped.safetensors"};
  expect_error(2, with(resume, {"--lr", "0.5"}),
               "--lr: is 0.5, but the training in stopped.safetensors was begun with 0.001");
  expect_error(2, with(resume, {"--epochs", "200"}), "--epochs: is 200, but");
  expect_error(2, with(resume, {"--optimizer", "sgd"}), "--optimizer: is \"sgd\", but");
  expect_error(1, {"train", "--data", "synthetic:30", "--resume", "stopped.safetensors"},
               "resume on the same data");
  EXPECT_EQ(sha_of(with(resume, {"--epochs", "120", "--lr", "0.001", "--model", "small", "--threads", "1",
                                 "--out", "end.safetensors"})),
            whole);
  // Resuming what is finished only evaluates it.
  EXPECT_EQ(sha_of({"train", "--data", "synthetic:100", "--resume", "end.safetensors"}), whole);
}

// --- looking at models ---

TEST_F(Cli, InspectTellsModelsFromSpecsAndPresets) {
  for (const char* preset : {"small", "lenet5", "lenet-300-100", "resnet", "mobile"}) {
    const json seen = run_json({"inspect", preset});
    EXPECT_EQ(seen["model"], preset);
    EXPECT_TRUE(seen["weights_sha256"].is_null());
    EXPECT_GT(seen["memory"]["training_bytes"].get<int>(), seen["memory"]["inference_bytes"].get<int>())
        << preset;
    std::int64_t macs = 0;
    for (const json& layer : seen["layers"]) macs += layer["macs"].get<std::int64_t>();
    EXPECT_EQ(seen["macs"], macs) << preset;
    write("spec.json", seen["spec"].dump());
    EXPECT_EQ(run_json({"inspect", "spec.json"}), seen) << preset;
  }
  const Result table = run({"inspect", "small"});
  EXPECT_TRUE(std::regex_search(table.out, std::regex("conv1 +conv +8x28x28 +80 +56,448"))) << table.out;
  expect_error(2, {"inspect", "lenet6"}, "MODEL: \"lenet6\" is neither a file nor a preset");
  expect_error(1, {"inspect", "."}, ".");
}

TEST_F(Cli, BenchCountsTheMultiplyAddsOfATrainingStep) {
  const Result result = run({"bench", "small", "--seconds", "0.2", "--kernels", "plain", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const json report = json::parse(result.out);
  EXPECT_EQ(report["model"], "small");
  EXPECT_EQ(report["kernels"], "plain");
  EXPECT_EQ(report["threads"], 1);
  // 290,080 forward and for the weights, all but the first layer's 56,448 for the inputs; two operations
  // each.
  EXPECT_NEAR(report["mflop_per_image"], 2e-6 * (2 * 290080 + 233632), 1e-9);
  ASSERT_EQ(report["layers"].size(), 3U);
  EXPECT_EQ(report["layers"][0]["layer"], "conv 1 to 8, 3x3, to 28x28");
  EXPECT_EQ(report["layers"][0]["directions"].size(), 2U);
  EXPECT_EQ(report["layers"][1]["directions"].size(), 3U);
  double sum = 0;
  for (const json& layer : report["layers"]) {
    sum += layer["mflop_per_image"].get<double>();
    EXPECT_GT(layer["share_of_peak"], 0);
  }
  EXPECT_NEAR(sum, report["mflop_per_image"], 1e-9);

  const Result unknown = run({"bench", "nothing"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_NE(unknown.err.find("MODEL"), std::string::npos) << unknown.err;
}

TEST_F(Cli, TheSchemaIsJson) { EXPECT_TRUE(json::parse(run({"schema"}).out, nullptr, false).is_object()); }

// An 8-bit grey picture.
void write_png(const std::string& path, const std::vector<std::uint8_t>& pixels, std::uint32_t width,
               std::uint32_t height) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_GRAY;
  ASSERT_NE(png_image_write_to_file(&image, path.c_str(), 0, pixels.data(), 0, nullptr), 0);
}

TEST_F(Cli, PredictShowsProbabilities) {
  ASSERT_EQ(run(with(kSmallTraining, {"--out", "small.safetensors"})).status, 0);
  const json from_data =
      run_json({"predict", "small.safetensors", "--data", "synthetic:120", "--index", "3"});
  ASSERT_EQ(from_data["probabilities"].size(), 10u);
  double sum = 0;
  for (const json& p : from_data["probabilities"]) sum += p.get<double>();
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_TRUE(from_data["label"].is_number());

  // The same image as a PNG, as large, twice as large, and inverted.
  const Dataset dataset = load_dataset("synthetic:120", 1);
  const auto first = dataset.test.images.begin() + 3 * 784;
  const std::vector<std::uint8_t> pixels(first, first + 784);
  std::vector<std::uint8_t> large(56 * 56), inverted(784);
  for (std::size_t y = 0; y < 56; ++y) {
    for (std::size_t x = 0; x < 56; ++x) large[y * 56 + x] = pixels[y / 2 * 28 + x / 2];
  }
  std::transform(pixels.begin(), pixels.end(), inverted.begin(),
                 [](std::uint8_t p) { return static_cast<std::uint8_t>(255 - p); });
  write_png(path("same.png"), pixels, 28, 28);
  write_png(path("large.png"), large, 56, 56);
  write_png(path("inverted.png"), inverted, 28, 28);
  EXPECT_EQ(run_json({"predict", "small.safetensors", "same.png"})["probabilities"],
            from_data["probabilities"]);
  EXPECT_EQ(run_json({"predict", "small.safetensors", "large.png"})["probabilities"],
            from_data["probabilities"]);
  EXPECT_EQ(run_json({"predict", "small.safetensors", "inverted.png", "--invert"})["probabilities"],
            from_data["probabilities"]);

  const Result bars = run({"predict", "small.safetensors", "same.png"});
  EXPECT_TRUE(std::regex_search(bars.out, std::regex("same.png: [0-9] \\([0-9.]+ %\\)\n  0 +[0-9.]+ %")))
      << bars.out;
  EXPECT_NE(bars.out.find('#'), std::string::npos);
  expect_error(2, {"predict", "small.safetensors"}, "is needed");
  expect_error(2, {"predict", "small.safetensors", "--data", "synthetic:120", "--index", "99999"},
               "--index: must be from 0 to");
  expect_error(2, {"predict", "small.safetensors", "--data", "synthetic:120", "--index", "-1"},
               "--index: must be from 0 to");
  write("broken.png", "\x89PNG\r\n\x1a\n and no more");
  expect_error(1, {"predict", "small.safetensors", "broken.png"}, "broken.png");
}

TEST_F(Cli, GeneratedDigitsAreTheBuiltInOnes) {
  generate(120, 20);
  EXPECT_EQ(fs::file_size(folder / "data/train-images-idx3-ubyte"), 16u + 120 * 784);
  EXPECT_EQ(fs::file_size(folder / "data/t10k-labels-idx1-ubyte"), 8u + 20);
  const Arguments rest{"--model", "small", "--epochs", "1"};
  EXPECT_EQ(sha_of(with({"train", "--data", "data"}, rest)),
            sha_of(with({"train", "--data", "synthetic:120"}, rest)));
  expect_error(2, {"generate"}, "--out: is missing");
  write("file", "");
  expect_error(1, {"generate", "--count", "5", "--test", "5", "--out", "file"}, "file");
}

}  // namespace
}  // namespace espalier
