// The passes on the command line, as their user meets them.
#include <pty.h>

#include <csignal>
#include <cstdlib>
#include <regex>
#include <set>
#include <sstream>

#include "cli_fixture.h"
#include "compress/pass.h"
#include "data/load.h"

namespace espalier {
namespace {

const Arguments kData{"--data", "synthetic:400"};

struct CompressCli : Cli {
  // A trained model, model.safetensors, with its early weights.
  CompressCli() {
    const Result trained = run(with({"train", "--model", "small", "--epochs", "3", "--batch", "32",
                                     "--save-early", "5", "--out", "model.safetensors"},
                                    kData));
    EXPECT_EQ(trained.status, 0) << trained.err;
  }

  // `espalier PASS model.safetensors --data … MORE --out out.safetensors`.
  static Arguments pass(const std::string& name, const Arguments& more,
                        const std::string& model = "model.safetensors") {
    return with(with({name, model}, kData), with(more, {"--out", "out.safetensors"}));
  }

  double test_accuracy(const std::string& model, const Arguments& more = {}) const {
    return run_json(with(with({"eval", model}, kData), more))["test_accuracy"].get<double>();
  }

  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
    return names;
  }
};

// --- what is asked for wrongly ---

TEST_F(CompressCli, AWrongCallIsStatus2NamesTheOptionAndWritesNothing) {
  const auto before = files();
  const auto expect_wrong = [&](const Arguments& arguments, const std::string& message) {
    expect_error(2, arguments, message);
  };
  for (const char* name : {"quantize", "prune", "factorize", "transfer"}) {
    expect_wrong(with({name, "model.safetensors"}, kData), "--out: is missing");
    expect_wrong({name, "model.safetensors", "--out", "x.safetensors"}, "--data: is missing");
    expect_wrong(with({name, "model.safetensors", "--out", "x.xyz"}, kData),
                 "--out: is \"x.xyz\", whose ending \".xyz\" names no format");
    expect_wrong(with({name, "model.safetensors", "--out", "x"}, kData),
                 "--out: is \"x\", whose ending is missing");
    expect_wrong(pass(name, {"--classes", "5-12"}), "--classes: names 10, but");
    expect_wrong(pass(name, {"--no-such-thing"}), "\"--no-such-thing\" is not an option");
    expect_wrong(pass(name, {"--lr", "fast"}), "--lr: must be a number, found \"fast\"");
    expect_wrong(pass(name, {"--lr-schedule", "zigzag"}), "--lr-schedule: \"zigzag\" is unknown");
  }
  expect_wrong(pass("quantize", {"--scheme", "octal"}), "--scheme: must be one of article, affine");
  expect_wrong(pass("quantize", {"--weights", "9"}), "--weights: ");
  expect_wrong(pass("quantize", {"--weights", "4,nowhere=8"}), "--weights: ");
  expect_wrong(pass("quantize", {"--activations", "5"}), "--activations: must be one of float, 8, 4");
  expect_wrong(pass("quantize", {"--calibrate", "guess"}), "--calibrate: must be one of min-max");
  expect_wrong(pass("quantize", {"--images", "0"}), "--images: must be a whole number from 1");
  expect_wrong(pass("quantize", {"--scheme", "ternary", "--weights", "4"}), "--weights: ");
  expect_wrong(pass("quantize", {"--weights", "float", "--activations", "float"}), "--weights: ");
  expect_wrong(pass("quantize", {"--qat", "2.5"}), "--qat: must be a whole number, found \"2.5\"");
  expect_wrong(pass("prune", {}), "--sparsity: is missing");
  expect_wrong(pass("prune", {"--sparsity", "1.0"}), "--sparsity: is 1, which prunes every weight");
  expect_wrong(pass("prune", {"--sparsity", "-0.5"}), "--sparsity: must be a number from 0 to 1");
  expect_wrong(pass("prune", {"--sparsity", "half"}), "--sparsity: must be a number, found \"half\"");
  expect_wrong(pass("prune", {"--sparsity", "0.5", "--bytes", "100"}), "--sparsity: contradicts the others");
  expect_wrong(pass("prune", {"--sparsity", "0.5", "--criterion", "luck"}),
               "--criterion: must be one of magnitude");
  expect_wrong(pass("prune", {"--sparsity", "0.5", "--granularity", "pixel"}), "--granularity: ");
  expect_wrong(pass("prune", {"--sparsity", "0.5", "--layers", "nowhere"}), "--layers: names \"nowhere\"");
  expect_wrong(pass("prune", {"--sparsity", "0.5", "--layers", "conv1,,fc"}),
               "--layers: must be names with commas between them");
  expect_wrong(pass("prune", {"--sparsity", "0.5", "--rewind", "model.early.safetensors"}),
               "--rewind: needs fine-tuning");
  expect_wrong(pass("factorize", {"--rank", "4", "--energy", "0.5"}), "--");
  expect_wrong(pass("factorize", {"--energy", "1.5"}), "--energy: must be a number from 0 to 1");
  expect_wrong(pass("transfer", {"--mode", "theft"}),
               "--mode: must be one of parameters, structure, distill");
  expect_wrong(pass("transfer", {"--freeze", "nowhere"}), "--freeze: names \"nowhere\"");
  expect_wrong(pass("transfer", {"--freeze", "*"}), "--freeze: leaves nothing to train");
  expect_wrong(pass("transfer", {"--mode", "distill"}), "--student: is missing");
  expect_wrong(pass("transfer", {"--mode", "distill", "--student", "small", "--temperature", "0"}),
               "--temperature");
  expect_wrong(pass("transfer", {"--lambda", "1"}), "--lambda: rehearses the source's images");
  expect_wrong(pass("transfer", {"--source-classes", "0-4"}), "--source-data: is missing");
  expect_wrong(pass("transfer", {"--source-data", "synthetic:100", "--source-classes", "0-99"}),
               "--source-classes: names 10, but");
  EXPECT_EQ(files(), [&] {
    auto after = before;
    after.insert("stderr");
    return after;
  }());
}

TEST_F(CompressCli, WhatIsNotThereOrDoesNotFitIsStatus1) {
  for (const char* name : {"quantize", "factorize", "transfer"}) {
    expect_error(1, pass(name, {}, "nowhere.safetensors"), "nowhere.safetensors: does not exist");
    expect_error(1, with({name, "model.safetensors", "--data", "nowhere"}, {"--out", "x.safetensors"}),
                 "nowhere");
    expect_error(1, with(with({name, "model.safetensors"}, kData), {"--out", "no/x.safetensors"}),
                 "no/x.safetensors: cannot be written");
    expect_error(1, pass(name, {"--csv", "no/x.csv"}), "no/x.csv: cannot be written");
  }
  expect_error(1, pass("quantize", {"--classes", "0-4"}), "has 5 classes, but the model \"small\" has 10");
  expect_error(1, pass("quantize", {"--per-class", "1000"}), "fewer than the 1000 per class");
  write("broken.safetensors", bytes("model.safetensors").substr(0, 3000));
  expect_error(1, pass("prune", {"--sparsity", "0.5"}, "broken.safetensors"), "broken.safetensors: ");
  expect_error(1, pass("prune", {"--sparsity", "0.5", "--finetune", "1", "--rewind", "nowhere.safetensors"}),
               "nowhere.safetensors: does not exist");
}

TEST_F(CompressCli, ATrainingThatDivergesLeavesTheOldFile) {
  write("out.safetensors", "what was there before");
  expect_error(1, pass("prune", {"--sparsity", "0.5", "--finetune", "2", "--lr", "1e9"}),
               "training: the loss ");
  EXPECT_EQ(bytes("out.safetensors"), "what was there before");
}

TEST_F(Cli, HelpOfAPassHasEveryFieldAndThreeExamples) {
  const std::string all = run({"--help"}).out;
  for (const PassType* type : pass_types()) {
    const std::string name(type->name);
    const Result help = run({name, "--help"});
    EXPECT_EQ(help.status, 0);
    EXPECT_EQ(help.err, "");
    EXPECT_NE(all.find("  " + name), std::string::npos) << all;
    int examples = 0;
    for (std::size_t at = 0; (at = help.out.find("\n  espalier " + name, at)) != std::string::npos; ++at)
      ++examples;
    EXPECT_EQ(examples, 3) << help.out;
    for (const json& field : type->defaults()) {
      std::string flag = field["name"].get<std::string>();
      std::replace(flag.begin(), flag.end(), '_', '-');
      if (field["default"] == true) flag = "no-" + flag;
      EXPECT_NE(help.out.find("\n  --" + flag + " "), std::string::npos) << flag << " is not in\n"
                                                                         << help.out;
    }
    for (const char* flag :
         {"--data", "--classes", "--per-class", "--out", "--json", "--csv", "--seed", "--lr"}) {
      EXPECT_NE(help.out.find(flag), std::string::npos) << flag;
    }
  }
}

// --- results ---

TEST_F(CompressCli, TheFileIsWhatTheReportSays) {
  const std::int64_t parameters = run_json({"inspect", "small"})["parameters"].get<std::int64_t>();
  const struct {
    const char* name;
    Arguments options;
    const char* last;  // the accuracy of what is written
  } cases[] = {
      {"quantize", {"--weights", "4", "--activations", "float"}, "accuracy_after"},
      {"quantize", {"--weights", "3", "--qat", "1"}, "accuracy_finetuned"},
      {"prune", {"--criterion", "magnitude", "--sparsity", "0.6", "--finetune", "1"}, "accuracy_finetuned"},
      {"prune",
       {"--criterion", "random", "--sparsity", "0.3", "--granularity", "channel", "--scope", "layer",
        "--slim"},
       "accuracy_after"},
      {"factorize", {"--rank", "2", "--finetune", "1"}, "accuracy_finetuned"},
      {"transfer", {"--mode", "parameters", "--freeze", "conv*", "--epochs", "1"}, "accuracy_finetuned"},
      {"transfer",
       {"--mode", "distill", "--student", "lenet-300-100", "--epochs", "1"},
       "accuracy_finetuned"},
  };
  for (const auto& c : cases) {
    const json report = run_json(pass(c.name, c.options));
    SCOPED_TRACE(report.dump(1));
    EXPECT_EQ(report["pass"], c.name);
    EXPECT_EQ(report["seed"], 1);
    EXPECT_EQ(report["file"], "out.safetensors");
    EXPECT_EQ(report["file_bytes"], fs::file_size(folder / "out.safetensors"));
    EXPECT_EQ(report["before"]["total"]["parameters"], parameters);
    EXPECT_EQ(report["revived"], 0);
    EXPECT_EQ(report["config"]["optimizer"], "momentum");
    EXPECT_EQ(report["config"]["learning_rate"], 0.01);
    EXPECT_GT(report["seconds"].get<double>(), 0);
    ASSERT_TRUE(report.contains(c.last));
    EXPECT_NEAR(test_accuracy("out.safetensors"), report[c.last]["test"].get<double>(), 1e-12);
    const json seen = run_json({"inspect", "out.safetensors"});
    EXPECT_EQ(seen["weights_sha256"], report["weights_sha256"]);
    for (const char* field : {"nonzeros", "bits", "bytes"}) {
      EXPECT_EQ(seen["compression"][field], report["after"]["total"][field]) << field;
    }
    EXPECT_EQ(seen["macs"], report["after"]["total"]["macs"]);
    for (std::size_t i = 0; i < c.options.size(); ++i) {
      if (c.options[i] == "--slim") EXPECT_EQ(report["options"]["slim"], true);
      if (c.options[i] == "--sparsity") EXPECT_EQ(report["options"]["sparsity"].dump(), c.options[i + 1]);
    }
  }
}

TEST_F(CompressCli, PassesComposeAndInspectShowsWhatTheyDid) {
  ASSERT_EQ(run(pass("prune", {"--sparsity", "0.5", "--scope", "layer"})).status, 0);
  fs::rename(folder / "out.safetensors", folder / "pruned.safetensors");
  const json quantized = run_json(pass("quantize", {"--weights", "4"}, "pruned.safetensors"));
  const json pruned = run_json({"inspect", "pruned.safetensors"});
  EXPECT_EQ(quantized["before"]["total"]["nonzeros"], pruned["compression"]["nonzeros"]);
  EXPECT_LE(quantized["after"]["total"]["nonzeros"], quantized["before"]["total"]["nonzeros"]);
  EXPECT_EQ(quantized["after"]["total"]["bits"], 4);
  const std::string table = run({"inspect", "out.safetensors"}).out;
  EXPECT_TRUE(std::regex_search(table, std::regex("fc +dense .* % zeros, 4 bits symmetric per channel\n")))
      << table;
  EXPECT_TRUE(
      std::regex_search(table, std::regex("fake_quantize .* 8 bits, steps of [0-9.e-]+, zero at [0-9]+\n")))
      << table;
  EXPECT_TRUE(std::regex_search(table, std::regex("weights  [0-9,]+ of [0-9,]+ parameters are not 0; ")))
      << table;
}

TEST_F(CompressCli, TheReportIsATableForPeopleAndACsvForOthers) {
  const Result result = run(pass("prune", {"--sparsity", "0.8", "--finetune", "1", "--csv", "layers.csv"}));
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  for (const char c : result.out) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < 127)) << static_cast<int>(c);
  for (const char* text : {"\nlayer ", "\ntotal ", "\nsmaller by ", "\nbefore ", "\nfine-tuned for 1 epoch ",
                           "\ncontrol, trained for 1 epoch ", "learning rate 0.01, cosine", "finetune 1",
                           "saved   out.safetensors, ", "saved   layers.csv"}) {
    EXPECT_NE(result.out.find(text), std::string::npos) << text << " is not in:\n" << result.out;
  }
  std::istringstream csv(bytes("layers.csv"));
  std::string line;
  std::vector<std::string> lines;
  while (std::getline(csv, line)) lines.push_back(line);
  const json report = run_json(pass("prune", {"--sparsity", "0.8", "--finetune", "1"}));
  ASSERT_EQ(lines.size(), report["after"]["layers"].size() + 2);
  const json& layer = report["after"]["layers"][0];
  EXPECT_TRUE(
      lines[1].starts_with(layer["name"].get<std::string>() + "," + layer["type"].get<std::string>()));
  EXPECT_TRUE(lines.back().starts_with("total,"));
  EXPECT_NE(lines.back().find("," + report["after"]["total"]["nonzeros"].dump() + ","), std::string::npos);
}

TEST_F(CompressCli, ThreadsDoNotChangeTheResultAndTheSeedDoes) {
  const Arguments prune = pass("prune", {"--criterion", "taylor", "--sparsity", "0.7", "--finetune", "1"});
  const std::string one = sha_of(with(prune, {"--threads", "1"}));
  EXPECT_EQ(sha_of(with(prune, {"--threads", "3"})), one);
  EXPECT_NE(sha_of(with(prune, {"--threads", "3", "--seed", "2"})), one);
}

TEST_F(CompressCli, TheSeedIsThatOfTheTraining) {
  ASSERT_EQ(
      run(with({"train", "--model", "small", "--epochs", "1", "--seed", "9", "--out", "nine.safetensors"},
               kData))
          .status,
      0);
  EXPECT_EQ(run_json(pass("quantize", {}, "nine.safetensors"))["seed"], 9);
}

TEST_F(CompressCli, SurvivorsAreRewoundToTheEarlyModel) {
  const Arguments prune = pass("prune", {"--sparsity", "0.5", "--schedule", "one-shot", "--finetune", "1"});
  const json rewound = run_json(with(prune, {"--rewind", "model.early.safetensors"}));
  EXPECT_EQ(rewound["options"]["rewind"], true);
  const json plain = run_json(prune);
  EXPECT_EQ(plain["options"]["rewind"], false);
  EXPECT_NE(rewound["weights_sha256"], plain["weights_sha256"]);
}

TEST_F(CompressCli, OtherClassesGetAHeadOfTheirOwn) {
  ASSERT_EQ(
      run(with({"train", "--model", "small", "--epochs", "1", "--classes", "0-4", "--out", "low.safetensors"},
               kData))
          .status,
      0);
  const json report = run_json(
      pass("transfer",
           {"--mode", "parameters", "--classes", "5-8", "--per-class", "5", "--epochs", "1", "--source-data",
            "synthetic:400", "--source-classes", "0-4", "--lambda", "1", "--rehearsal", "0.5"},
           "low.safetensors"));
  EXPECT_TRUE(report.contains("source_before"));
  EXPECT_TRUE(report.contains("source_after"));
  EXPECT_EQ(run_json({"inspect", "out.safetensors"})["classes"], 4);
  EXPECT_NEAR(test_accuracy("out.safetensors", {"--classes", "5-8"}),
              report["accuracy_finetuned"]["test"].get<double>(), 1e-12);
}

TEST_F(CompressCli, AStudentMayBeASpec) {
  json spec = run_json({"inspect", "small"})["spec"];
  spec["name"] = "pupil";
  write("pupil.json", spec.dump());
  const Arguments distill = pass("transfer", {"--mode", "distill", "--epochs", "1", "--student"});
  Arguments with_spec = distill;
  with_spec.insert(std::find(with_spec.begin(), with_spec.end(), "--student") + 1, "pupil.json");
  EXPECT_EQ(run_json(with_spec)["model"], "pupil");
  Arguments unknown = distill;
  unknown.insert(std::find(unknown.begin(), unknown.end(), "--student") + 1, "pupil");
  expect_error(2, unknown, "--student: is \"pupil\", but must be a spec or one of the presets");
}

// --- stopping, and the screen ---

TEST_F(CompressCli, InterruptedItLeavesEverythingAsItWas) {
  write("out.safetensors", "what was there before");
  const Arguments cases[] = {
      pass("quantize", {"--weights", "4", "--qat", "100000"}),
      pass("prune", {"--sparsity", "0.5", "--finetune", "100000"}),
      pass("factorize", {"--rank", "2", "--finetune", "100000"}),
      pass("transfer", {"--epochs", "100000"}),
  };
  int signal = SIGINT;
  for (const Arguments& arguments : cases) {
    SCOPED_TRACE(shown(arguments));
    const Child child = start(arguments);
    while (!read_line(child.out).starts_with("engine ")) {
    }
    kill(child.pid, signal);
    drain(child.out);
    EXPECT_EQ(exit_status(child.pid), 1);
    EXPECT_TRUE(
        std::regex_match(bytes("stderr"), std::regex("espalier: interrupted[a-z -]*; nothing was changed\n")))
        << bytes("stderr");
    EXPECT_EQ(bytes("out.safetensors"), "what was there before");
    signal = SIGTERM;
  }
  EXPECT_EQ(files(), (std::set<std::string>{"model.safetensors", "model.early.safetensors", "out.safetensors",
                                            "stderr"}));
}

TEST_F(CompressCli, OnATerminalALineMovesForEachStage) {
  int terminal = 0;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    setenv("TERM", "xterm", 1);
    if (chdir(folder.c_str()) != 0) _exit(126);
    become_espalier({"prune", "model.safetensors", "--data", "synthetic:2000", "--sparsity", "0.5",
                     "--finetune", "15", "--no-control", "--threads", "1", "--out", "out.safetensors"});
  }
  const std::string text = drain(terminal);
  EXPECT_EQ(exit_status(child), 0) << text;
  EXPECT_TRUE(std::regex_search(
      text, std::regex(R"(\r[a-z -]+ \[#*\.*\]  loss [0-9.]+  accuracy [0-9.]+ %  ETA [0-9:]+)")))
      << text;
  EXPECT_NE(text.find("smaller by"), std::string::npos);
}

}  // namespace
}  // namespace espalier
