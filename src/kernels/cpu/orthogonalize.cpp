// Newton-Schulz: X <- (a + b A + c A A) X with A = X X^T, which moves every singular value s to
// a s + b s^3 + c s^5 and leaves the singular vectors.
#include "kernels/orthogonalize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/scratch.h"
#include "kernels/kernels.h"

namespace aviary::kernels {
namespace {

constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
constexpr int steps = 5;
constexpr double smallest_norm = 1e-7;  // added to the norm by which x is divided

// to [m, n], the smaller size first; back if `to_x`.
template <typename Real>
void turn(Real* x, int64_t rows, int64_t cols, int64_t x_stride, Real* turned, Real factor, bool to_x) {
  const bool tall = rows > cols;
  const int64_t n = std::max(rows, cols);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t k = 0; k < cols; ++k) {
      Real &outside = x[i * x_stride + k], &inside = turned[tall ? k * n + i : i * n + k];
      if (to_x)
        outside = inside;
      else
        inside = factor * outside;
    }
}

double norm_of(const double* x, int64_t rows, int64_t cols, int64_t x_stride) {
  double squares = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t k = 0; k < cols; ++k) squares += x[i * x_stride + k] * x[i * x_stride + k];
  return std::sqrt(squares);
}

// The working memory of a thread.
struct Workspace {
  AlignedScratch scratch;
  PackedMatrix x_transposed, gram, x;
};

}  // namespace

void orthogonalize(float* x, int64_t rows, int64_t cols, int64_t x_stride, Precision precision) {
  thread_local Workspace work;
  const int64_t m = std::min(rows, cols), n = std::max(rows, cols);
  if (m == 0) return;
  double squares = 0;
  for (int64_t i = 0; i < rows; ++i) squares += sum_of_squares(x + i * x_stride, cols);
  const double norm = std::sqrt(squares);
  float* now = work.scratch.floats(2 * m * n + 2 * m * m);
  float *next = now + m * n, *gram = next + m * n, *polynomial = gram + m * m;
  turn(x, rows, cols, x_stride, now, static_cast<float>(1 / (norm + smallest_norm)), false);
  for (int step = 0; step < steps; ++step) {
    work.x_transposed.pack(now, n, m, 1, n, precision);
    matmul(now, m, n, work.x_transposed, gram, m, false);
    work.gram.pack(gram, m, m, m, 1, precision);
    matmul(gram, m, m, work.gram, polynomial, m, false);
    for (int64_t i = 0; i < m * m; ++i)
      polynomial[i] = static_cast<float>(b) * gram[i] + static_cast<float>(c) * polynomial[i];
    for (int64_t i = 0; i < m; ++i) polynomial[i * m + i] += static_cast<float>(a);
    work.x.pack(now, m, n, n, 1, precision);
    matmul(polynomial, m, m, work.x, next, n, false);
    std::swap(now, next);
  }
  turn(x, rows, cols, x_stride, now, 1.0f, true);
}

void orthogonalize(double* x, int64_t rows, int64_t cols, int64_t x_stride) {
  const int64_t m = std::min(rows, cols), n = std::max(rows, cols);
  auto size = [](int64_t count) { return static_cast<size_t>(count); };
  std::vector<double> now(size(m * n)), next(size(m * n)), gram(size(m * m)), polynomial(size(m * m));
  turn(x, rows, cols, x_stride, now.data(), 1 / (norm_of(x, rows, cols, x_stride) + smallest_norm), false);
  for (int step = 0; step < steps; ++step) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < m; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < n; ++k) sum += now[size(i * n + k)] * now[size(j * n + k)];
        gram[size(i * m + j)] = sum;
      }
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < m; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < m; ++k) sum += gram[size(i * m + k)] * gram[size(k * m + j)];
        polynomial[size(i * m + j)] = b * gram[size(i * m + j)] + c * sum;
      }
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = a * now[size(i * n + j)];
        for (int64_t k = 0; k < m; ++k) sum += polynomial[size(i * m + k)] * now[size(k * n + j)];
        next[size(i * n + j)] = sum;
      }
    std::swap(now, next);
  }
  turn(x, rows, cols, x_stride, now.data(), 1.0, true);
}

}  // namespace aviary::kernels
