// What every backend's matrix product does alike: checks, and which layout serves which type.
#include "kernels/matmul.h"

#include "base/error.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/packed_matrix.h"

namespace aviary::kernels {

PackedMatrix::PackedMatrix() = default;
PackedMatrix::~PackedMatrix() = default;
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;

void PackedMatrix::prepare(int64_t k, int64_t n, Dtype type) {
  require(k > 0 && n > 0, "matmul: a weight of [{}, {}] cannot be packed, both sizes must be positive", k, n);
  if (!implementation_ || !implementation_->fits(k, n, type))
    implementation_ = is_quantized(type) ? make_block_matrix(k, n, type) : make_float_matrix(k, n, type);
}

void PackedMatrix::pack(const float* b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                        Precision precision) {
  prepare(k, n, type_of(precision));
  implementation_->pack(b, k_stride, n_stride);
}

void PackedMatrix::pack_stored(Dtype stored, const std::byte* rows, int64_t k, int64_t n, Dtype type) {
  prepare(k, n, type);
  implementation_->pack_stored(stored, rows);
}

bool PackedMatrix::empty() const { return !implementation_; }
int64_t PackedMatrix::k() const { return empty() ? 0 : implementation_->k(); }
int64_t PackedMatrix::n() const { return empty() ? 0 : implementation_->n(); }
Dtype PackedMatrix::type() const { return empty() ? Dtype::f32 : implementation_->type(); }
int64_t PackedMatrix::bytes() const { return empty() ? 0 : implementation_->bytes(); }

Precision fastest_precision() { return has_bf16_dot_products() ? Precision::bf16 : Precision::f32; }

void matmul(const float* x, int64_t m, int64_t x_stride, const PackedMatrix& b, float* y, int64_t y_stride,
            bool accumulate) {
  require(!b.empty(), "matmul: the weight was not packed");
  if (m > 0) b.implementation().multiply(x, m, x_stride, y, y_stride, accumulate);
}

}  // namespace aviary::kernels
