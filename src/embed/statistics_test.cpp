#include "embed/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/random.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

// Correlated numbers with different means and deviations; the last is constant.
std::vector<std::vector<float>> correlated(size_t count, size_t width) {
  Random random(5);
  std::vector<std::vector<float>> vectors;
  for (size_t n = 0; n < count; ++n) {
    const double common = random.normal();
    std::vector<float>& vector = vectors.emplace_back();
    for (size_t i = 0; i < width; ++i)
      vector.push_back(static_cast<float>(3.0 * static_cast<double>(i) + common +
                                          (1.0 + static_cast<double>(i)) * random.normal()));
    vector.back() = 7;
  }
  return vectors;
}

double covariance(const std::vector<std::vector<float>>& vectors, size_t a, size_t b) {
  double of_a = 0, of_b = 0, product = 0;
  const auto count = static_cast<double>(vectors.size());
  for (const auto& vector : vectors) {
    of_a += vector[a] / count;
    of_b += vector[b] / count;
    product += static_cast<double>(vector[a]) * static_cast<double>(vector[b]) / count;
  }
  return product - of_a * of_b;
}

std::vector<std::vector<float>> scaled(const Statistics& statistics,
                                       const std::vector<std::vector<float>>& vectors, Scaling scaling) {
  std::vector<std::vector<float>> result;
  for (const auto& vector : vectors) result.push_back(statistics.scaled(vector, scaling));
  return result;
}

TEST(EmbeddingStatistics, ZScoresHaveMeanZeroAndDeviationOne) {
  const auto vectors = correlated(500, 6);
  const auto z = scaled(collect_statistics(vectors, false), vectors, Scaling::z_score);
  for (size_t i = 0; i + 1 < 6; ++i) {
    double mean = 0;
    for (const auto& vector : z) mean += vector[i] / 500;
    EXPECT_NEAR(mean, 0, 1e-5);
    EXPECT_NEAR(covariance(z, i, i), 1, 1e-4);
  }
  EXPECT_EQ(z[0][5], 0);  // what does not vary is not divided by zero
}

// With more texts than numbers, and with fewer.
TEST(EmbeddingStatistics, WhitenedNumbersAreNotCorrelated) {
  for (const size_t width : {size_t{6}, size_t{60}}) {
    const auto vectors = correlated(width == 6 ? 500 : 20, width);
    const Statistics statistics = collect_statistics(vectors, true);
    const auto white = scaled(statistics, vectors, Scaling::whitened);
    const size_t kept = white[0].size();
    EXPECT_EQ(kept, width == 6 ? 5U : 19U);
    EXPECT_EQ(statistics.width(Scaling::whitened), std::ssize(white[0]));
    for (size_t a = 0; a < kept; ++a)
      for (size_t b = 0; b <= a; ++b)
        EXPECT_NEAR(covariance(white, a, b), a == b ? 1 : 0, 2e-3) << a << ", " << b;
  }
}

TEST(EmbeddingStatistics, AFileHoldsThemAndItsSource) {
  const TestFolder folder;
  const Statistics statistics = collect_statistics(correlated(50, 6), true);
  const EmbeddingSource source{.model_hash = "00ff",
                               .model_name = "a model",
                               .tokenizer_hash = "11",
                               .feature = Feature::last,
                               .layers = {2, 5},
                               .begin_token = 0};
  save_statistics(folder / "s.safetensors", statistics, source);
  const StoredStatistics stored = load_statistics(folder / "s.safetensors");
  EXPECT_EQ(stored.statistics.mean, statistics.mean);
  EXPECT_EQ(stored.statistics.deviation, statistics.deviation);
  EXPECT_EQ(stored.statistics.whitening, statistics.whitening);
  require_same_source(stored.source, source, "s");
  for (const auto& change : std::initializer_list<void (*)(EmbeddingSource&)>{
           [](EmbeddingSource& s) { s.model_hash = "00fe"; },
           [](EmbeddingSource& s) { s.tokenizer_hash = "12"; },
           [](EmbeddingSource& s) { s.feature = Feature::mean; }, [](EmbeddingSource& s) { s.layers = {2}; },
           [](EmbeddingSource& s) { s.begin_token = {}; }}) {
    EmbeddingSource other = source;
    change(other);
    EXPECT_THROW(require_same_source(stored.source, other, "s"), Error);
  }
}

TEST(EmbeddingStatistics, DamagedFilesAndUselessTextsAreRefused) {
  EXPECT_THROW(collect_statistics(correlated(1, 6), false), Error);
  const std::vector<std::vector<float>> same(5, std::vector<float>{1, 2, 3});
  EXPECT_THROW(collect_statistics(same, true), Error);
  const TestFolder folder;
  save_statistics(folder / "s.safetensors", collect_statistics(correlated(50, 6), true), {});
  const std::string bytes = read_file(folder / "s.safetensors", 1 << 20);
  for (size_t length = 0; length < bytes.size(); length += 7) {
    write_file_atomically(folder / "cut.safetensors", std::string_view(bytes).substr(0, length));
    EXPECT_THROW(load_statistics(folder / "cut.safetensors"), Error) << length;
  }
}

}  // namespace
}  // namespace aviary
