// Matrices with orthonormal columns, for initialization.
#pragma once

#include <cstdint>
#include <vector>

namespace aviary {

// The QR decomposition of a [rows, cols] matrix, rows >= cols, stored by columns: `a` becomes Q. R's diagonal
// is positive, which makes Q uniformly distributed over all matrices with orthonormal columns if the entries
// of `a` are normally distributed.
void orthonormalize(std::vector<double>& a, int64_t rows, int64_t cols);

}  // namespace aviary
