// Mean and covariance of the vectors of a model, collected once from many texts.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "embed/options.h"

namespace aviary {

// Raw vectors of D numbers have one direction in common, which says little about a text and makes all of them
// alike; subtracting the mean, and dividing by the deviation per number or per direction, removes it (Su et
// al. 2021, arXiv 2103.15316).
struct Statistics {
  int64_t texts = 0;
  std::vector<float> mean, deviation;  // [D]; a deviation of 0 is stored as 1
  // [K, D]: row k is the k-th direction of the covariance, from the largest variance down, divided by its
  // deviation. Empty unless asked for.
  std::vector<float> whitening;

  int64_t width() const { return std::ssize(mean); }
  // The length of vectors after scaling.
  int64_t width(Scaling scaling) const;
  // Whether the sizes fit each other and no deviation is 0, as in all but damaged files.
  bool belong_together() const;
  // Throws Error unless the vector has width() numbers, and for whitening without directions.
  std::vector<float> scaled(std::span<const float> vector, Scaling scaling) const;
};

// The most directions of whitening, and the widest vectors for which they are computed.
inline constexpr int64_t most_directions = 256, widest_whitened = 8192;

// vectors [N, D], N >= 2. Directions of almost no variance are left out, and all beyond N - 1. Throws Error
// for fewer than 2 vectors, and for whitening of vectors wider than widest_whitened.
Statistics collect_statistics(std::span<const std::vector<float>> vectors, bool whitening);

void save_statistics(const std::filesystem::path& path, const Statistics& statistics,
                     const EmbeddingSource& source);
struct StoredStatistics {
  Statistics statistics;
  EmbeddingSource source;
};
// Throws Error if the file is no such file or damaged.
StoredStatistics load_statistics(const std::filesystem::path& path);

}  // namespace aviary
