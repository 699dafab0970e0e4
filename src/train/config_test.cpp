#include "train/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "train/settings.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

TrainConfig some_config() {
  TrainConfig config;
  config.model = {.version = "rwkv7", .n_layer = 2, .n_embd = 64, .vocab_size = 256};
  config.text = "/there/book.txt";
  config.learning_rate_scales = {{"blocks.0.", 0.5}};
  config.schedule = {.kind = ScheduleKind::linear, .start = 1e-3, .end = 1e-5, .steps = 7, .warmup = 2};
  config.precision = kernels::Precision::bf16;
  config.carry_state = true;
  config.seed = 1ull << 63;
  return config;
}

std::string refusal(const std::string& json) {
  try {
    train_config_from_json(json, "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(TrainConfig, IsReadAsItWasWritten) {
  TrainConfig config = some_config();
  EXPECT_EQ(to_json(train_config_from_json(to_json(config), "")), to_json(config));
  config.schedule.steps.reset();
  config.schedule.most_steps = 30;
  config.minutes = 2;
  const TrainConfig again = train_config_from_json(to_json(config), "");
  EXPECT_FALSE(again.schedule.steps);
  EXPECT_EQ(to_json(again), to_json(config));
  config.schedule.steps = 90;
  config.schedule.correct(70, 33);
  config.schedule.correct(75, 50);
  EXPECT_EQ(train_config_from_json(to_json(config), "").schedule.corrections, config.schedule.corrections);
  config.schedule.steps = 80;
  EXPECT_NE(refusal(to_json(config)).find("corrections"), std::string::npos);
}

TEST(TrainConfig, EverySettingIsInTheFile) {
  TrainConfig config = some_config();
  config.schedule.most_steps = 9;
  const Json json = Json::parse(to_json(config));
  for (const Setting& setting : settings())
    EXPECT_EQ(json.contains(setting.name), !setting.of_model) << setting.name;
}

// As written by Aviary 0.1, which had fewer settings.
TEST(TrainConfig, ASettingThatIsNotThereHasItsDefault) {
  Json json = Json::parse(to_json(some_config()));
  for (const char* name : {"format", "dropout", "warmup_from", "most_steps"}) json.erase(name);
  const TrainConfig config = train_config_from_json(json.dump(), "");
  EXPECT_EQ(config.dropout, TrainConfig().dropout);
  EXPECT_EQ(config.schedule.warmup_from, Schedule().warmup_from);
  EXPECT_EQ(config.schedule.steps, 7);
}

TEST(TrainConfig, TheStepsOfAviary01AreNotKnownWhileThereAreMinutes) {
  Json json = Json::parse(to_json(some_config()));
  json.erase("format");
  json.erase("most_steps");
  json["minutes"] = 3;
  json["steps"] = 500;
  TrainConfig config = train_config_from_json(json.dump(), "");
  EXPECT_FALSE(config.schedule.steps);
  EXPECT_EQ(config.schedule.most_steps, 500);
  json["steps"] = 1'000'000'000;  // any number
  EXPECT_EQ(train_config_from_json(json.dump(), "").schedule.most_steps, 0);
}

TEST(TrainConfig, WhatIsNotUnderstoodIsRefusedByName) {
  auto changed = [](const char* name, const Json& value) {
    Json json = Json::parse(to_json(some_config()));
    json[name] = value;
    return refusal(json.dump());
  };
  EXPECT_NE(changed("wings", 2).find("\"wings\""), std::string::npos);
  EXPECT_NE(changed("layers", 2).find("\"layers\""), std::string::npos);  // a field of model
  EXPECT_NE(changed("format", 99).find("newer"), std::string::npos);
  EXPECT_NE(changed("context", "long").find("context is '\"long\"'"), std::string::npos);
  EXPECT_NE(changed("context", 2.5).find("context is 2.5"), std::string::npos);
  EXPECT_NE(changed("steps", 7.5).find("steps is 7.5"), std::string::npos);
  EXPECT_NE(changed("seed", -1).find("seed is -1"), std::string::npos);
  EXPECT_NE(changed("batch", 1e300).find("batch is 1e+300"), std::string::npos);
  EXPECT_NE(changed("schedule", "square").find("square"), std::string::npos);
  EXPECT_NE(changed("precision", "f8").find("f8"), std::string::npos);
  EXPECT_NE(changed("batch", 0).find("--batch is 0"), std::string::npos);
  EXPECT_NE(refusal("{}").find("the setting model is missing"), std::string::npos);
  EXPECT_NE(refusal("[").size(), 0u);
}

TEST(Settings, NamesAreThereOnceAndFlagsOncePerCommand) {
  std::set<std::string> names;
  for (SettingFlags command : {setting_flags::train, setting_flags::compare, setting_flags::tune}) {
    std::set<std::string> flags;
    for (const Setting& setting : settings())
      EXPECT_TRUE(!(setting.flags & command) || flags.insert(setting.flag_text()).second) << setting.name;
  }
  for (const Setting& setting : settings()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    EXPECT_GT(std::string(setting.help).size(), 5u) << setting.name;
    EXPECT_LE(setting.low, setting.high) << setting.name;
    EXPECT_EQ(find_setting(setting.name), &setting);
  }
  EXPECT_EQ(find_setting("l2wrap")->flag_text(), "--no-l2wrap");
  EXPECT_EQ(find_setting("carry_state")->flag_text(), "--carry-state");
  EXPECT_EQ(find_setting("wings"), nullptr);
}

}  // namespace
}  // namespace aviary
