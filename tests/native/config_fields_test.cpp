// Configurations through their tables: what is read, refused and described.
#include "core/config_fields.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "compress/pass.h"
#include "core/error.h"
#include "train/config.h"

namespace espalier {
namespace {

using nlohmann::json;

struct Settings {
  int count = 3;
  double share = 0.5;
  std::uint64_t seed = 1;
  bool fast = true;
  std::string mode = "plain";
  std::vector<std::string> layers;
};
constexpr ConfigField kFields[] = {
    {"count", "How many", member<&Settings::count>, 1, 10},
    {"share", "How much", member<&Settings::share>, 0, 1},
    {"seed", "Seed", member<&Settings::seed>, 0, 9007199254740991},
    {"fast", "Hurries", member<&Settings::fast>},
    {"mode", "How", member<&Settings::mode>, 0, 0, "plain, plainer, plain-est"},
    {"layers", "Where", member<&Settings::layers>},
};

void expect_refused(const char* text, const std::string& where, const std::string& message) {
  SCOPED_TRACE(text);
  Settings settings;
  try {
    read_config(kFields, json::parse(text), &settings);
    FAIL() << "was read";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kArgument);
    EXPECT_EQ(error.where(), where);
    EXPECT_NE(error.message().find(message), std::string::npos) << error.message();
  }
}

TEST(ConfigFields, WhatIsWrittenIsReadBack) {
  const Settings given{7, 0.25, 9007199254740991, false, "plainer", {"conv1", "fc"}};
  const json object = write_config(kFields, &given);
  Settings read;
  read_config(kFields, object, &read);
  EXPECT_EQ(write_config(kFields, &read), object);
  EXPECT_EQ(read.seed, 9007199254740991u);
  EXPECT_EQ(read.layers, given.layers);
}

TEST(ConfigFields, FieldsThatAreNotGivenKeepTheirValues) {
  Settings settings{.count = 9, .mode = "plainer"};
  read_config(kFields, json{{"share", 1}}, &settings);
  EXPECT_EQ(settings.count, 9);
  EXPECT_EQ(settings.share, 1);
  EXPECT_EQ(settings.mode, "plainer");
}

TEST(ConfigFields, WrongValuesAreRefusedByName) {
  expect_refused(R"({"count": 0})", "count", "must be a whole number from 1 to 10, found 0");
  expect_refused(R"({"count": 11})", "count", "found 11");
  expect_refused(R"({"count": 2.5})", "count", "whole number");
  expect_refused(R"({"count": "3"})", "count", "must be a number, found \"3\"");
  expect_refused(R"({"count": 1e300})", "count", "from 1 to 10");
  expect_refused(R"({"share": -0.1})", "share", "must be a number from 0 to 1, found -0.1");
  expect_refused(R"({"share": null})", "share", "must be a number");
  expect_refused(R"({"seed": -1})", "seed", "from 0 to 9007199254740991");
  expect_refused(R"({"fast": 1})", "fast", "must be true or false");
  expect_refused(R"({"mode": 1})", "mode", "must be a text");
  expect_refused(R"({"layers": "conv1"})", "layers", "must be a list of texts");
  expect_refused(R"({"layers": ["conv1", 2]})", "layers", "must be a list of texts");
  expect_refused(R"({"speed": 1})", "speed",
                 "is unknown; the fields are count, share, seed, fast, mode, layers");
  expect_refused(R"([1])", "config", "must be a JSON object");
}

TEST(ConfigFields, AChoiceIsAWholeWordOfTheList) {
  for (const char* wrong : {"plai", "", "est", "plain,", "plain, plainer", " plainer", "PLAIN"}) {
    expect_refused(json{{"mode", wrong}}.dump().c_str(), "mode", "must be one of plain, plainer, plain-est");
  }
  for (const char* right : {"plain", "plainer", "plain-est"}) {
    Settings settings;
    read_config(kFields, json{{"mode", right}}, &settings);
    EXPECT_EQ(settings.mode, right);
  }
}

// Menus and options are made of these rows, so a default must be a value that its own row accepts.
TEST(ConfigFields, EveryPassAcceptsItsOwnDefaults) {
  for (const PassType* pass : pass_types()) {
    SCOPED_TRACE(pass->name);
    EXPECT_FALSE(pass->summary.empty());
    const json rows = pass->defaults();
    ASSERT_EQ(rows.size(), pass->fields.size());
    std::set<std::string> names;
    for (const json& row : rows) {
      SCOPED_TRACE(row.dump());
      const std::string name = row["name"].get<std::string>();
      EXPECT_TRUE(names.insert(name).second) << "twice";
      EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string::npos);
      EXPECT_FALSE(row["description"].get<std::string>().empty());
      if (row.contains("minimum")) {
        EXPECT_GE(row["default"].get<double>(), row["minimum"].get<double>());
        EXPECT_LE(row["default"].get<double>(), row["maximum"].get<double>());
      }
      if (row.contains("choices")) {
        const std::string choices = ", " + row["choices"].get<std::string>() + ",";
        EXPECT_NE(choices.find(", " + row["default"].get<std::string>() + ","), std::string::npos);
      }
    }
    EXPECT_EQ(&find_pass(pass->name), pass);
  }
  EXPECT_THROW(find_pass("pruning"), Error);
}

TEST(ConfigFields, ATrainingIsReadBackFromItsOwnJson) {
  TrainingConfig config;
  config.epochs = 12;
  config.freeze = {"conv*"};
  config.optimizer = "adamw";
  const json object = to_json(config);
  EXPECT_EQ(to_json(training_config(object)), object);
}

}  // namespace
}  // namespace espalier
