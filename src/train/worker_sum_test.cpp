#include "train/worker_sum.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"
#include "support/thread_ranks.h"

namespace aviary {
namespace {

constexpr int64_t size = 9001, workers = 8;  // more than a piece that is added at once

void set_gradient_of(int64_t worker, const Tensor& gradient) {
  Random random(static_cast<uint64_t>(worker) + 10);
  for (int64_t i = 0; i < size; ++i) {
    const double number = random.normal();
    if (gradient.dtype() == Dtype::f32)
      gradient.as<float>()[i] = static_cast<float>(number);
    else
      gradient.as<double>()[i] = number;
  }
}

// The sum over all workers on `count` ranks.
std::vector<double> sum_on(int64_t count, bool rounded, Dtype dtype) {
  std::vector<double> result(size);
  run_ranks(count, [&](Ranks& ranks) {
    const OwnedTensor gradient({size}, dtype);
    WorkerSum sum(ranks, workers, rounded);
    for (int step = 0; step < 2; ++step) {  // nothing is left of the first one
      set_zero(gradient.view());
      for (int64_t worker = sum.own().begin; worker < sum.own().end; ++worker) {
        for (double number : to_host(gradient.view())) ASSERT_EQ(number, 0);
        set_gradient_of(worker, gradient.view());
        sum.add(gradient.view());
      }
      std::vector<int64_t> bounds;
      for (int64_t i = 0; i <= count; ++i) bounds.push_back(i * i * size / count / count);
      const Shards shards(ranks, bounds);
      sum.reduce(gradient.view(), shards);
      const std::vector<double> all = to_host(gradient.view());
      for (int64_t i = shards.own().begin; i < shards.own().end; ++i)
        result[static_cast<size_t>(i)] = all[static_cast<size_t>(i)];
    }
  });
  return result;
}

TEST(WorkerSum, IsTheSameForAnyNumberOfRanks) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (bool rounded : {false, true}) {
      const std::vector<double> expected = sum_on(1, rounded, dtype);
      for (int64_t count : {2, 4, 8}) EXPECT_TRUE(sum_on(count, rounded, dtype) == expected) << count;
    }
}

TEST(WorkerSum, IsTheSumOfAll) {
  std::vector<double> expected(size);
  const OwnedTensor gradient({size}, Dtype::f64);
  for (int64_t worker = 0; worker < workers; ++worker) {
    set_gradient_of(worker, gradient.view());
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += gradient.view().as<double>()[i];
  }
  const std::vector<double> exact = sum_on(4, false, Dtype::f64), rounded = sum_on(4, true, Dtype::f32);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(exact[i], expected[i], 1e-12);
    EXPECT_NEAR(rounded[i], expected[i], 0.15);  // 3 roundings to 8 bits of numbers below 8
  }
}

TEST(WorkerSum, RanksThatWouldHaveNothingToDoAreRefused) {
  EXPECT_THROW(run_ranks(4, [](Ranks& ranks) { WorkerSum(ranks, 2, false); }), Error);
}

}  // namespace
}  // namespace aviary
