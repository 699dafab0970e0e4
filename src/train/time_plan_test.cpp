#include "train/time_plan.h"

#include <gtest/gtest.h>

#include <functional>

namespace aviary {
namespace {

struct Ran {
  int64_t steps = 0, corrections = 0;
  double seconds = 0;
};

// A run of `minutes` whose steps and pauses take as long as these functions of the step say, with `last`
// seconds after the last step.
Ran ran(
    double seconds, const std::function<double(int64_t)>& step_seconds,
    const std::function<double(int64_t)>& pause = [](int64_t) { return 0.0; }, double last = 0) {
  Ran result;
  double now = 100;
  TimePlan plan(now, now + seconds);
  std::optional<int64_t> steps;
  while (!steps || result.steps < *steps) {
    now += step_seconds(result.steps);
    ++result.steps;
    if (!steps)
      steps = plan.choose(result.steps, now, last);
    else if (const auto corrected = plan.correct(result.steps, *steps, now, last)) {
      steps = corrected;
      ++result.corrections;
    }
    if (const double paused = pause(result.steps); paused > 0) {
      now += paused;
      plan.add_pause(paused);
    }
  }
  result.seconds = now - 100 + last;
  return result;
}

TEST(TimePlan, ASteadyRunEndsInTime) {
  const Ran run = ran(60, [](int64_t step) { return step == 0 ? 1.0 : 0.1; });
  EXPECT_NEAR(run.seconds, 60, 0.2);
  EXPECT_NEAR(static_cast<double>(run.steps), 591, 2);
}

TEST(TimePlan, PausesAndTheLastValidationAreCounted) {
  const Ran run = ran(
      60, [](int64_t) { return 0.1; }, [](int64_t step) { return step % 25 == 0 ? 0.5 : 0.0; }, 4);
  EXPECT_NEAR(run.seconds, 60, 0.7);
}

TEST(TimePlan, AMachineThatBecomesSlowerOrFasterOnTheWayIsFollowed) {
  for (const double factor : {0.5, 1.5, 3.0})
    for (const int64_t from : {50, 200, 400}) {
      const Ran run = ran(60, [&](int64_t step) { return step < from ? 0.1 : factor * 0.1; });
      EXPECT_NEAR(run.seconds, 60, 3) << factor << " " << from;
      EXPECT_LT(run.corrections, 10);
    }
}

TEST(TimePlan, ARunThatWasHeldUpStillHasStepsInWhichTheRateFalls) {
  const Ran run = ran(60, [](int64_t step) { return step == 300 ? 1000.0 : 0.1; });
  EXPECT_GE(run.steps, 301 + 100);
  EXPECT_LE(run.steps, 600);
}

TEST(TimePlan, AStepThatIsLongerThanTheTimeIsTheOnlyOne) {
  EXPECT_EQ(ran(60, [](int64_t) { return 100.0; }).steps, 1);
}

}  // namespace
}  // namespace aviary
