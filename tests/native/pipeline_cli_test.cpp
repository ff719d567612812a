// compress, sweep, export, import and eval of compressed files, as their user meets them.
#include <map>
#include <sstream>

#include "cli_fixture.h"

namespace espalier {
namespace {

const Arguments kData{"--data", "synthetic:400"};

struct PipelineCli : Cli {
  PipelineCli() {
    const Result trained = run(
        with({"train", "--model", "small", "--epochs", "1", "--batch", "32", "--out", "model.safetensors"},
             kData));
    EXPECT_EQ(trained.status, 0) << trained.err;
  }

  json compressed(const std::string& pipeline, const std::string& out) const {
    return run_json(with({"compress", "model.safetensors", "--pipeline", pipeline, "--out", out}, kData));
  }
};

TEST_F(PipelineCli, CompressWritesAFileOfTheSizeItSaysAndEvalRunsItInItsOwnForm) {
  const json made = compressed("int8", "int8.espalier");
  EXPECT_EQ(made["format"], "espalier");
  EXPECT_EQ(made["file_bytes"], fs::file_size(path("int8.espalier")));
  std::int64_t parts = 0;
  for (const json& part : made["file_parts"]) parts += part["bytes"].get<std::int64_t>();
  EXPECT_EQ(parts, made["file_bytes"]);

  const json packed = run_json(with({"eval", "int8.espalier"}, kData));
  const json reference = run_json(with({"eval", "int8.espalier", "--runtime", "reference"}, kData));
  EXPECT_EQ(packed["file_bytes"], made["file_bytes"]);
  EXPECT_GT(packed["microseconds_per_image"], 0.0);
  for (const json& layer : packed["layers"]) EXPECT_EQ(layer["format"], "int8") << layer;
  for (const char* same : {"accuracy", "loss", "confusion", "weights_sha256"})
    EXPECT_EQ(packed[same], reference[same]);
  EXPECT_EQ(packed["accuracy"], made["accuracy_after"]["test"]);
  EXPECT_NE(bytes("int8.espalier").size(), bytes("model.safetensors").size());
}

TEST_F(PipelineCli, ExportedAndImportedAgainItIsTheSameFile) {
  compressed("int8", "int8.espalier");
  const json exported = run_json({"export", "int8.espalier", "--format", "safetensors"});
  EXPECT_EQ(exported["file"], "int8.safetensors");
  for (const char* from : {"int8.espalier", "int8.safetensors"}) {
    run_json({"export", from, "--out", "copy.espalier"});
    EXPECT_EQ(bytes("copy.espalier"), bytes("int8.espalier")) << from;
  }
  const Arguments plain = with({"--runtime", "reference"}, kData);
  const json first = run_json(with({"eval", "int8.espalier"}, plain));
  const json second = run_json(with({"eval", "int8.safetensors"}, plain));
  EXPECT_EQ(first["loss"], second["loss"]);
}

TEST_F(PipelineCli, InspectSaysWhatTheFileSaysOfItself) {
  const json made = compressed("int8", "int8.espalier");
  const json shown = run_json({"inspect", "int8.espalier"});
  EXPECT_EQ(shown["file"]["format"], "espalier");
  EXPECT_EQ(shown["file"]["bytes"], made["file_bytes"]);
  EXPECT_EQ(shown["file"]["parts"], made["file_parts"]);
  EXPECT_EQ(shown["file"]["pipeline"], made["options"]);
  EXPECT_EQ(shown["file"]["labels"].size(), 10u);
  bool calibrated = false;
  for (const json& layer : shown["layers"]) {
    if (layer["type"] != "fake_quantize") continue;
    calibrated = true;
    EXPECT_GT(layer["scale"], 0.0);
    EXPECT_TRUE(layer["zero_point"].is_number_integer());
  }
  EXPECT_TRUE(calibrated);
  const Result text = run({"inspect", "int8.espalier"});
  for (const char* part :
       {"file     espalier", "labels   0, 1, 2", "made by  int8: fold, quantize", "header"}) {
    EXPECT_NE(text.out.find(part), std::string::npos) << text.out;
  }
}

TEST_F(PipelineCli, WrongCallsAreStatus2AndWriteNothing) {
  expect_error(2,
               {"compress", "model.safetensors", "--data", "synthetic:400", "--pipeline", "magic", "--out",
                "x.espalier"},
               "--pipeline: \"magic\" is neither a file nor a pipeline");
  expect_error(2, with({"compress", "model.safetensors", "--out", "x.espalier"}, kData),
               "--pipeline: is missing");
  write("bad.json", R"({"passes": [{"pass": "prune", "sparsity": 3}]})");
  expect_error(
      2, with({"compress", "model.safetensors", "--pipeline", "bad.json", "--out", "x.espalier"}, kData),
      "--pipeline: passes[0].sparsity must be a number from 0 to 1");
  expect_error(2, with({"sweep", "model.safetensors", "--grid", "bad.json", "--out", "x.jsonl"}, kData),
               "--grid: passes[0].sparsity must be a number");
  expect_error(
      2,
      with({"sweep", "model.safetensors", "--grid", "bad.json", "--shard", "2/2", "--out", "x.jsonl"}, kData),
      "--shard: ");
  expect_error(2, {"export", "model.safetensors", "--format", "stone"},
               "--format: is \"stone\", but the formats are");
  expect_error(2, with({"eval", "model.safetensors", "--runtime", "magic"}, kData),
               "must be packed, reference or float");
  EXPECT_FALSE(fs::exists(path("x.espalier")));
  EXPECT_FALSE(fs::exists(path("x.jsonl")));
}

TEST_F(PipelineCli, ASweepResumesAndItsShardsMergeIntoTheWhole) {
  write(
      "grid.json",
      R"({"passes": [{"pass": "prune", "sparsity": [0.2, 0.4, 0.6, 0.8]}, {"pass": "quantize", "activations": "float"}]})");
  const Arguments sweep = with({"sweep", "model.safetensors", "--grid", "grid.json"}, kData);
  const json whole = run_json(with(sweep, {"--out", "whole.jsonl"}));
  EXPECT_EQ(whole["new"], 4);
  EXPECT_EQ(run_json(with(sweep, {"--out", "whole.jsonl"}))["new"], 0);

  // The last line torn: that one runs again.
  std::string text = bytes("whole.jsonl");
  write("torn.jsonl", text.substr(0, text.size() - 9));
  EXPECT_EQ(run_json(with(sweep, {"--out", "torn.jsonl"}))["new"], 1);

  EXPECT_EQ(run_json(with(sweep, {"--shard", "0/2", "--out", "0.jsonl"}))["new"], 2);
  EXPECT_EQ(run_json(with(sweep, {"--shard", "1/2", "--out", "1.jsonl"}))["new"], 2);
  EXPECT_EQ(run_json({"sweep", "--merge", "0.jsonl", "1.jsonl", "--out", "all.jsonl"})["lines"], 4);
  const auto results = [&](const std::string& name) {
    std::map<std::string, json> lines;
    std::istringstream in(bytes(name));
    for (std::string line; std::getline(in, line);) {
      json result = json::parse(line);
      EXPECT_TRUE(result["pareto"].is_boolean());
      result.erase("pareto");
      result.erase("microseconds_per_image");
      lines[result["pipeline"].dump()] = result;
    }
    return lines;
  };
  EXPECT_EQ(results("all.jsonl"), results("whole.jsonl"));
}

}  // namespace
}  // namespace espalier
