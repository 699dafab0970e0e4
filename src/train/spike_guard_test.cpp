#include "train/spike_guard.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

// The noisy losses of a run that learns.
double usual_loss(int step, Random& random) { return 3 + 4 * std::exp(-step / 60.0) + 0.1 * random.normal(); }

TEST(SpikeGuard, SeesThatTheLossStaysFarAboveWhatItWas) {
  Random random(1);
  SpikeGuard guard;
  for (int step = 0; step < 500; ++step) EXPECT_FALSE(guard.note(usual_loss(step, random))) << step;
  EXPECT_FALSE(guard.note(6));
  EXPECT_FALSE(guard.note(6.5));
  EXPECT_TRUE(guard.note(7));
}

TEST(SpikeGuard, ASingleUnusualBatchIsNone) {
  Random random(2);
  SpikeGuard guard;
  for (int step = 0; step < 500; ++step)
    EXPECT_FALSE(guard.note(step % 50 == 30 ? 8 : usual_loss(step, random))) << step;
}

TEST(SpikeGuard, IsSilentBeforeItKnowsTheRunAndAboutWhatIsNotFinite) {
  SpikeGuard guard;
  for (int step = 0; step < 90; ++step) EXPECT_FALSE(guard.note(step < 50 ? 1 : 100)) << step;
  for (int step = 0; step < 10; ++step) EXPECT_FALSE(guard.note(std::nan("")));
}

TEST(SpikeGuard, GoesOnFromItsTextAsIfNothingHadBeen) {
  Random random(3);
  SpikeGuard guard, other;
  for (int step = 0; step < 200; ++step) guard.note(usual_loss(step, random));
  guard.note(9);
  other.set(guard.text());
  EXPECT_EQ(other.text(), guard.text());
  for (double loss : {9.0, 9.0}) EXPECT_EQ(guard.note(loss), other.note(loss));
  EXPECT_THROW(other.set("1 2 three"), Error);
  EXPECT_THROW(other.set(""), Error);
}

}  // namespace
}  // namespace aviary
