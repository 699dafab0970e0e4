// The nearest matrix with orthonormal rows or columns, about.
#pragma once

#include <cstdint>

#include "kernels/matmul.h"

namespace aviary::kernels {

// Replaces x [rows, cols], rows x_stride numbers apart, by an approximation of U V^T of its singular value
// decomposition: five steps of the Newton-Schulz iteration of Jordan et al. 2024 ("Muon"), which bring all
// but the smallest singular values to between 0.7 and 1.2. Zeros stay zeros. `precision`: the type to which
// the factors of its products are rounded. One call computes with its own thread only when it is called
// within a parallel_for.
void orthogonalize(float* x, int64_t rows, int64_t cols, int64_t x_stride, Precision precision);
// The same in double precision, by plain loops: the reference.
void orthogonalize(double* x, int64_t rows, int64_t cols, int64_t x_stride);

}  // namespace aviary::kernels
