#include "data/batch_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace aviary {
namespace {

TEST(BatchSampler, DependsOnlyOnSeedAndStep) {
  BatchSampler sampler(10000, 32, 4, 1), again(10000, 32, 4, 1), other(10000, 32, 4, 2);
  std::vector<std::vector<int64_t>> forward;
  for (int64_t step = 0; step < 200; ++step) forward.push_back(sampler.starts(step));
  for (int64_t step = 199; step >= 0; --step)
    EXPECT_EQ(again.starts(step), forward[static_cast<size_t>(step)]);
  EXPECT_NE(other.starts(0), forward[0]);
}

TEST(BatchSampler, AWindowAndItsTargetsAreInsideTheText) {
  for (int64_t context : {1, 2, 7, 64})
    for (int64_t tokens = context + 1; tokens < context * 12; tokens += 3) {
      BatchSampler sampler(tokens, context, 3, 5);
      for (int64_t step = 0; step < 40; ++step)
        for (int64_t start : sampler.starts(step)) {
          ASSERT_GE(start, 0);
          ASSERT_LE(start + context + 1, tokens) << "context " << context;
        }
    }
}

TEST(BatchSampler, AnEpochVisitsEveryWindowOnceInRandomOrder) {
  constexpr int64_t context = 16;
  for (int64_t tokens : {20, 33, 500, 16001}) {
    BatchSampler sampler(tokens, context, 1, 3);
    int64_t windows = sampler.windows_per_epoch();
    std::set<int64_t> phases;
    for (int64_t epoch = 0; epoch < 6; ++epoch) {
      std::vector<int64_t> starts;
      for (int64_t i = 0; i < windows; ++i) starts.push_back(sampler.starts(epoch * windows + i)[0]);
      EXPECT_TRUE(windows <= 10 || !std::is_sorted(starts.begin(), starts.end()));
      std::sort(starts.begin(), starts.end());
      for (size_t i = 1; i < starts.size(); ++i) ASSERT_EQ(starts[i], starts[i - 1] + context);
      phases.insert(starts[0]);
    }
    EXPECT_GT(phases.size(), tokens == 33 ? 0u : 1u) << tokens;  // 33 tokens: exactly two windows
  }
}

TEST(BatchSampler, EveryTokenIsSeenAboutEquallyOften) {
  constexpr int64_t tokens = 2000, context = 32, batch = 5, epochs = 60;
  BatchSampler sampler(tokens, context, batch, 8);
  std::vector<int> seen(tokens);
  int64_t steps = epochs * sampler.windows_per_epoch() / batch;
  for (int64_t step = 0; step < steps; ++step)
    for (int64_t start : sampler.starts(step))
      for (int64_t t = 0; t < context; ++t) ++seen[static_cast<size_t>(start + t)];
  for (int64_t t = 2 * context; t < tokens - 2 * context; ++t) {
    EXPECT_GE(seen[static_cast<size_t>(t)], epochs - 1) << t;
    EXPECT_LE(seen[static_cast<size_t>(t)], epochs) << t;
  }
}

TEST(BatchSampler, TheOrderHasNoVisiblePattern) {
  BatchSampler sampler(100 * 1001, 100, 1, 4);
  double n = 900, sum_x = 0, sum_xx = 0, sum_xy = 0;
  for (int64_t i = 0; i < 900; ++i) {
    double x = static_cast<double>(sampler.starts(i)[0]), y = static_cast<double>(sampler.starts(i + 1)[0]);
    sum_x += x, sum_xx += x * x, sum_xy += x * y;
  }
  double mean = sum_x / n;
  EXPECT_LT(std::abs((sum_xy / n - mean * mean) / (sum_xx / n - mean * mean)), 0.12);  // 3.6 standard errors
}

TEST(BatchSampler, RejectsATextThatIsTooShort) {
  EXPECT_THROW(BatchSampler(32, 32, 1, 0), Error);
  EXPECT_THROW(BatchSampler(100, 0, 1, 0), Error);
  EXPECT_THROW(BatchSampler(100, 10, 0, 0), Error);
  EXPECT_EQ(BatchSampler(33, 32, 2, 0).starts(7), (std::vector<int64_t>{0, 0}));
}

}  // namespace
}  // namespace aviary
