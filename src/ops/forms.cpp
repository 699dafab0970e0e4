#include "ops/forms.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace aviary::forms {

using std::exp, std::max;

Matrix::Matrix(int64_t rows, int64_t cols, std::vector<double> values)
    : rows_(rows), cols_(cols), values_(std::move(values)) {
  values_.resize(static_cast<size_t>(rows * cols));
}

Matrix attention(const Matrix& Q, const Matrix& K, const Matrix& V, Sees sees) {
  const int64_t T = Q.rows(), D = Q.cols();
  Matrix y(T, V.cols());
  for (int64_t t = 0; t < T; ++t) {
    const int64_t end = sees == Sees::past ? t + 1 : T;
    double sum = 0;
    for (int64_t i = 0; i < end; ++i) {
      double score = 0;
      for (int64_t j = 0; j < D; ++j) score += Q(t, j) * K(i, j);
      sum += exp(score);
      for (int64_t c = 0; c < V.cols(); ++c) y(t, c) += exp(score) * V(i, c);
    }
    for (int64_t c = 0; c < V.cols(); ++c) y(t, c) /= sum;
  }
  return y;
}

Matrix aft(const Matrix& W, const Matrix& K, const Matrix& V, Sees sees) {
  const int64_t T = K.rows(), C = K.cols();
  Matrix y(T, C);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t c = 0; c < C; ++c) {
      const int64_t end = sees == Sees::past ? t + 1 : T;
      double numerator = 0, denominator = 0;
      for (int64_t i = 0; i < end; ++i) {
        const double weight = exp(W(t, i) + K(i, c));
        numerator += weight * V(i, c);
        denominator += weight;
      }
      y(t, c) = numerator / denominator;
    }
  return y;
}

Matrix rwkv_parallel(const Vector& w, const Vector& u, const Matrix& K, const Matrix& V) {
  const int64_t T = K.rows(), C = K.cols();
  Matrix y(T, C);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t c = 0; c < C; ++c) {
      const auto channel = static_cast<size_t>(c);
      double numerator = exp(u[channel] + K(t, c)) * V(t, c);
      double denominator = exp(u[channel] + K(t, c));
      for (int64_t i = 0; i < t; ++i) {
        const double weight = exp(-static_cast<double>(t - 1 - i) * w[channel] + K(i, c));
        numerator += weight * V(i, c);
        denominator += weight;
      }
      y(t, c) = numerator / denominator;
    }
  return y;
}

Matrix rwkv_recurrent(const Vector& w, const Vector& u, const Matrix& K, const Matrix& V) {
  const int64_t T = K.rows(), C = K.cols();
  Matrix y(T, C);
  for (int64_t c = 0; c < C; ++c) {
    const auto channel = static_cast<size_t>(c);
    double a = 0, b = 0;
    for (int64_t t = 0; t < T; ++t) {
      const double k = K(t, c), v = V(t, c);
      y(t, c) = (a + exp(u[channel] + k) * v) / (b + exp(u[channel] + k));
      a = exp(-w[channel]) * a + exp(k) * v;
      b = exp(-w[channel]) * b + exp(k);
    }
  }
  return y;
}

Matrix rwkv_stable(const Vector& w, const Vector& u, const Matrix& K, const Matrix& V) {
  const int64_t T = K.rows(), C = K.cols();
  Matrix y(T, C);
  for (int64_t c = 0; c < C; ++c) {
    const auto channel = static_cast<size_t>(c);
    double a = 0, b = 0, p = -1e30;  // the sums are a e^p and b e^p
    for (int64_t t = 0; t < T; ++t) {
      const double k = K(t, c), v = V(t, c);
      const double q = max(p, u[channel] + k);
      y(t, c) = (exp(p - q) * a + exp(u[channel] + k - q) * v) / (exp(p - q) * b + exp(u[channel] + k - q));
      const double next = max(p - w[channel], k);
      a = exp(p - w[channel] - next) * a + exp(k - next) * v;
      b = exp(p - w[channel] - next) * b + exp(k - next);
      p = next;
    }
  }
  return y;
}

}  // namespace aviary::forms
