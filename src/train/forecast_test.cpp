#include "train/forecast.h"

#include <gtest/gtest.h>

#include <cmath>

namespace aviary {
namespace {

// Runs of four layers of width 192 with Muon, on Jane Austen, FOLDOC, the King James Bible, and the documents
// of Linux, of which the last was not there when the rule was found.
TEST(Forecast, FindsWhatMeasuredRunsHaveReached) {
  const struct {
    double after_30, after_60;
    int64_t steps;
    double reached;
  } runs[] = {{1.908, 1.794, 950, 1.367},
              {2.514, 2.281, 960, 1.604},
              {1.880, 1.778, 960, 1.372},
              {2.579, 2.393, 960, 1.754}};
  for (const auto& run : runs) {
    const Forecast end = forecast({30, run.after_30}, {60, run.after_60}, run.steps);
    EXPECT_NEAR(end.bits_per_byte, run.reached, 0.01 * run.reached) << run.reached;
  }
}

TEST(Forecast, EachDoublingGainsLessThanTheOneBefore) {
  double before = 2.0, gain = 0.2;
  for (const int64_t steps : {200, 400, 800, 1600, 3200}) {
    const double now = forecast({50, 2.2}, {100, 2.0}, steps).bits_per_byte;
    EXPECT_LT(before - now, gain) << steps;
    EXPECT_GT(before - now, 0) << steps;
    gain = before - now;
    before = now;
  }
}

TEST(Forecast, IsWiderTheFartherItReaches) {
  const TrialRun shorter{50, 2.0}, longer{100, 1.8};
  const Forecast near = forecast(shorter, longer, 200), far = forecast(shorter, longer, 3200);
  EXPECT_LT(near.low, near.bits_per_byte);
  EXPECT_GT(near.high, near.bits_per_byte);
  EXPECT_LT(far.bits_per_byte, near.bits_per_byte);
  EXPECT_GT(far.high - far.low, near.high - near.low);
}

TEST(Forecast, OfARunThatIsNoLongerThanItsTrialIsWhatTheTrialReached) {
  const Forecast same = forecast({50, 2.0}, {100, 1.8}, 100);
  EXPECT_DOUBLE_EQ(same.bits_per_byte, 1.8);
  EXPECT_DOUBLE_EQ(same.low, same.high);
}

TEST(Forecast, WhereNothingIsLearnedExpectsNothing) {
  EXPECT_DOUBLE_EQ(forecast({50, 1.7}, {100, 1.8}, 1000).bits_per_byte, 1.8);
}

TEST(Forecast, TrialsTakeATenthOfTheRunAndNotLongerThanTheirLimit) {
  const std::optional<TrialSteps> usual = trial_steps(3200, 0.1, 100);
  ASSERT_TRUE(usual);
  EXPECT_EQ(usual->shorter, 100);
  EXPECT_EQ(usual->longer, 200);
  const std::optional<TrialSteps> limited = trial_steps(1'000'000, 0.5, 90);
  ASSERT_TRUE(limited);
  EXPECT_EQ(limited->shorter + limited->longer, 180);
  EXPECT_FALSE(trial_steps(300, 0.1, 100));
  EXPECT_FALSE(trial_steps(3200, 10, 100));
}

TrainConfig small() {
  TrainConfig config;
  config.model = {.version = "rwkv4", .n_layer = 1, .n_embd = 32, .vocab_size = 256, .ctx_len = 16};
  config.tokenizer = "bytes";
  config.context = 16;
  config.batch = 2;
  return config;
}

std::shared_ptr<const TrainingData> little_text(const Tokenizer& tokenizer) {
  return std::make_shared<TextData>(Corpus(std::string(4000, 'a'), tokenizer, 500));
}

TEST(Forecast, ATrialIsAWholeRunOfItsLength) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  const auto data = little_text(*tokenizer);
  TrainConfig config = small();
  config.minutes = 10;
  config.schedule = {.kind = ScheduleKind::linear, .start = 1e-3, .end = 0, .warmup = 50};
  config.schedule.fit_warmup = true;
  int64_t steps = 0;
  const std::optional<TrialRun> trial = trial_run(config, 10, tokenizer, data, [&] { return ++steps > 0; });
  ASSERT_TRUE(trial);
  EXPECT_EQ(trial->steps, 10);
  EXPECT_EQ(steps, 10);

  config.minutes = 0;
  config.schedule = {.kind = ScheduleKind::linear, .start = 1e-3, .end = 0, .steps = 10, .warmup = 2};
  Trainer whole(config, new_model(config), tokenizer, data);
  while (!whole.finished()) whole.step();
  EXPECT_EQ(whole.validate(), trial->bits_per_byte);
}

TEST(Forecast, ATrialThatIsStoppedTellsNothing) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  int64_t steps = 0;
  EXPECT_FALSE(trial_run(small(), 10, tokenizer, little_text(*tokenizer), [&] { return ++steps < 3; }));
  EXPECT_EQ(steps, 3);
}

}  // namespace
}  // namespace aviary
