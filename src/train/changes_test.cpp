#include "train/changes.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary {
namespace {

TrainConfig config_with(Changes changes) {
  TrainConfig config;
  config.schedule.steps = 100;
  config.changes = std::move(changes);
  return config;
}

TEST(Changes, HoldFromTheirShareOfTheStepsOn) {
  const TrainConfig config = config_with(
      {{"0.5:beta2", 0.999}, {"0.75:beta2", 0.9999}, {"0.25:accumulate", 3}, {"0.1:weight-decay", 2}});
  EXPECT_EQ(config_at(config, 0).beta2, config.beta2);
  EXPECT_EQ(config_at(config, 49).beta2, config.beta2);
  EXPECT_EQ(config_at(config, 50).beta2, 0.999);
  EXPECT_EQ(config_at(config, 99).beta2, 0.9999);
  EXPECT_EQ(config_at(config, 25).accumulate, 3);
  EXPECT_EQ(config_at(config, 10).weight_decay, 2);
  TrainConfig unknown = config;
  unknown.schedule.steps.reset();
  EXPECT_EQ(config_at(unknown, 1000).beta2, config.beta2);
}

TEST(Changes, PassesAreThoseOfAllEarlierSteps) {
  TrainConfig config = config_with({{"0.5:accumulate", 2}, {"0.75:accumulate", 5}, {"0.6:beta1", 0.8}});
  int64_t passes = 0;
  for (int64_t step = 0; step < 120; ++step) {
    EXPECT_EQ(passes_before(config, step), passes) << step;
    passes += config_at(config, step).accumulate;
  }
}

TEST(Changes, TheDecayMovesInAStraightLine) {
  TrainConfig config = config_with({});
  config.weight_decay = 0.2;
  EXPECT_EQ(weight_decay_scale(config, 70), 1);
  config.final_weight_decay = 0;
  EXPECT_EQ(weight_decay_scale(config, 0), 1);
  EXPECT_NEAR(weight_decay_scale(config, 33), 2.0 / 3, 1e-12);
  EXPECT_NEAR(weight_decay_scale(config, 99), 0, 1e-12);
}

TEST(Changes, WhatIsNoChangeIsRefused) {
  auto refusal = [](const char* key, double value) -> std::string {
    try {
      check_changes(config_with({{key, value}}));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal("0.5:accumulate", 2), "");
  EXPECT_NE(refusal("0.5:accumulate", 2.5).find("whole number"), std::string::npos);
  EXPECT_NE(refusal("0.5:accumulate", 0).find("--accumulate is 0"), std::string::npos);
  EXPECT_NE(refusal("0.5:layers", 2).find("layers cannot change"), std::string::npos);
  for (const char* key : {"beta2", "1:beta2", "x:beta2", "-0.5:beta2"})
    EXPECT_NE(refusal(key, 0.9).find("expected a share"), std::string::npos) << key;
}

TEST(Changes, ACorrectedNumberOfStepsLeavesTheDecayOfThePast) {
  TrainConfig config;
  config.weight_decay = 0.2;
  config.final_weight_decay = 0.1;
  config.schedule = {.steps = 101, .warmup = 0};
  TrainConfig once = config;
  once.schedule.correct(81, 41);
  TrainConfig twice = once;
  twice.schedule.correct(201, 61);
  for (int64_t step = 0; step < 41; ++step)
    EXPECT_EQ(weight_decay_scale(once, step), weight_decay_scale(config, step)) << step;
  for (int64_t step = 0; step < 61; ++step)
    EXPECT_EQ(weight_decay_scale(twice, step), weight_decay_scale(once, step)) << step;
  for (const TrainConfig& one : {config, once, twice})
    EXPECT_NEAR(weight_decay_scale(one, *one.schedule.steps), 0.5, 1e-9);
}

}  // namespace
}  // namespace aviary
