#include "ops/forms.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/files.h"
#include "base/random.h"
#include "support/check_operator.h"
#include "support/repository.h"

namespace aviary::forms {
namespace {

constexpr int64_t T = 16, C = 6;

Matrix random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Random random(seed);
  Matrix matrix(rows, cols);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) matrix(r, c) = random.normal();
  return matrix;
}

void expect_equal(const Matrix& a, const Matrix& b) {
  for (size_t i = 0; i < b.values().size(); ++i) ASSERT_NEAR(a.values()[i], b.values()[i], 1e-12) << i;
}

Matrix column(const Matrix& matrix, int64_t c) {
  Matrix one(matrix.rows(), 1);
  for (int64_t r = 0; r < matrix.rows(); ++r) one(r, 0) = matrix(r, c);
  return one;
}

// The form computed by an operator, from histories of K and V.
template <typename Run>
Matrix by_operator(const Matrix& K, const Matrix& V, Run run) {
  Arena arena;
  const Sequences sequences = Sequences::uniform(1, K.rows());
  Context c{arena, sequences};
  auto var = [&](const Matrix& matrix) {
    Var x = c.result({matrix.rows(), matrix.cols()}, Dtype::f64);
    from_host(matrix.values(), x.value);
    return x;
  };
  return {K.rows(), V.cols(), to_host(run(c, var, var(K), var(V)).value)};
}

Var history(const Var& x) { return {x.value.reshaped({1, x.rows(), x.cols()})}; }

TEST(Forms, AftIsAttentionWithAHeadForEveryChannelAndAQueryOfOne) {
  const Matrix K = random_matrix(T, C, 1), V = random_matrix(T, C, 2), nothing(T, T);
  const Matrix ones(T, 1, std::vector<double>(T, 1.0));
  for (Sees sees : {Sees::all, Sees::past}) {
    const Matrix y = aft(nothing, K, V, sees);
    for (int64_t c = 0; c < C; ++c)
      expect_equal(attention(ones, column(K, c), column(V, c), sees), column(y, c));
  }
}

TEST(Forms, RwkvIsAftWithWeightsThatDecayWithDistance) {
  const Matrix K = random_matrix(T, C, 3), V = random_matrix(T, C, 4);
  const double w = 0.3, u = 0.7;
  Matrix fading(T, T);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t i = 0; i <= t; ++i) fading(t, i) = i == t ? u : -w * static_cast<double>(t - 1 - i);
  expect_equal(rwkv_parallel(Vector(C, w), Vector(C, u), K, V), aft(fading, K, V, Sees::past));
}

TEST(Forms, TheThreeFormsOfRwkvAreEqual) {
  const Matrix K = random_matrix(T, C, 5), V = random_matrix(T, C, 6);
  const Vector w{0, 0.01, 0.3, 1, 3, 20}, u{-2, 0, 0.5, 1, 2, 3};
  const Matrix y = rwkv_parallel(w, u, K, V);
  expect_equal(rwkv_recurrent(w, u, K, V), y);
  expect_equal(rwkv_stable(w, u, K, V), y);
}

TEST(Forms, OnlyTheStableOneSurvivesHugeKeys) {
  Matrix K = random_matrix(T, C, 7), V = random_matrix(T, C, 8), shifted = K;
  for (int64_t t = 0; t < T; ++t)
    for (int64_t c = 0; c < C; ++c) shifted(t, c) += 1000;
  const Vector w(C, 0.5), u(C, 1);
  EXPECT_TRUE(std::isnan(rwkv_recurrent(w, u, shifted, V)(T - 1, 0)));
  // A common factor cancels.
  const Matrix y = rwkv_stable(w, u, shifted, V), wanted = rwkv_stable(w, u, K, V);
  for (size_t i = 0; i < y.values().size(); ++i) ASSERT_NEAR(y.values()[i], wanted.values()[i], 1e-9);
}

TEST(Forms, AreWhatTheOperatorsCompute) {
  const Matrix Q = random_matrix(T, 4, 9), keys = random_matrix(T, 4, 10);
  const Matrix K = random_matrix(T, C, 11), V = random_matrix(T, C, 12), W = random_matrix(T, T, 13);
  expect_equal(by_operator(keys, V,
                           [&](Context& c, auto var, const Var& k, const Var& v) {
                             return aviary::attention(c, var(Q), history(k), history(v), {});
                           }),
               attention(Q, keys, V, Sees::past));
  expect_equal(by_operator(K, V,
                           [&](Context& c, auto, const Var& k, const Var& v) {
                             Weight weight("w", {T, T}, Dtype::f64);
                             from_host(W.values(), weight.value());
                             return aft_full(c, weight, history(k), history(v));
                           }),
               aft(W, K, V, Sees::past));
  expect_equal(by_operator(K, V,
                           [&](Context& c, auto var, const Var& k, const Var& v) {
                             Weight decay("time_decay", {C}, Dtype::f64),
                                 first("time_first", {C}, Dtype::f64);
                             from_host(std::vector<double>(C, std::log(0.4)), decay.value());
                             from_host(std::vector<double>(C, 0.2), first.value());
                             Var aa = var(Matrix(1, C)), bb = var(Matrix(1, C)),
                                 pp = var(Matrix(1, C, std::vector<double>(C, -1e30)));
                             return wkv4(c, decay, first, k, v, {aa, bb, pp});
                           }),
               rwkv_parallel(Vector(C, 0.4), Vector(C, 0.2), K, V));
}

TEST(Forms, TheirPageShowsTheirCode) {
  const std::string root = repository();
  const std::string page = read_file(root + "/docs/forms.md", 1 << 20),
                    code = read_file(root + "/src/ops/forms.cpp", 1 << 20);
  int blocks = 0;
  for (size_t at = page.find("```cpp\n"); at != page.npos; at = page.find("```cpp\n", at + 1)) {
    const size_t begin = at + 7, end = page.find("```", begin);
    EXPECT_NE(code.find(page.substr(begin, end - begin)), code.npos) << page.substr(begin, end - begin);
    ++blocks;
  }
  EXPECT_EQ(blocks, 5);
}

}  // namespace
}  // namespace aviary::forms
