// Newton-Schulz: X <- p(A) X with A = X X^T and p(A) = a + b A + c A A, which moves every singular value s to
// a s + b s^3 + c s^5 and leaves the singular vectors.
//
// A long matrix needs the products with its long side only once: the next A is p(A) A p(A), and the result is
// P X, where P is the product of all p(A).
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

// To [m, n], the smaller size first, times a factor.
template <typename Real>
void take(const Real* x, int64_t rows, int64_t cols, int64_t x_stride, Real factor, Real* turned) {
  const int64_t n = std::max(rows, cols);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t k = 0; k < cols; ++k)
      turned[rows > cols ? k * n + i : i * n + k] = factor * x[i * x_stride + k];
}

// And back.
template <typename Real>
void put(const Real* turned, int64_t rows, int64_t cols, int64_t x_stride, Real* x) {
  const int64_t n = std::max(rows, cols);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t k = 0; k < cols; ++k) x[i * x_stride + k] = turned[rows > cols ? k * n + i : i * n + k];
}

double norm_of(const double* x, int64_t rows, int64_t cols, int64_t x_stride) {
  double squares = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t k = 0; k < cols; ++k) squares += x[i * x_stride + k] * x[i * x_stride + k];
  return std::sqrt(squares);
}

constexpr int64_t block = 48;  // columns of a symmetric product that are computed at once

// The working memory of a thread.
struct Workspace {
  AlignedScratch scratch;
  PackedMatrix strip, long_strip, whole;  // packing the same sizes again allocates nothing
};

// to [m, m] = x y^T, x and y [m, k], where it is symmetric: what is right of the diagonal's block is the
// mirror of what is below.
void symmetric_product(const float* x, const float* y, int64_t m, int64_t k, float* to, Precision precision,
                       Workspace& work) {
  PackedMatrix& strip = k > m ? work.long_strip : work.strip;
  for (int64_t begin = 0; begin < m; begin += block) {
    const int64_t end = std::min(begin + block, m);
    strip.pack(y + begin * k, k, end - begin, 1, k, precision);
    matmul(x + begin * k, m - begin, k, strip, to + begin * m + begin, m, false);
    for (int64_t i = end; i < m; ++i)
      for (int64_t j = begin; j < end; ++j) to[j * m + i] = to[i * m + j];
  }
}

// to = p(gram), from its square.
void polynomial(const float* gram, const float* square, int64_t m, float* to) {
  for (int64_t i = 0; i < m * m; ++i)
    to[i] = static_cast<float>(b) * gram[i] + static_cast<float>(c) * square[i];
  for (int64_t i = 0; i < m; ++i) to[i * m + i] += static_cast<float>(a);
}

// to [m, n] = p [m, m] x [m, n]
void product(const float* p, const float* x, int64_t m, int64_t n, float* to, Precision precision,
             Workspace& work) {
  work.whole.pack(x, m, n, n, 1, precision);
  matmul(p, m, m, work.whole, to, n, false);
}

// The iteration on x [m, n], step by step; its result is returned, in `x` or `other`.
float* iterate(float* x, float* other, int64_t m, int64_t n, float* memory, Precision precision,
               Workspace& work) {
  float *gram = memory, *square = gram + m * m, *p = square + m * m;
  for (int step = 0; step < steps; ++step) {
    symmetric_product(x, x, m, n, gram, precision, work);
    symmetric_product(gram, gram, m, m, square, precision, work);
    polynomial(gram, square, m, p);
    product(p, x, m, n, other, precision, work);
    std::swap(x, other);
  }
  return x;
}

// The same of a long matrix. All products of [m, m] are of polynomials of one symmetric matrix, so they are
// symmetric. They are computed in float32, because small errors of A grow from step to step.
float* iterate_long(float* x, float* other, int64_t m, int64_t n, float* memory, Precision precision,
                    Workspace& work) {
  float *gram = memory, *square = gram + m * m, *p = square + m * m, *all = p + m * m, *next = all + m * m;
  symmetric_product(x, x, m, n, gram, precision, work);
  for (int step = 0; step < steps; ++step) {
    symmetric_product(gram, gram, m, m, square, Precision::f32, work);
    polynomial(gram, square, m, p);
    if (step == 0) {
      std::copy_n(p, m * m, all);
    } else {
      symmetric_product(p, all, m, m, next, Precision::f32, work);
      std::swap(all, next);
    }
    if (step + 1 == steps) break;
    symmetric_product(p, gram, m, m, square, Precision::f32, work);
    symmetric_product(square, p, m, m, gram, Precision::f32, work);
  }
  product(all, x, m, n, other, Precision::f32, work);
  return other;
}

}  // namespace

void orthogonalize(float* x, int64_t rows, int64_t cols, int64_t x_stride, Precision precision) {
  thread_local Workspace work;
  const int64_t m = std::min(rows, cols), n = std::max(rows, cols);
  if (m == 0) return;
  double squares = 0;
  for (int64_t i = 0; i < rows; ++i) squares += sum_of_squares(x + i * x_stride, cols);
  const double norm = std::sqrt(squares);
  float* memory = work.scratch.floats(2 * m * n + 5 * m * m);
  float* now = memory + 5 * m * m;
  take(x, rows, cols, x_stride, static_cast<float>(1 / (norm + smallest_norm)), now);
  const float* result =
      (n >= 2 * m ? iterate_long : iterate)(now, now + m * n, m, n, memory, precision, work);
  put(result, rows, cols, x_stride, x);
}

void orthogonalize(double* x, int64_t rows, int64_t cols, int64_t x_stride) {
  const int64_t m = std::min(rows, cols), n = std::max(rows, cols);
  auto size = [](int64_t count) { return static_cast<size_t>(count); };
  std::vector<double> now(size(m * n)), next(size(m * n)), gram(size(m * m)), polynomial(size(m * m));
  take(x, rows, cols, x_stride, 1 / (norm_of(x, rows, cols, x_stride) + smallest_norm), now.data());
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
  put(now.data(), rows, cols, x_stride, x);
}

}  // namespace aviary::kernels
