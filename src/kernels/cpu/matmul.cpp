// The type-independent part of matrix products: checks, and the choice of the layout for each type.
#include "kernels/matmul.h"

#include <hwy/base.h>

#include <algorithm>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/packed_matrix.h"

namespace aviary::kernels {

PackedMatrix::PackedMatrix() = default;
PackedMatrix::~PackedMatrix() = default;
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;

void PackedMatrix::prepare(int64_t k, int64_t n, Dtype type, WeightMemory memory) {
  require(k > 0 && n > 0, "matmul: a weight of [{}, {}] cannot be packed, both sizes must be positive", k, n);
  if (!memory.writable() || !implementation_ || !implementation_->fits(k, n, type))
    implementation_ =
        (is_quantized(type) ? make_block_matrix : make_float_matrix)(k, n, type, std::move(memory));
}

void PackedMatrix::pack(const float* b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                        Precision precision) {
  prepare(k, n, type_of(precision));
  implementation_->pack(b, k_stride, n_stride);
}

void PackedMatrix::pack_stored(Dtype stored, const std::byte* rows, int64_t k, int64_t n, Dtype type,
                               const std::function<void(std::span<const std::byte>)>& packed) {
  constexpr int64_t bytes_at_a_time = int64_t{8} << 20;
  prepare(k, n, type);
  const int64_t panels = implementation_->panels(), width = implementation_->panel_width();
  const int64_t row_bytes = bytes_of(stored, k);
  const int64_t panels_at_a_time = std::max<int64_t>(bytes_at_a_time / (width * row_bytes), 1);
  for (int64_t first = 0; first < panels; first += panels_at_a_time) {
    const int64_t last = std::min(panels, first + panels_at_a_time);
    implementation_->pack_stored(stored, rows, first, last);
    const int64_t begin = first * width, end = std::min(n, last * width);
    if (packed) packed({rows + begin * row_bytes, static_cast<size_t>((end - begin) * row_bytes)});
  }
}

void PackedMatrix::adopt(int64_t k, int64_t n, Dtype type, std::span<const std::byte> packed,
                         std::shared_ptr<const void> owner) {
  require(!packed.empty(), "matmul: a packed weight of no bytes");
  prepare(k, n, type, {packed, std::move(owner)});
}

std::span<const std::byte> PackedMatrix::packed() const {
  if (empty()) return {};
  const WeightMemory& memory = implementation_->memory();
  return {static_cast<const std::byte*>(memory.data()), static_cast<size_t>(memory.bytes())};
}

bool PackedMatrix::empty() const { return !implementation_; }
int64_t PackedMatrix::k() const { return empty() ? 0 : implementation_->k(); }
int64_t PackedMatrix::n() const { return empty() ? 0 : implementation_->n(); }
Dtype PackedMatrix::type() const { return empty() ? Dtype::f32 : implementation_->type(); }
int64_t PackedMatrix::bytes() const { return empty() ? 0 : implementation_->memory().bytes(); }

Precision fastest_precision() { return has_bf16_dot_products() ? Precision::bf16 : Precision::f32; }

std::string products_of(Dtype type) {
  const std::string name(name_of(type));
  if (type == Dtype::bf16 && !has_bf16_dot_products())
    return name + " widened to f32, this CPU has no products of bf16";
  if (type == Dtype::f16) return name + " widened to f32";
  if (!is_quantized(type)) return name;
  if (has_int8_dot_products() || (has_avx_vnni() && !has_avx512()))
    return name + (HWY_ARCH_X86 ? " with VNNI" : " with SDOT");
  if (has_avx512()) return name + " with AVX-512, this CPU has no VNNI";
  if (has_avx2()) return name + " with AVX2, this CPU has no VNNI";
  return name + " in plain C++, this CPU has no " + (HWY_ARCH_X86 ? "AVX2" : "SDOT");
}

void multiply_rows(std::span<const RowProduct> products) {
  int64_t bytes = 0;
  for (const RowProduct& product : products) {
    require(!product.b->empty(), "matmul: the weight was not packed");
    bytes += product.b->bytes();
  }
  // Every part reads the same number of bytes, going through the matrices in order, in whole panels.
  constexpr int64_t least_bytes = 1 << 13;
  const int64_t parts = std::clamp<int64_t>(bytes / least_bytes, 1, threads());
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    int64_t before = 0;  // bytes of the matrices before this one
    for (const RowProduct& product : products) {
      const PackedMatrix::Implementation& b = product.b->implementation();
      const int64_t panels = b.panels(), panel_bytes = product.b->bytes() / panels;
      auto cut = [&](int64_t part) {
        return std::clamp<int64_t>((bytes * part / parts - before + panel_bytes / 2) / panel_bytes, 0,
                                   panels);
      };
      const int64_t first = begin == 0 ? 0 : cut(begin), last = end == parts ? panels : cut(end);
      if (first < last) b.multiply_row(product.x, product.y, product.accumulate, first, last);
      before += product.b->bytes();
    }
  });
}

void matmul(const float* x, int64_t m, int64_t x_stride, const PackedMatrix& b, float* y, int64_t y_stride,
            bool accumulate) {
  if (m == 1) {
    const RowProduct row{x, &b, y, accumulate};
    return multiply_rows({&row, 1});
  }
  require(!b.empty(), "matmul: the weight was not packed");
  if (m > 0) b.implementation().multiply(x, m, x_stride, y, y_stride, accumulate);
}

}  // namespace aviary::kernels
