#include "kernels/orthogonalize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "base/threads.h"

namespace aviary::kernels {
namespace {

struct Size {
  int64_t rows, cols;
};

std::vector<double> random_matrix(Size size, uint64_t seed) {
  Random random(seed);
  std::vector<double> x(static_cast<size_t>(size.rows * size.cols));
  for (double& value : x) value = random.normal();
  return x;
}

double norm(const std::vector<double>& x) {
  double squares = 0;
  for (double value : x) squares += value * value;
  return std::sqrt(squares);
}

// |x v| / |v| for the matrix or, where it has fewer rows than columns, its transpose.
double stretch(const std::vector<double>& x, Size size, const std::vector<double>& v) {
  const bool wide = size.rows < size.cols;
  std::vector<double> y(static_cast<size_t>(std::max(size.rows, size.cols)));
  for (int64_t i = 0; i < size.rows; ++i)
    for (int64_t k = 0; k < size.cols; ++k) {
      const auto [to, from] = wide ? std::pair(k, i) : std::pair(i, k);
      y[static_cast<size_t>(to)] += x[static_cast<size_t>(i * size.cols + k)] * v[static_cast<size_t>(from)];
    }
  return norm(y) / norm(v);
}

TEST(Orthogonalize, BringsAllDirectionsToAboutTheSameLength) {
  for (const Size size : {Size{24, 24}, Size{8, 40}, Size{40, 8}, Size{1, 5}, Size{3, 3}}) {
    std::vector<double> x = random_matrix(size, 7);
    // One direction that is a hundred times as strong.
    const std::vector<double> u = random_matrix({size.rows, 1}, 8), w = random_matrix({size.cols, 1}, 9);
    for (int64_t i = 0; i < size.rows; ++i)
      for (int64_t k = 0; k < size.cols; ++k)
        x[static_cast<size_t>(i * size.cols + k)] +=
            5 * u[static_cast<size_t>(i)] * w[static_cast<size_t>(k)];
    orthogonalize(x.data(), size.rows, size.cols, size.cols);
    const double mean = norm(x) / std::sqrt(static_cast<double>(std::min(size.rows, size.cols)));
    EXPECT_NEAR(mean, 1, 0.35) << size.rows << " x " << size.cols;
    for (uint64_t seed = 20; seed < 30; ++seed)
      EXPECT_NEAR(stretch(x, size, random_matrix({std::min(size.rows, size.cols), 1}, seed)), 1, 0.35)
          << size.rows << " x " << size.cols << ", seed " << seed;
  }
}

TEST(Orthogonalize, TheKernelFollowsTheReference) {
  for (const Size size : {Size{24, 24}, Size{9, 41}, Size{41, 9}, Size{64, 192}, Size{100, 120}, Size{1, 5}})
    for (const Precision precision : {Precision::f32, Precision::bf16}) {
      std::vector<double> reference = random_matrix(size, 3);
      const int64_t stride = size.cols + 3;
      std::vector<float> x(static_cast<size_t>(size.rows * stride), 7.0f);
      for (int64_t i = 0; i < size.rows; ++i)
        for (int64_t k = 0; k < size.cols; ++k)
          x[static_cast<size_t>(i * stride + k)] =
              static_cast<float>(reference[static_cast<size_t>(i * size.cols + k)]);
      orthogonalize(x.data(), size.rows, size.cols, stride, precision);
      orthogonalize(reference.data(), size.rows, size.cols, size.cols);
      double difference = 0;
      for (int64_t i = 0; i < size.rows; ++i)
        for (int64_t k = 0; k < stride; ++k) {
          const double value = static_cast<double>(x[static_cast<size_t>(i * stride + k)]);
          if (k >= size.cols)
            EXPECT_EQ(value, 7) << "beside the matrix";
          else
            difference += std::pow(value - reference[static_cast<size_t>(i * size.cols + k)], 2);
        }
      // bf16 rounds to 2^-9, and the iteration magnifies small singular values.
      EXPECT_LT(std::sqrt(difference) / norm(reference), precision == Precision::f32 ? 1e-4 : 0.1)
          << size.rows << " x " << size.cols;
    }
}

TEST(Orthogonalize, ZerosStayZerosAndThreadsChangeNoBit) {
  std::vector<float> zeros(12, 0.0f);
  orthogonalize(zeros.data(), 3, 4, 4, fastest_precision());
  for (float x : zeros) EXPECT_EQ(x, 0);
  std::vector<std::vector<float>> results;
  const int usual = threads();
  for (int count : {1, 3}) {
    set_threads(count);
    std::vector<float>& x = results.emplace_back();
    for (double value : random_matrix({96, 64}, 5)) x.push_back(static_cast<float>(value));
    orthogonalize(x.data(), 96, 64, 64, fastest_precision());
  }
  set_threads(usual);
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace
}  // namespace aviary::kernels
