// The eigenvectors of a covariance matrix.
#pragma once

#include <cstdint>
#include <vector>

namespace aviary {

struct Directions {
  std::vector<double> variances;  // [K], falling
  std::vector<double> vectors;    // [K, D], of length 1, orthogonal; the largest number of each is positive
};

// centered: [rows, width], row-major, every column of mean 0. The `most` directions of the largest variance.
// Where there are fewer rows than columns, they are found from the inner products of the rows.
Directions principal_directions(const std::vector<double>& centered, int64_t rows, int64_t width,
                                int64_t most);

}  // namespace aviary
