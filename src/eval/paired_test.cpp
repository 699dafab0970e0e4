#include "eval/paired.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

// Differences of two models: normal, with a long tail, and of right and wrong answers.
std::vector<double> draw(Random& random, int kind, int64_t count, double mean) {
  std::vector<double> result;
  for (int64_t i = 0; i < count; ++i) {
    double value = random.normal();
    if (kind == 1) value = std::pow(value, 3);
    if (kind == 2) value = random.uniform() < 0.2 ? (random.uniform() < 0.5 ? 1 : -1) : 0;
    result.push_back(mean + value);
  }
  return result;
}

TEST(PairedBootstrap, WithoutADifferenceOneInTwentyIsBelowOneInTwenty) {
  constexpr int runs = 2000;
  for (int kind = 0; kind < 3; ++kind) {
    Random random(21, static_cast<uint64_t>(kind) << 40);
    int below = 0, half = 0, covered = 0;
    for (int i = 0; i < runs; ++i) {
      const PairedComparison result =
          paired_bootstrap(draw(random, kind, 100, 0), 400, static_cast<uint64_t>(i));
      below += result.p <= 0.05;
      half += result.p <= 0.5;
      covered += result.low <= 0 && 0 <= result.high;
    }
    // 5 %, 50 % and 95 %. Means of right and wrong answers have ties, which count as far: p is then a little
    // too high.
    EXPECT_LE(below, runs * 7 / 100) << kind;
    EXPECT_GE(below, runs * 3 / 100) << kind;
    if (kind < 2) {
      EXPECT_NEAR(half, runs / 2, runs / 20) << kind;
    } else {
      EXPECT_LE(half, runs * 55 / 100) << kind;
    }
    EXPECT_NEAR(covered, runs * 95 / 100, runs / 40) << kind;
  }
}

TEST(PairedBootstrap, AClearDifferenceIsFound) {
  Random random(22);
  int found = 0;
  for (int i = 0; i < 200; ++i)
    found += paired_bootstrap(draw(random, 0, 100, 0.4), 400, static_cast<uint64_t>(i)).p < 0.05;
  EXPECT_GT(found, 180);  // the power of a t-test is 0.977
  const PairedComparison result = paired_bootstrap(draw(random, 0, 1000, 0.4));
  EXPECT_NEAR(result.mean, 0.4, 0.1);
  EXPECT_NEAR(result.high - result.low, 2 * 1.96 / std::sqrt(1000), 0.02);
  EXPECT_LT(result.p, 0.001);
}

TEST(PairedBootstrap, EqualItemsAreNoDifference) {
  EXPECT_EQ(paired_bootstrap(std::vector<double>(10, 0.0)).p, 1);
  EXPECT_THROW(paired_bootstrap(std::vector<double>{1}), Error);
}

TEST(McNemar, IsTheBinomialTest) {
  EXPECT_DOUBLE_EQ(mcnemar(0, 0), 1);
  EXPECT_NEAR(mcnemar(0, 5), 2.0 / 32, 1e-12);
  EXPECT_NEAR(mcnemar(9, 1), 2 * (1 + 10) / 1024.0, 1e-12);
  EXPECT_DOUBLE_EQ(mcnemar(5, 5), 1);
}

}  // namespace
}  // namespace aviary
