// Matrices with orthonormal columns, for initialization, and eigenvectors.
#pragma once

#include <cstdint>
#include <vector>

namespace aviary {

// The QR decomposition of a [rows, cols] matrix, rows >= cols, stored by columns: `a` becomes Q. R's diagonal
// is positive, which makes Q uniformly distributed over all matrices with orthonormal columns if the entries
// of `a` are normally distributed.
void orthonormalize(std::vector<double>& a, int64_t rows, int64_t cols);

// The eigenvalues of a symmetric [size, size] matrix, falling; `a` becomes their eigenvectors, one after
// another.
std::vector<double> diagonalize(std::vector<double>& a, int64_t size);

}  // namespace aviary
