// Matrix products in plain loops.
#include "kernels/matmul.h"

#include <vector>

#include "base/threads.h"
#include "tensor/dtype.h"

namespace aviary::kernels {
namespace {

float rounded(float x, Precision precision) {
  return precision == Precision::bf16 ? to_float(to_bf16(x)) : x;
}

}  // namespace

struct PackedMatrix::Implementation {
  int64_t k = 0, n = 0;
  Precision precision = Precision::f32;
  std::vector<float> values;  // [K, N]
};

PackedMatrix::PackedMatrix() = default;
PackedMatrix::~PackedMatrix() = default;
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;

void PackedMatrix::pack(const float* b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                        Precision precision) {
  if (!implementation_) implementation_ = std::make_unique<Implementation>();
  implementation_->k = k;
  implementation_->n = n;
  implementation_->precision = precision;
  implementation_->values.resize(static_cast<size_t>(k * n));
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < n; ++j)
      implementation_->values[static_cast<size_t>(i * n + j)] =
          rounded(b[i * k_stride + j * n_stride], precision);
}

bool PackedMatrix::empty() const { return !implementation_; }
int64_t PackedMatrix::k() const { return implementation_ ? implementation_->k : 0; }
int64_t PackedMatrix::n() const { return implementation_ ? implementation_->n : 0; }
Precision PackedMatrix::precision() const {
  return implementation_ ? implementation_->precision : Precision::f32;
}
int64_t PackedMatrix::bytes() const { return 4 * k() * n(); }

Precision fastest_precision() { return Precision::f32; }

void matmul(const float* x, int64_t m, int64_t x_stride, const PackedMatrix& b, float* y, int64_t y_stride,
            bool accumulate) {
  const auto& packed = b.implementation();
  parallel_for(m, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = y + i * y_stride;
      if (!accumulate) std::fill_n(row, packed.n, 0.0f);
      for (int64_t p = 0; p < packed.k; ++p) {
        float factor = rounded(x[i * x_stride + p], packed.precision);
        const float* values = packed.values.data() + p * packed.n;
        for (int64_t j = 0; j < packed.n; ++j) row[j] += factor * values[j];
      }
    }
  });
}

void matmul_transposed(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t m,
                       int64_t n, int64_t k, float* c, int64_t c_stride, Precision precision) {
  parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = begin; j < end; ++j) {
        float factor = rounded(a[i * a_stride + j], precision);
        for (int64_t p = 0; p < k; ++p)
          c[j * c_stride + p] += factor * rounded(b[i * b_stride + p], precision);
      }
  });
}

}  // namespace aviary::kernels
