#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/peak.h"
#include "numbers/dtype.h"
#include "support/sanitized.h"

namespace aviary::kernels {
namespace {

constexpr int64_t row_counts[] = {1, 2, 3, 5, 7, 8, 63, 64, 65, 200};
constexpr int64_t max_rows = 200;
constexpr int64_t widths[] = {1, 7, 16, 32, 33, 64, 97, 192, 256, 300};
constexpr int64_t depths[] = {1, 7, 16, 33, 64, 97, 192, 300, 1101};  // the last needs several blocks

std::vector<float> random_values(uint64_t seed, int64_t count) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (auto& value : values) value = static_cast<float>(random.uniform(-1, 1));
  return values;
}

double rounded(float x, Precision precision) {
  return precision == Precision::bf16 ? to_float(to_bf16(x)) : x;
}

// The exact product, and the allowed error of a float32 sum.
struct Reference {
  std::vector<double> values, tolerances;
};

// sum over i of a(row, i) b(i, column)
template <typename A, typename B>
Reference reference_product(int64_t rows, int64_t depth, int64_t columns, A a, B b) {
  Reference reference;
  reference.values.assign(static_cast<size_t>(rows * columns), 0.0);
  reference.tolerances = reference.values;
  for (int64_t r = 0; r < rows; ++r) {
    double* values = &reference.values[static_cast<size_t>(r * columns)];
    double* tolerances = &reference.tolerances[static_cast<size_t>(r * columns)];
    for (int64_t i = 0; i < depth; ++i) {
      const double factor = a(r, i);
      for (int64_t c = 0; c < columns; ++c) {
        const double product = factor * b(i, c);
        values[c] += product;
        tolerances[c] += std::abs(product);
      }
    }
    for (int64_t c = 0; c < columns; ++c)
      tolerances[c] = 1e-7 + 0x1p-24 * (2 + std::sqrt(static_cast<double>(depth))) * 3 * (1 + tolerances[c]);
  }
  return reference;
}

// A matrix whose rows are further apart than its width.
struct Strided {
  Strided(uint64_t seed, int64_t row_count, int64_t column_count, int64_t padding)
      : rows(row_count),
        columns(column_count),
        stride(column_count + padding),
        values(random_values(seed, row_count * (column_count + padding))) {}
  float& at(int64_t r, int64_t c) { return values[static_cast<size_t>(r * stride + c)]; }
  float at(int64_t r, int64_t c) const { return values[static_cast<size_t>(r * stride + c)]; }

  int64_t rows, columns, stride;
  std::vector<float> values;
};

using Case = std::tuple<Isa, Precision>;

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto [isa, precision] = info.param;
  const char* isas[] = {"Best", "Avx512", "AvxVnni", "Avx2", "Baseline"};
  return std::string(isas[static_cast<int>(isa)]) + (precision == Precision::bf16 ? "Bf16" : "F32");
}

class Matmul : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!differs_from_isa_before(std::get<0>(GetParam())))
      GTEST_SKIP() << "this CPU computes as with the set before it";
    set_isa(std::get<0>(GetParam()));
  }
  void TearDown() override {
    set_isa(isa_);
    set_threads(threads_);
  }

  Precision precision() const { return std::get<1>(GetParam()); }
  // Plain C++ with the checks of a sanitizer: of deep matrices only narrow ones, of wide ones only flat ones.
  static bool takes_too_long(int64_t numbers) {
    return sanitized && std::get<0>(GetParam()) == Isa::baseline && numbers > 10'000;
  }

 private:
  const int threads_ = threads();
  const Isa isa_ = isa();
};

TEST_P(Matmul, AgreesWithDoublePrecisionAndRowsDoNotDependOnOtherRows) {
  set_threads(2);
  for (int64_t k : depths)
    for (int64_t n : widths) {
      if (takes_too_long(k * n)) continue;
      SCOPED_TRACE("k " + std::to_string(k) + " n " + std::to_string(n));
      const Strided x(1, max_rows, k, 5), before(2, max_rows, n, 3), by_rows(3, k, n, 4);
      Strided by_columns(4, n, k, 2);
      for (int64_t i = 0; i < k; ++i)
        for (int64_t c = 0; c < n; ++c) by_columns.at(c, i) = by_rows.at(i, c);
      const Reference reference = reference_product(
          max_rows, k, n, [&](int64_t r, int64_t i) { return rounded(x.at(r, i), precision()); },
          [&](int64_t i, int64_t c) { return rounded(by_rows.at(i, c), precision()); });
      PackedMatrix packed, packed_columns;
      packed.pack(by_rows.values.data(), k, n, by_rows.stride, 1, precision());
      packed_columns.pack(by_columns.values.data(), k, n, 1, by_columns.stride, precision());
      for (bool accumulate : {false, true}) {
        Strided all = before, all_columns = before;
        matmul(x.values.data(), max_rows, x.stride, packed, all.values.data(), all.stride, accumulate);
        matmul(x.values.data(), max_rows, x.stride, packed_columns, all_columns.values.data(), all.stride,
               accumulate);
        ASSERT_EQ(all.values, all_columns.values);
        for (int64_t r = 0; r < max_rows; ++r) {
          for (int64_t c = 0; c < n; ++c) {
            const size_t i = static_cast<size_t>(r * n + c);
            const double expected = reference.values[i] + (accumulate ? before.at(r, c) : 0.0);
            if (!(std::abs(all.at(r, c) - expected) <= reference.tolerances[i]))
              FAIL() << "row " << r << " column " << c << ": " << all.at(r, c) << ", expected " << expected;
          }
          for (int64_t c = n; c < all.stride; ++c)
            ASSERT_EQ(all.at(r, c), before.at(r, c)) << "beyond the row";
        }
        for (int64_t m : row_counts) {
          const int64_t first = max_rows - m;  // the last rows, at other positions in their tiles
          Strided some = before;
          matmul(x.values.data() + first * x.stride, m, x.stride, packed, &some.at(first, 0), some.stride,
                 accumulate);
          for (int64_t r = std::max<int64_t>(0, first - 1); r < max_rows; ++r)
            for (int64_t c = 0; c < n; ++c)
              ASSERT_EQ(some.at(r, c), r < first ? before.at(r, c) : all.at(r, c))
                  << "a block of other height";
        }
      }
    }
}

TEST_P(Matmul, TheNumberOfThreadsDoesNotChangeTheResult) {
  for (auto [m, k, n] : {std::tuple<int64_t, int64_t, int64_t>{1, 300, 1000},
                         {65, 300, 256},
                         {200, 1101, 97},
                         {1101, 64, 97}}) {
    const Strided x(1, m, k, 0), w(2, n, k, 0), a(3, m, n, 0);
    std::vector<float> one, one_gradient;
    for (int workers : {1, 2, 3}) {
      set_threads(workers);
      PackedMatrix packed;
      packed.pack(w.values.data(), k, n, 1, w.stride, precision());
      std::vector<float> y(static_cast<size_t>(m * n)), gradient(static_cast<size_t>(n * k));
      matmul(x.values.data(), m, k, packed, y.data(), n, false);
      matmul_transposed(a.values.data(), n, x.values.data(), k, m, n, k, gradient.data(), k, precision());
      if (workers == 1) one = y, one_gradient = gradient;
      ASSERT_EQ(y, one);
      ASSERT_EQ(gradient, one_gradient);
    }
  }
}

TEST_P(Matmul, TransposedAgreesWithDoublePrecision) {
  set_threads(2);
  for (int64_t m : {1, 7, 64, 200, 300, 1300})
    for (int64_t n : {1, 7, 32, 97, 192})
      for (int64_t k : {1, 16, 33, 64, 300, 1100}) {
        if (m * n * k > 60'000'000) continue;
        SCOPED_TRACE("m " + std::to_string(m) + " n " + std::to_string(n) + " k " + std::to_string(k));
        const Strided a(1, m, n, 3), b(2, m, k, 1), before(3, n, k, 2);
        const Reference reference = reference_product(
            n, m, k, [&](int64_t r, int64_t i) { return rounded(a.at(i, r), precision()); },
            [&](int64_t i, int64_t c) { return rounded(b.at(i, c), precision()); });
        Strided c = before;
        matmul_transposed(a.values.data(), a.stride, b.values.data(), b.stride, m, n, k, c.values.data(),
                          c.stride, precision());
        for (int64_t r = 0; r < n; ++r) {
          for (int64_t j = 0; j < k; ++j) {
            const size_t i = static_cast<size_t>(r * k + j);
            ASSERT_NEAR(c.at(r, j), reference.values[i] + before.at(r, j), reference.tolerances[i])
                << "row " << r << " column " << j;
          }
          for (int64_t j = k; j < c.stride; ++j) ASSERT_EQ(c.at(r, j), before.at(r, j)) << "beyond the row";
        }
      }
}

TEST_P(Matmul, PackingAgainReplacesTheWeight) {
  const Strided x(1, 5, 64, 0), first(2, 48, 64, 0), second(3, 48, 64, 0);
  PackedMatrix packed, fresh;
  packed.pack(first.values.data(), 64, 48, 1, 64, precision());
  const int64_t bytes = packed.bytes();
  packed.pack(second.values.data(), 64, 48, 1, 64, precision());
  fresh.pack(second.values.data(), 64, 48, 1, 64, precision());
  EXPECT_EQ(packed.bytes(), bytes);
  EXPECT_GE(bytes, 64 * 48 * (precision() == Precision::bf16 ? 2 : 4));
  std::vector<float> y(5 * 48), expected(5 * 48);
  matmul(x.values.data(), 5, 64, packed, y.data(), 48, false);
  matmul(x.values.data(), 5, 64, fresh, expected.data(), 48, false);
  EXPECT_EQ(y, expected);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Matmul,
                         testing::Combine(testing::Values(Isa::best, Isa::avx512, Isa::avx2, Isa::baseline),
                                          testing::Values(Precision::f32, Precision::bf16)),
                         name_of);

TEST(PackedMatrix, HasTheRightSizes) {
  PackedMatrix packed;
  EXPECT_TRUE(packed.empty());
  const Strided w(1, 3, 4, 0);
  packed.pack(w.values.data(), 4, 3, 1, 4, Precision::bf16);
  EXPECT_FALSE(packed.empty());
  EXPECT_EQ(packed.k(), 4);
  EXPECT_EQ(packed.n(), 3);
  EXPECT_EQ(packed.type(), Dtype::bf16);
  PackedMatrix moved = std::move(packed);
  EXPECT_EQ(moved.n(), 3);
  EXPECT_TRUE(packed.empty());
  EXPECT_THROW(moved.pack(w.values.data(), 0, 3, 1, 0, Precision::f32), Error);
}

TEST(PackedMatrix, KeepsItsLayoutWhenTheInstructionSetChanges) {
  const Isa before_test = isa();
  const Strided x(1, 9, 33, 0), w(2, 40, 33, 0);
  PackedMatrix packed;
  packed.pack(w.values.data(), 33, 40, 1, 33, Precision::f32);
  std::vector<float> before(9 * 40), after(9 * 40);
  matmul(x.values.data(), 9, 33, packed, before.data(), 40, false);
  set_isa(Isa::baseline);
  matmul(x.values.data(), 9, 33, packed, after.data(), 40, false);
  EXPECT_EQ(isa(), Isa::baseline);
  set_isa(before_test);
  EXPECT_EQ(before, after);
}

TEST(PackedMatrix, RoundingKeepsNaNAndInfinity) {
  const std::vector<float> w = {1.0f, 2.0f};
  PackedMatrix packed;
  packed.pack(w.data(), 1, 2, 2, 1, Precision::bf16);
  for (float x : {std::nanf(""), INFINITY, -INFINITY}) {
    std::vector<float> y(2);
    matmul(&x, 1, 1, packed, y.data(), 2, false);
    for (float value : y) EXPECT_TRUE(std::isnan(x) ? std::isnan(value) : value == x);
  }
}

TEST(FastestPrecision, IsBf16OnlyWhereTheCpuHasDotProductsForIt) {
  EXPECT_EQ(fastest_precision() == Precision::bf16, has_bf16_dot_products());
  const Isa before_test = isa();
  set_isa(Isa::avx2);
  EXPECT_EQ(fastest_precision(), Precision::f32);
  set_isa(before_test);
}

TEST(MachinePeak, IsPositiveAndGrowsWithTheInstructionSet) {
  const MachinePeak best = measure_peak(1);
  EXPECT_GT(best.read_gigabytes, 0.1);
  EXPECT_EQ(best.bf16_gflops > 0, has_bf16_dot_products());
  EXPECT_EQ(best.int8_gigaops > 0, has_int8_dot_products() || has_avx2());
  EXPECT_GT(best.f32_gflops, 0.1);
}

}  // namespace
}  // namespace aviary::kernels
