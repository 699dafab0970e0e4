// Five forms of attention, from softmax attention to the recurrence of RWKV: docs/forms.md leads from each to
// the next. Plain functions for one head in double precision, for reading and for tests; models use the
// operators attention, aft_full and wkv4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace aviary::forms {

// Row t is a token, column c a channel.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t cols, std::vector<double> values = {});
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  double& operator()(int64_t row, int64_t col) { return values_[static_cast<size_t>(row * cols_ + col)]; }
  double operator()(int64_t row, int64_t col) const {
    return values_[static_cast<size_t>(row * cols_ + col)];
  }
  const std::vector<double>& values() const { return values_; }

 private:
  int64_t rows_, cols_;
  std::vector<double> values_;
};
using Vector = std::vector<double>;

// Whether a token also sees later tokens.
enum class Sees : uint8_t { all, past };

// 1. Attention: y_t = sum_i e^{q_t k_i} v_i / sum_i e^{q_t k_i}; Q and K [T, D], V [T, C].
Matrix attention(const Matrix& Q, const Matrix& K, const Matrix& V, Sees sees);

// 2. AFT, without its gate: y_t = sum_i e^{w_ti + k_i} v_i / sum_i e^{w_ti + k_i} in every channel; W [T, T].
Matrix aft(const Matrix& W, const Matrix& K, const Matrix& V, Sees sees);

// 3. RWKV: the weight of a token decays by e^-w with every later token, and the current token has a bonus u.
// All tokens in parallel.
Matrix rwkv_parallel(const Vector& w, const Vector& u, const Matrix& K, const Matrix& V);

// 4. The same as a recurrence: numerator and denominator are the state.
Matrix rwkv_recurrent(const Vector& w, const Vector& u, const Matrix& K, const Matrix& V);

// 5. The same for keys of any size: the largest exponent is also part of the state.
Matrix rwkv_stable(const Vector& w, const Vector& u, const Matrix& K, const Matrix& V);

}  // namespace aviary::forms
