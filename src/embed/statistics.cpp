#include "embed/statistics.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "embed/float_file.h"
#include "embed/linear_algebra.h"
#include "formats/safetensors.h"

namespace aviary {
namespace {

constexpr const char* statistics_source_key = "aviary.statistics";
// A direction whose variance is smaller than this part of the largest one is rounding noise.
constexpr double least_variance = 1e-7;

// The directions [K, D], each divided by its deviation.
std::vector<float> whitening_of(std::span<const std::vector<float>> vectors,
                                const std::vector<double>& mean) {
  const auto rows = std::ssize(vectors), width = std::ssize(mean);
  require(width <= widest_whitened,
          "whitening: the vectors have {} numbers, and {} are the most of which it is computed; name fewer "
          "layers",
          width, widest_whitened);
  std::vector<double> centered;
  centered.reserve(static_cast<size_t>(rows * width));
  for (const std::vector<float>& vector : vectors)
    for (size_t i = 0; i < mean.size(); ++i) centered.push_back(static_cast<double>(vector[i]) - mean[i]);
  const Directions directions = principal_directions(centered, rows, width, most_directions);
  std::vector<float> whitening;
  for (size_t k = 0; k < directions.variances.size(); ++k) {
    const double variance = directions.variances[k];
    if (!(variance > least_variance * directions.variances[0])) break;
    const double* direction = directions.vectors.data() + k * mean.size();
    for (size_t i = 0; i < mean.size(); ++i)
      whitening.push_back(static_cast<float>(direction[i] / std::sqrt(variance)));
  }
  require(!whitening.empty(), "whitening: all {} vectors are the same; take other texts", rows);
  return whitening;
}

}  // namespace

int64_t Statistics::width(Scaling scaling) const {
  return scaling == Scaling::whitened ? std::ssize(whitening) / std::max<int64_t>(width(), 1) : width();
}

bool Statistics::belong_together() const {
  return !mean.empty() && deviation.size() == mean.size() && whitening.size() % mean.size() == 0 &&
         std::ranges::all_of(deviation, [](float x) { return x > 0; });
}

std::vector<float> Statistics::scaled(std::span<const float> vector, Scaling scaling) const {
  std::vector<float> result(vector.begin(), vector.end());
  if (scaling == Scaling::raw) return result;
  require(std::ssize(vector) == width(), "statistics of vectors of {} numbers, applied to one of {}", width(),
          vector.size());
  for (size_t i = 0; i < result.size(); ++i) result[i] -= mean[i];
  if (scaling == Scaling::z_score) {
    for (size_t i = 0; i < result.size(); ++i) result[i] /= deviation[i];
    return result;
  }
  require(!whitening.empty(), "the statistics have no directions for whitening; collect them again");
  std::vector<float> white(static_cast<size_t>(width(scaling)));
  for (size_t k = 0; k < white.size(); ++k) {
    double sum = 0;
    for (size_t i = 0; i < result.size(); ++i)
      sum += static_cast<double>(result[i]) * static_cast<double>(whitening[k * result.size() + i]);
    white[k] = static_cast<float>(sum);
  }
  return white;
}

Statistics collect_statistics(std::span<const std::vector<float>> vectors, bool whitening) {
  require(vectors.size() >= 2, "statistics: {} texts, expected 2 or more, better thousands", vectors.size());
  const size_t width = vectors[0].size();
  const auto count = static_cast<double>(vectors.size());
  std::vector<double> mean(width), squares(width);
  for (const std::vector<float>& vector : vectors)
    for (size_t i = 0; i < width; ++i) mean[i] += static_cast<double>(vector[i]) / count;
  for (const std::vector<float>& vector : vectors)
    for (size_t i = 0; i < width; ++i) {
      const double difference = static_cast<double>(vector[i]) - mean[i];
      squares[i] += difference * difference / count;
    }
  Statistics statistics{.texts = std::ssize(vectors),
                        .mean = {mean.begin(), mean.end()},
                        .deviation = std::vector<float>(width),
                        .whitening = {}};
  for (size_t i = 0; i < width; ++i) {
    // What does not vary by more than rounding is not scaled up.
    const double deviation = std::sqrt(squares[i]);
    statistics.deviation[i] = deviation > 1e-6 * std::abs(mean[i]) ? static_cast<float>(deviation) : 1.0F;
    if (!(statistics.deviation[i] > 0)) statistics.deviation[i] = 1;
  }
  if (whitening) statistics.whitening = whitening_of(vectors, mean);
  return statistics;
}

void save_statistics(const std::filesystem::path& path, const Statistics& statistics,
                     const EmbeddingSource& source) {
  const int64_t width = statistics.width();
  std::vector<TensorEntry> tensors{float_tensor("mean", {width}, statistics.mean),
                                   float_tensor("deviation", {width}, statistics.deviation)};
  if (!statistics.whitening.empty())
    tensors.push_back(
        float_tensor("whitening", {statistics.width(Scaling::whitened), width}, statistics.whitening));
  write_safetensors(path, unchanged(tensors), {{statistics_source_key, to_json(source)}});
}

StoredStatistics load_statistics(const std::filesystem::path& path) {
  const FloatFile file(path, "`aviary embed --collect`");
  const EmbeddingSource source =
      embedding_source_from_json(file.metadata(statistics_source_key), file.where());
  Statistics statistics{.texts = 0,
                        .mean = file.numbers("mean"),
                        .deviation = file.numbers("deviation"),
                        .whitening = file.numbers("whitening")};
  require(statistics.belong_together(),
          "{}: mean, deviation and whitening do not belong together; the file is damaged", file.where());
  return {std::move(statistics), source};
}

}  // namespace aviary
