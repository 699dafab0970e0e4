#include "train/schedule.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "support/repository.h"

namespace aviary {
namespace {

nlohmann::json original() {
  const std::string path = golden("lr/lr_schedules.json");
  return nlohmann::json::parse(read_file(path, 1 << 24));
}

// shift: RWKV-4neo starts the decay one step earlier.
void expect_rates(const char* name, const Schedule& schedule, int64_t shift) {
  const auto file = original();
  for (const auto& step : file[name]["steps"]) {
    const int64_t at = step["step"];
    Schedule ahead = schedule;
    const double warm = at < schedule.warmup ? schedule.rate(at) /
                                                   [&] {
                                                     Schedule cold = schedule;
                                                     cold.warmup_from = 1;
                                                     return cold.rate(at);
                                                   }()
                                             : 1;
    ahead.warmup_from = 1;
    const double ours = ahead.rate(at + shift) * warm;
    EXPECT_NEAR(ours, double(step["lr"]), 1e-12) << name << " step " << at;
  }
}

TEST(Schedule, CosineWithWarmupIsThatOfTheRwkv7Trainer) {
  expect_rates("v7_basic",
               {.kind = ScheduleKind::cosine,
                .start = 6e-4,
                .end = 6e-5,
                .steps = 60,
                .warmup = 10,
                .warmup_from = 0.01},
               0);
}

TEST(Schedule, ExponentialWithWarmupIsThatOfTheRwkv4NeoTrainer) {
  expect_rates("v4neo_exp",
               {.kind = ScheduleKind::exponential,
                .start = 6e-4,
                .end = 1e-5,
                .steps = 60,
                .warmup = 10,
                .warmup_from = 0.2},
               1);
}

TEST(Schedule, LinearEndsAtTheEndAndStaysThere) {
  const Schedule schedule{.kind = ScheduleKind::linear, .start = 1, .end = 0, .steps = 10, .warmup = 0};
  EXPECT_DOUBLE_EQ(schedule.rate(0), 1);
  EXPECT_DOUBLE_EQ(schedule.rate(5), 0.5);
  EXPECT_DOUBLE_EQ(schedule.rate(10), 0);
  EXPECT_DOUBLE_EQ(schedule.rate(1000), 0);
}

TEST(Schedule, ConstantIsConstantAfterTheWarmup) {
  const Schedule schedule{
      .kind = ScheduleKind::constant, .start = 2, .end = 0, .steps = 10, .warmup = 4, .warmup_from = 0.5};
  EXPECT_DOUBLE_EQ(schedule.rate(0), 1);
  EXPECT_DOUBLE_EQ(schedule.rate(2), 1.5);
  EXPECT_DOUBLE_EQ(schedule.rate(4), 2);
  EXPECT_DOUBLE_EQ(schedule.rate(99), 2);
}

TEST(Schedule, TheRateStaysUntilTheCooldownAndEndsThere) {
  for (const ScheduleKind kind : {ScheduleKind::linear, ScheduleKind::cosine, ScheduleKind::exponential,
                                  ScheduleKind::sqrt, ScheduleKind::power}) {
    const Schedule schedule{
        .kind = kind, .start = 1, .end = 0.01, .steps = 110, .warmup = 10, .cooldown = 0.4, .warmup_from = 0};
    EXPECT_DOUBLE_EQ(schedule.rate(5), 0.5) << name_of(kind);
    EXPECT_DOUBLE_EQ(schedule.rate(10), 1) << name_of(kind);
    EXPECT_DOUBLE_EQ(schedule.rate(70), 1) << name_of(kind);
    EXPECT_LT(schedule.rate(72), 1) << name_of(kind);
    EXPECT_NEAR(schedule.rate(110), 0.01, 1e-12) << name_of(kind);
    for (int64_t step = 70; step < 110; ++step)
      EXPECT_GT(schedule.rate(step), schedule.rate(step + 1)) << name_of(kind) << " " << step;
  }
  const Schedule half{.kind = ScheduleKind::sqrt, .start = 1, .end = 0, .steps = 100, .warmup = 0};
  EXPECT_DOUBLE_EQ(half.rate(25), 0.5);
}

TEST(Schedule, StepsThatAreNotKnownAreTheMostOrWithoutEnd) {
  Schedule known{.kind = ScheduleKind::cosine, .start = 1, .end = 0.1, .steps = 100, .warmup = 4},
      unknown = known;
  unknown.steps.reset();
  for (int64_t step : {0, 3, 4}) EXPECT_EQ(unknown.rate(step), known.rate(step)) << step;
  EXPECT_EQ(unknown.rate(60), 1);
  unknown.most_steps = 100;
  EXPECT_EQ(unknown.rate(60), known.rate(60));
}

TEST(Schedule, AWarmUpFitsIntoStepsThatAreKnownLate) {
  const auto warmup = [](bool fits, int64_t steps, int64_t done) {
    Schedule schedule{.warmup = 50, .fit_warmup = fits};
    schedule.set_steps(steps, done);
    EXPECT_EQ(schedule.steps, std::max(steps, done));
    schedule.set_steps(10 * steps, done);  // only once
    return schedule.warmup;
  };
  EXPECT_EQ(warmup(true, 1000, 10), 50);
  EXPECT_EQ(warmup(true, 100, 10), 20);
  EXPECT_EQ(warmup(true, 30, 10), 10);  // not before the steps that are done
  EXPECT_EQ(warmup(true, 5, 10), 10);
  EXPECT_EQ(warmup(false, 30, 10), 50);  // it was given
}

TEST(Schedule, ACorrectionGoesOnFromTheRateThatItFindsAndEndsAtTheNewLastStep) {
  for (const ScheduleKind kind : {ScheduleKind::linear, ScheduleKind::cosine, ScheduleKind::exponential,
                                  ScheduleKind::sqrt, ScheduleKind::power})
    for (const double cooldown : {1.0, 0.5}) {
      const Schedule planned{.kind = kind,
                             .start = 1,
                             .end = 0.01,
                             .steps = 210,
                             .warmup = 10,
                             .cooldown = cooldown,
                             .warmup_from = 0};
      Schedule shorter = planned;
      shorter.correct(160, 110);  // half of the steps after the warm-up
      Schedule longer = shorter;
      longer.correct(310, 135);
      const std::string what = name_of(kind) + " " + std::to_string(cooldown);
      for (int64_t step = 0; step < 110; ++step) EXPECT_EQ(shorter.rate(step), planned.rate(step)) << what;
      for (int64_t step = 0; step < 135; ++step) EXPECT_EQ(longer.rate(step), shorter.rate(step)) << what;
      EXPECT_NEAR(shorter.rate(110), planned.rate(110), 1e-12) << what;
      EXPECT_NEAR(shorter.rate(135), planned.rate(160), 1e-12) << what;
      EXPECT_NEAR(shorter.rate(160), 0.01, 1e-12) << what;
      EXPECT_NEAR(longer.rate(135), shorter.rate(135), 1e-12) << what;
      EXPECT_NEAR(longer.rate(310), 0.01, 1e-12) << what;
      EXPECT_NEAR(longer.rate(1000), 0.01, 1e-12) << what;
      for (int64_t step = 135; step < 310; ++step)
        EXPECT_GE(longer.rate(step), longer.rate(step + 1)) << what;
      longer.set_steps(400, 200);  // as --steps of a run that goes on: the whole run is one schedule
      EXPECT_TRUE(longer.corrections.empty());
    }
}

TEST(Schedule, TheShareCountsTheStepsAfterTheWarmUp) {
  Schedule schedule{.steps = 110, .warmup = 10};
  EXPECT_EQ(schedule.share(5), 0);
  EXPECT_DOUBLE_EQ(schedule.share(60), 0.5);
  EXPECT_EQ(schedule.share(200), 1);
  schedule.correct(260, 60);
  EXPECT_DOUBLE_EQ(schedule.share(35), 0.25);
  EXPECT_DOUBLE_EQ(schedule.share(60), 0.5);
  EXPECT_DOUBLE_EQ(schedule.share(160), 0.75);
  EXPECT_DOUBLE_EQ(schedule.share(260), 1);
}

TEST(Schedule, AnUnknownNameIsAnErrorThatListsTheKnownOnes) {
  EXPECT_EQ(schedule_kind("cosine"), ScheduleKind::cosine);
  EXPECT_THROW(schedule_kind("triangle"), Error);
}

}  // namespace
}  // namespace aviary
