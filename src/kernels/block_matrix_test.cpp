// Compares products with stored weights with double-precision sums over the decoded numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/matmul.h"
#include "numbers/encoding.h"

namespace aviary::kernels {
namespace {

constexpr int64_t block_row_counts[] = {1, 2, 3, 13, 131};
constexpr int64_t max_block_rows = 131;
constexpr int64_t block_widths[] = {1, 16, 17, 40};
constexpr int64_t block_depths[] = {256, 512, 2304, 1, 67};  // the last two are not block formats

std::vector<float> random_block_values(uint64_t seed, int64_t count, double size = 1) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(size * random.normal());
  return values;
}

// A matrix [N, K] as stored in a file, and its decoded numbers.
struct Stored {
  Stored(Dtype type, int64_t k, int64_t n)
      : type(type),
        k(k),
        n(n),
        bytes(static_cast<size_t>(bytes_of(type, k * n))),
        values(static_cast<size_t>(k * n)) {
    encode(random_block_values(5, k * n, 0.05), type, bytes.data());
    decode(type, bytes.data(), values);
  }
  Dtype type;
  int64_t k, n;
  std::vector<std::byte> bytes;
  std::vector<float> values;

  PackedMatrix packed() const {
    PackedMatrix matrix;
    matrix.pack_stored(type, bytes.data(), k, n, type);
    return matrix;
  }
};

// x as a product with a matrix of this type rounds it.
std::vector<float> rounded_block(const std::vector<float>& x, Dtype type) {
  std::vector<float> result = x;
  if (type == Dtype::bf16)
    for (float& value : result) value = to_float(to_bf16(value));
  if (!is_quantized(type)) return result;
  for (size_t block = 0; block < x.size(); block += 32) {
    float largest = 0;
    for (size_t i = block; i < block + 32; ++i) largest = std::max(largest, std::abs(x[i]));
    for (size_t i = block; i < block + 32; ++i)
      result[i] = largest > 0 ? std::nearbyint(x[i] * (127 / largest)) * (largest / 127) : 0;
  }
  return result;
}

std::vector<float> multiply(const PackedMatrix& b, const std::vector<float>& x, int64_t rows,
                            float start = 0) {
  std::vector<float> y(static_cast<size_t>(rows * b.n()), start);
  matmul(x.data(), rows, b.k(), b, y.data(), b.n(), start != 0);
  return y;
}

// The codes of a stored block, without its scales.
std::span<std::byte> codes_of(Dtype type, std::byte* block) {
  switch (type) {
    case Dtype::q8_0:
      return {block + 2, 32};
    case Dtype::q5_1:
      return {block + 4, 20};
    case Dtype::q5_0:
      return {block + 2, 20};
    case Dtype::q4_1:
      return {block + 4, 16};
    case Dtype::q4_0:
      return {block + 2, 16};
    case Dtype::q4_k:
      return {block + 16, 128};
    case Dtype::q5_k:
      return {block + 16, 160};
    default:  // q6_k
      return {block, 192};
  }
}

class StoredMatrix : public testing::TestWithParam<std::tuple<Dtype, Isa>> {
 protected:
  void SetUp() override {
    if (!differs_from_isa_before(std::get<1>(GetParam())))
      GTEST_SKIP() << "this CPU computes as with the set before it";
    set_isa(std::get<1>(GetParam()));
  }
  ~StoredMatrix() override { set_isa(Isa::best); }
  static Dtype type() { return std::get<0>(GetParam()); }
};

TEST_P(StoredMatrix, ProductsAgreeWithSumsInDoublePrecisionForEveryShape) {
  for (int64_t k : block_depths)
    for (int64_t n : block_widths) {
      if (is_quantized(type()) && k % 256 != 0) continue;
      const Stored stored(type(), k, n);
      const PackedMatrix packed = stored.packed();
      const std::vector<float> x = random_block_values(7, max_block_rows * k);
      const std::vector<float> exact_x = rounded_block(x, type());
      for (int64_t rows : block_row_counts) {
        const std::vector<float> y = multiply(packed, x, rows, 0.5f);
        for (int64_t r = 0; r < rows; r += 1 + rows / 7)
          for (int64_t c = 0; c < n; ++c) {
            double sum = 0.5, magnitude = 0.5;
            for (int64_t i = 0; i < k; ++i) {
              const double product = static_cast<double>(exact_x[static_cast<size_t>(r * k + i)]) *
                                     static_cast<double>(stored.values[static_cast<size_t>(c * k + i)]);
              sum += product;
              magnitude += std::abs(product);
            }
            ASSERT_NEAR(y[static_cast<size_t>(r * n + c)], sum, 3e-6 * magnitude)
                << rows << " rows, K " << k << ", N " << n << ", row " << r << ", column " << c;
          }
      }
    }
}

TEST_P(StoredMatrix, ARowHasTheSameBitsInAnyBatchAndWithAnyNumberOfThreads) {
  const int64_t k = 2304, n = 200;
  const PackedMatrix packed = Stored(type(), k, n).packed();
  const std::vector<float> x = random_block_values(9, max_block_rows * k);
  const std::vector<float> together = multiply(packed, x, max_block_rows);
  const int before = threads();
  for (int count : {1, 3}) {
    set_threads(count);
    EXPECT_EQ(multiply(packed, x, max_block_rows), together) << count << " threads";
  }
  set_threads(before);
  for (int64_t rows : {1, 2, 5, 12})
    for (int64_t first : {0, 77}) {
      const std::vector<float> part(x.begin() + first * k, x.begin() + (first + rows) * k);
      const std::vector<float> expected(together.begin() + first * n, together.begin() + (first + rows) * n);
      EXPECT_EQ(multiply(packed, part, rows), expected) << rows << " rows from row " << first;
    }
}

TEST_P(StoredMatrix, NumbersThatAreNotFiniteArePropagated) {
  const int64_t k = 512, n = 20;
  const PackedMatrix packed = Stored(type(), k, n).packed();
  for (float broken : {NAN, INFINITY}) {
    std::vector<float> x = random_block_values(11, 2 * k);
    x[300] = broken;
    const std::vector<float> y = multiply(packed, x, 2);
    for (int64_t c = 0; c < n; ++c) {
      EXPECT_FALSE(std::isfinite(y[static_cast<size_t>(c)])) << c;
      EXPECT_TRUE(std::isfinite(y[static_cast<size_t>(n + c)])) << c;
    }
  }
}

TEST_P(StoredMatrix, RowsOfZerosGiveZeros) {
  const PackedMatrix packed = Stored(type(), 256, 20).packed();
  EXPECT_EQ(multiply(packed, std::vector<float>(512), 2), std::vector<float>(40));
}

TEST_P(StoredMatrix, ThePackedSizeIsLittleMoreThanTheStoredSize) {
  const Stored stored(type(), 2048, 1024);
  EXPECT_LE(static_cast<double>(stored.packed().bytes()), 1.04 * static_cast<double>(stored.bytes.size()));
}

// Compares dx = dy W, computed from the packed matrix, with double-precision sums.
TEST_P(StoredMatrix, ProductsWithTheTransposeAgreeWithSumsInDoublePrecisionForEveryShape) {
  for (int64_t k : {67, 256, 2304})
    for (int64_t n : {1, 40, 600}) {  // the last is divided if K is 2304
      if (is_quantized(type()) && k % 256 != 0) continue;
      const Stored stored(type(), k, n);
      const PackedMatrix packed = stored.packed();
      const std::vector<float> dy = random_block_values(7, max_block_rows * n);
      for (Precision precision : {Precision::f32, Precision::bf16})
        for (int64_t rows : {1, 13}) {
          const std::vector<float> rounded_dy = rounded_block(dy, type_of(precision)),
                                   rounded_w = rounded_block(stored.values, type_of(precision));
          std::vector<float> dx(static_cast<size_t>(rows * k), 0.5f);
          matmul_with_transpose(dy.data(), rows, n, packed, dx.data(), k, true, precision);
          for (int64_t r = 0; r < rows; r += 1 + rows / 3)
            for (int64_t i = 0; i < k; i += 1 + k / 20) {
              double sum = 0.5, magnitude = 0.5;
              for (int64_t c = 0; c < n; ++c) {
                const double product = static_cast<double>(rounded_dy[static_cast<size_t>(r * n + c)]) *
                                       static_cast<double>(rounded_w[static_cast<size_t>(c * k + i)]);
                sum += product;
                magnitude += std::abs(product);
              }
              ASSERT_NEAR(dx[static_cast<size_t>(r * k + i)], sum, 3e-6 * magnitude)
                  << rows << " rows, K " << k << ", N " << n << ", row " << r << ", column " << i << ", "
                  << name_of(type_of(precision));
            }
        }
    }
}

TEST_P(StoredMatrix, AProductWithTheTransposeHasTheSameBitsInAnyBatchAndWithAnyNumberOfThreads) {
  const int64_t k = 2304, n = 600, most = 40;  // more numbers than are unpacked at a time
  const PackedMatrix packed = Stored(type(), k, n).packed();
  const std::vector<float> dy = random_block_values(9, most * n);
  auto product = [&](int64_t first, int64_t rows) {
    std::vector<float> dx(static_cast<size_t>(rows * k));
    matmul_with_transpose(dy.data() + first * n, rows, n, packed, dx.data(), k, false, Precision::f32);
    return dx;
  };
  const std::vector<float> together = product(0, most);
  const int before = threads();
  for (int count : {1, 3}) {
    set_threads(count);
    EXPECT_EQ(product(0, most), together) << count << " threads";
  }
  set_threads(before);
  for (int64_t rows : {1, 5})
    for (int64_t first : {0, 27}) {
      const std::vector<float> expected(together.begin() + first * k, together.begin() + (first + rows) * k);
      EXPECT_EQ(product(first, rows), expected) << rows << " rows from row " << first;
    }
}

// Codes and x at their limits, where sums of 16 bits would overflow first.
TEST_P(StoredMatrix, TheLargestCodesAndActivationsDoNotOverflow) {
  if (!is_quantized(type())) return;
  const int64_t k = 512, n = 40;
  Stored stored(type(), k, n);
  for (const int sign : {1, -1})
    for (const std::byte code : {std::byte{0xff}, std::byte{0x80}, std::byte{0}}) {
      for (int64_t b = 0; b < k * n / block_of(type()).elements; ++b)
        std::ranges::fill(codes_of(type(), stored.bytes.data() + b * block_of(type()).bytes), code);
      decode(type(), stored.bytes.data(), stored.values);
      const PackedMatrix packed = stored.packed();
      const std::vector<float> x(static_cast<size_t>(3 * k), static_cast<float>(sign));
      for (const int64_t rows : {1, 3}) {
        const std::vector<float> y = multiply(packed, x, rows);
        for (int64_t c = 0; c < n; ++c) {
          double sum = 0, magnitude = 0;
          for (int64_t i = 0; i < k; ++i) {
            sum += sign * static_cast<double>(stored.values[static_cast<size_t>(c * k + i)]);
            magnitude += std::abs(stored.values[static_cast<size_t>(c * k + i)]);
          }
          ASSERT_NEAR(y[static_cast<size_t>((rows - 1) * n + c)], sum, 3e-6 * magnitude) << c;
        }
      }
    }
}

// Each is within 3e-6 of the exact sum, as the tests above hold them to; here they are compared directly.
TEST(StoredMatrixSets, Avx2AndAvx512AgreeWithinRounding) {
  if (!has_avx512()) GTEST_SKIP() << "this CPU has no AVX-512";
  const int64_t k = 2304, n = 40, rows = 13;
  const std::vector<float> x = random_block_values(13, rows * k);
  for (const Dtype type : weight_types) {
    const Stored stored(type, k, n);
    auto product = [&](Isa isa) {
      set_isa(isa);
      std::vector<float> y = multiply(stored.packed(), x, rows), row = multiply(stored.packed(), x, 1);
      y.insert(y.end(), row.begin(), row.end());
      set_isa(Isa::best);
      return y;
    };
    const std::vector<float> avx2 = product(Isa::avx2);
    for (const Isa isa : {Isa::avx512, Isa::best}) {
      const std::vector<float> other = product(isa);
      for (size_t i = 0; i < avx2.size(); ++i) {
        const int64_t row = static_cast<int64_t>(i) / n % rows, column = static_cast<int64_t>(i) % n;
        double magnitude = 0;
        for (int64_t j = 0; j < k; ++j)
          magnitude += std::abs(static_cast<double>(x[static_cast<size_t>(row * k + j)]) *
                                static_cast<double>(stored.values[static_cast<size_t>(column * k + j)]));
        ASSERT_NEAR(avx2[i], other[i], 6e-6 * magnitude) << name_of(type) << ", element " << i;
      }
    }
  }
}

TEST(StoredMatrixErrors, RowsThatAreNotWholeBlocksAreRejected) {
  PackedMatrix matrix;
  const std::vector<std::byte> bytes(1000);
  EXPECT_THROW(matrix.pack_stored(Dtype::q4_0, bytes.data(), 33, 2, Dtype::q4_0), Error);
  EXPECT_THROW(matrix.pack_stored(Dtype::q4_k, bytes.data(), 128, 2, Dtype::q4_k), Error);
  EXPECT_THROW(matrix.pack_stored(Dtype::q4_0, bytes.data(), 32, 2, Dtype::q8_0), Error);
}

std::string name_of_case(const testing::TestParamInfo<std::tuple<Dtype, Isa>>& info) {
  const char* isas[] = {"Best", "Avx512", "AvxVnni", "Avx2", "Baseline"};
  return std::string(name_of(std::get<0>(info.param))) + isas[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(Types, StoredMatrix,
                         testing::Combine(testing::ValuesIn(weight_types),
                                          testing::Values(Isa::best, Isa::avx512, Isa::avx_vnni, Isa::avx2,
                                                          Isa::baseline)),
                         name_of_case);

}  // namespace
}  // namespace aviary::kernels
