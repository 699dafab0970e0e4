#include "train/plan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "train/settings.h"

namespace aviary {
namespace {

Facts facts_of(int64_t bytes, std::optional<int64_t> tokens = {}) {
  Facts facts{.text = {"/book.txt", "0", bytes}, .fastest_precision = kernels::Precision::f32};
  if (tokens) facts.vocabulary = {.kind = "world", .size = 1000, .train_tokens = *tokens};
  return facts;
}

// Simulates a flag: "steps", [](TrainConfig& c) { c.schedule.steps = 3; }
template <typename Set>
Asked& give(Asked& asked, const char* name, Set set) {
  EXPECT_NE(find_setting(name), nullptr) << name;
  set(asked.values);
  asked.given.insert(name);
  return asked;
}
Asked steps(int64_t count) {
  Asked asked;
  return give(asked, "steps", [&](TrainConfig& c) { c.schedule.steps = count; });
}

std::string plan_refusal(const Asked& asked, const Facts& facts) {
  try {
    resolve(asked, facts);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Plan, SizesFollowFromTheText) {
  const TrainConfig small = resolve({}, facts_of(20'000)), large = resolve({}, facts_of(3'000'000));
  EXPECT_EQ(small.model.n_embd, 64);
  EXPECT_EQ(small.tokenizer, "bytes");
  EXPECT_EQ(large.model.n_embd, 192);
  EXPECT_EQ(large.model.vocab_size, 2048);
  EXPECT_EQ(large.model.version, "rwkv7");
  EXPECT_FALSE(large.schedule.steps);  // not before the text is tokenized
  EXPECT_EQ(large.schedule.most_steps, 0);
}

TEST(Plan, WithoutFlagsARunHasAtMostTenMinutes) {
  const TrainConfig plan = resolve({}, facts_of(3'000'000, 900'000));
  EXPECT_FALSE(plan.schedule.steps);
  EXPECT_GT(plan.schedule.most_steps, 100);
  EXPECT_EQ(plan.minutes, 10);
  EXPECT_EQ(plan.model.vocab_size, 1000);
  EXPECT_EQ(plan.schedule.warmup, 50);
}

TEST(Plan, StepsThatAreGivenAreKnownAndShortenTheUsualWarmUp) {
  const TrainConfig plan = resolve(steps(30), facts_of(3'000'000, 900'000));
  EXPECT_EQ(plan.schedule.steps, 30);
  EXPECT_EQ(plan.minutes, 0);
  EXPECT_EQ(plan.schedule.warmup, 6);
  EXPECT_FALSE(plan.schedule.fit_warmup);
}

TEST(Plan, MinutesThatAreGivenHaveNoLimitOfSteps) {
  Asked asked;
  give(asked, "minutes", [](TrainConfig& c) { c.minutes = 3; });
  const TrainConfig plan = resolve(asked, facts_of(3'000'000, 900'000));
  EXPECT_FALSE(plan.schedule.steps);
  EXPECT_EQ(plan.schedule.most_steps, 0);
  EXPECT_EQ(plan.minutes, 3);
  EXPECT_TRUE(plan.schedule.fit_warmup);
  give(asked, "warmup", [](TrainConfig& c) { c.schedule.warmup = 30; });
  EXPECT_FALSE(resolve(asked, facts_of(3'000'000, 900'000)).schedule.fit_warmup);
}

TEST(Plan, TheQuickstartIsAsItsFiguresWereMeasured) {
  Asked asked;
  asked.quickstart = true;
  const TrainConfig plan = resolve(asked, facts_of(3'553'021, 923'734));
  EXPECT_EQ(plan.schedule.steps, 950);
  EXPECT_EQ(plan.validation_bytes, 50'000);
  EXPECT_EQ(plan.model.n_layer, 4);
  EXPECT_EQ(plan.model.n_embd, 192);
  EXPECT_EQ(plan.context, 128);
  EXPECT_EQ(plan.batch, 16);
  EXPECT_EQ(plan.optimizer, OptimizerKind::muon);
  EXPECT_EQ(plan.schedule.kind, ScheduleKind::linear);
  EXPECT_DOUBLE_EQ(plan.schedule.start, 0.012);
  EXPECT_EQ(plan.schedule.end, 0);
  EXPECT_EQ(plan.schedule.warmup, 50);
  EXPECT_EQ(plan.weight_decay, 0.1);
}

TEST(Plan, WhatIsGivenWithTheQuickstartIsObeyed) {
  Asked asked = steps(100);
  asked.quickstart = true;
  give(asked, "version", [](TrainConfig& c) { c.model.version = "rwkv4"; });
  give(asked, "validation_bytes", [](TrainConfig& c) { c.validation_bytes = 1000; });
  const TrainConfig plan = resolve(asked, facts_of(20'000));
  EXPECT_EQ(plan.model.version, "rwkv4");
  EXPECT_EQ(plan.model.n_embd, 192);
  EXPECT_EQ(plan.schedule.steps, 100);
  EXPECT_EQ(plan.validation_bytes, 1000);
  EXPECT_EQ(plan.weight_decay, 0);  // of the recipe of rwkv4
}

TEST(Plan, WithMuonTheUsualRateIsHigherAndFallsToZero) {
  Asked asked = steps(100);
  const double usual = resolve(asked, facts_of(20'000)).schedule.start;
  give(asked, "optimizer", [](TrainConfig& c) { c.optimizer = OptimizerKind::muon; });
  const TrainConfig plan = resolve(asked, facts_of(20'000));
  EXPECT_DOUBLE_EQ(plan.schedule.start, 4 * usual);
  EXPECT_EQ(plan.schedule.end, 0);
  EXPECT_EQ(plan.schedule.kind, ScheduleKind::linear);
  give(asked, "learning_rate", [](TrainConfig& c) { c.schedule.start = 1e-3; });
  give(asked, "final_learning_rate", [](TrainConfig& c) { c.schedule.end = 1e-5; });
  give(asked, "schedule", [](TrainConfig& c) { c.schedule.kind = ScheduleKind::cosine; });
  const TrainConfig given = resolve(asked, facts_of(20'000));
  EXPECT_EQ(given.schedule.start, 1e-3);
  EXPECT_EQ(given.schedule.end, 1e-5);
  EXPECT_EQ(given.schedule.kind, ScheduleKind::cosine);
}

TEST(Plan, AGivenLearningRateDeclinesToAPartOfIt) {
  Asked asked = steps(100);
  give(asked, "learning_rate", [](TrainConfig& c) { c.schedule.start = 1e-3; });
  EXPECT_EQ(resolve(asked, facts_of(20'000)).schedule.end, 1e-3 / 20);
  give(asked, "final_learning_rate", [](TrainConfig& c) { c.schedule.end = 1e-5; });
  EXPECT_EQ(resolve(asked, facts_of(20'000)).schedule.end, 1e-5);
}

TEST(Plan, AFlagIsObeyedOrRefused) {
  Asked warm = steps(3);
  give(warm, "warmup", [](TrainConfig& c) { c.schedule.warmup = 100; });
  EXPECT_NE(plan_refusal(warm, facts_of(20'000)).find("--warmup is 100"), std::string::npos);
  give(warm, "warmup", [](TrainConfig& c) { c.schedule.warmup = 3; });
  EXPECT_EQ(resolve(warm, facts_of(20'000)).schedule.warmup, 3);

  Asked nowhere = steps(3);
  give(nowhere, "dropout_at", [](TrainConfig& c) { c.dropout_at = "att"; });
  EXPECT_NE(plan_refusal(nowhere, facts_of(20'000)).find("--dropout"), std::string::npos);

  Asked constant = steps(3);
  give(constant, "schedule", [](TrainConfig& c) { c.schedule.kind = ScheduleKind::constant; });
  give(constant, "final_learning_rate", [](TrainConfig& c) { c.schedule.end = 1e-5; });
  EXPECT_NE(plan_refusal(constant, facts_of(20'000)).find("--final-learning-rate"), std::string::npos);

  Asked still = steps(3);
  give(still, "schedule", [](TrainConfig& c) { c.schedule.kind = ScheduleKind::constant; });
  give(still, "cooldown", [](TrainConfig& c) { c.schedule.cooldown = 0.5; });
  EXPECT_NE(plan_refusal(still, facts_of(20'000)).find("--cooldown"), std::string::npos);

  Asked decay = steps(3);
  give(decay, "weight_decay", [](TrainConfig& c) { c.weight_decay = 0; });
  give(decay, "cautious_decay", [](TrainConfig& c) { c.cautious_decay = true; });
  EXPECT_NE(plan_refusal(decay, facts_of(20'000)).find("--cautious-decay"), std::string::npos);

  Asked lion = steps(3);
  give(lion, "optimizer", [](TrainConfig& c) { c.optimizer = OptimizerKind::lion; });
  EXPECT_EQ(plan_refusal(lion, facts_of(20'000)), "");
  give(lion, "momentum", [](TrainConfig& c) { c.momentum = 0.9; });
  EXPECT_NE(plan_refusal(lion, facts_of(20'000)).find("--momentum is a setting of Muon"), std::string::npos);
  lion.given.erase("momentum");
  give(lion, "epsilon", [](TrainConfig& c) { c.epsilon = 1e-8; });
  EXPECT_NE(plan_refusal(lion, facts_of(20'000)).find("--epsilon"), std::string::npos);

  Asked vocabulary = steps(3);
  give(vocabulary, "vocabulary", [](TrainConfig& c) { c.model.vocab_size = 500; });
  Facts facts = facts_of(20'000, 9'000);
  EXPECT_EQ(plan_refusal(vocabulary, facts), "");  // a text may have fewer tokens than requested
  facts.vocabulary->chosen = true;
  EXPECT_NE(plan_refusal(vocabulary, facts).find("--vocabulary is 500"), std::string::npos);
}

TEST(Plan, TheUsualContextFitsAShortTextAndAGivenOneIsRefused) {
  EXPECT_EQ(resolve(steps(3), facts_of(200, 50)).context, 25);
  Asked asked = steps(3);
  give(asked, "context", [](TrainConfig& c) { c.context = 50; });
  EXPECT_NE(plan_refusal(asked, facts_of(200, 50)).find("--context is 50"), std::string::npos);
  give(asked, "context", [](TrainConfig& c) { c.context = 49; });
  EXPECT_EQ(resolve(asked, facts_of(200, 50)).context, 49);
  EXPECT_NE(plan_refusal(steps(3), facts_of(30, 31)).find("only 31 tokens"), std::string::npos);
}

TEST(Plan, NumbersOutOfBoundsAreRefusedByTheirFlag) {
  EXPECT_NE(plan_refusal(steps(0), facts_of(20'000)).find("--steps is 0"), std::string::npos);
  Asked minutes;
  give(minutes, "minutes", [](TrainConfig& c) { c.minutes = 0; });
  EXPECT_NE(plan_refusal(minutes, facts_of(20'000)).find("--minutes is 0"), std::string::npos);
  Asked scale = steps(3);
  give(scale, "learning_rate_scales", [](TrainConfig& c) { c.learning_rate_scales["emb"] = -1; });
  EXPECT_NE(plan_refusal(scale, facts_of(20'000)).find("--learning-rate-scale emb is -1"), std::string::npos);
}

TEST(Plan, ProcessesOfALauncherShareABatchAmongEightWorkersAtMost) {
  Facts facts = facts_of(3'000'000);
  EXPECT_EQ(resolve({}, facts).workers, 1);
  facts.processes = 2;
  EXPECT_EQ(resolve({}, facts).workers, 8);
  Asked small;
  give(small, "batch", [](TrainConfig& c) { c.batch = 7; });
  EXPECT_EQ(resolve(small, facts).workers, 4);
  give(small, "workers", [](TrainConfig& c) { c.workers = 8; });
  EXPECT_NE(plan_refusal(small, facts).find("--batch 7"), std::string::npos);
  give(small, "workers", [](TrainConfig& c) { c.workers = 6; });
  EXPECT_NE(plan_refusal(small, facts).find("power of two"), std::string::npos);
  Asked rounded;
  give(rounded, "rounded_sums", [](TrainConfig& c) { c.rounded_sums = true; });
  EXPECT_EQ(plan_refusal(rounded, facts), "");
  EXPECT_NE(plan_refusal(rounded, facts_of(3'000'000)).find("--workers"), std::string::npos);
}

TEST(Plan, WithLocalStepsEveryProcessIsAWorker) {
  Facts facts = facts_of(3'000'000);
  Asked local;
  give(local, "local_steps", [](TrainConfig& c) { c.local_steps = 30; });
  EXPECT_EQ(resolve(local, facts).workers, 1);
  facts.processes = 4;
  EXPECT_EQ(resolve(local, facts).workers, 4);
  give(local, "ema", [](TrainConfig& c) { c.ema = 0.9; });
  EXPECT_NE(plan_refusal(local, facts).find("--local-steps"), std::string::npos);
  Asked outer;
  give(outer, "outer_momentum", [](TrainConfig& c) { c.outer_momentum = 0.5; });
  EXPECT_NE(plan_refusal(outer, facts).find("--outer-momentum"), std::string::npos);
}

}  // namespace
}  // namespace aviary
