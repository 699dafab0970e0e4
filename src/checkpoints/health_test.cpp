#include "checkpoints/health.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"
#include "support/test_bytes.h"

namespace aviary {
namespace {

TensorEntry entry(const std::string& name, const std::vector<float>& numbers, std::vector<int64_t> shape) {
  return {.name = name,
          .dtype = Dtype::f32,
          .shape = std::move(shape),
          .data = std::as_bytes(std::span(numbers))};
}

TensorFile file_of(std::vector<TensorEntry> tensors) {
  return {{},
          {.format = "test", .dialect = {}, .tensors = std::move(tensors), .metadata = {}, .buffers = {}}};
}

Health health_of(const TensorFile& file) { return aviary::health_of(file, statistics_of(file)); }

TEST(Health, StatisticsOfManyPiecesAreThoseOfTheWhole) {
  Random random(5);
  std::vector<float> numbers(200'000);
  double sum = 0, squares = 0;
  for (float& x : numbers) {
    x = static_cast<float>(3 + 2 * random.normal());
    sum += static_cast<double>(x);
  }
  const double mean = sum / static_cast<double>(numbers.size());
  for (float x : numbers) squares += (static_cast<double>(x) - mean) * (static_cast<double>(x) - mean);
  const TensorStatistics found = statistics_of(entry("x", numbers, {200'000}));
  EXPECT_EQ(found.count, 200'000);
  EXPECT_NEAR(found.mean, mean, 1e-9);
  EXPECT_NEAR(found.deviation, std::sqrt(squares / static_cast<double>(numbers.size())), 1e-9);
  EXPECT_EQ(found.largest, static_cast<double>(*std::max_element(numbers.begin(), numbers.end())));
}

TEST(Health, NumbersThatAreNotFiniteAreCountedAndExcluded) {
  const float infinity = std::numeric_limits<float>::infinity();
  const TensorStatistics found = statistics_of(entry("x", {1, NAN, 3, -infinity}, {4}));
  EXPECT_EQ(found.broken, 2);
  EXPECT_EQ(found.count, 2);
  EXPECT_EQ(found.mean, 2);
}

TEST(Health, NamesTheTensorsThatAreBrokenOrUntrained) {
  const std::vector<float> zeros(4), broken = {1, NAN, 2, 3}, good = {1, 2, 3, 4};
  const TensorFile file = file_of({entry("a.weight", zeros, {2, 2}), entry("b.weight", broken, {2, 2}),
                                   entry("c.weight", good, {2, 2}), entry("ln.bias", zeros, {4})});
  const Health health = health_of(file);
  ASSERT_EQ(health.problems.size(), 2u);
  EXPECT_EQ(health.problems[0], "a.weight is 0 everywhere: untrained");
  EXPECT_EQ(health.problems[1], "b.weight holds NaN or infinity (1 of its 4 numbers)");
  EXPECT_TRUE(health.notes.empty());
}

TEST(Health, ReportsOutliers) {
  std::vector<float> numbers(100'000, 1.0f);
  for (size_t i = 0; i < numbers.size(); i += 2) numbers[i] = -1;
  numbers[77] = 500;
  const TensorFile file = file_of({entry("x.weight", numbers, {100, 1000})});
  const Health health = health_of(file);
  EXPECT_TRUE(health.problems.empty());
  ASSERT_EQ(health.notes.size(), 1u);
  EXPECT_NE(health.notes[0].find("x.weight"), std::string::npos);
}

}  // namespace
}  // namespace aviary
