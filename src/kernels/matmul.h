// Matrix products.
//
// Contract: each element of a result is summed along K in an order that depends only on K, not on the number
// of rows, the number of threads or how the work is divided. Pointers are float32 and row-major; sizes are
// int64_t.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "numbers/dtype.h"
#include "tensor/weight_memory.h"

namespace aviary::kernels {

// The type to which the factors of a product are rounded. Sums are always float32.
enum class Precision : uint8_t { f32, bf16 };
constexpr Dtype type_of(Precision precision) {
  return precision == Precision::bf16 ? Dtype::bf16 : Dtype::f32;
}

// The fastest precision for training and prompt reading on this CPU: bf16 if it has bf16 dot products.
Precision fastest_precision();

// B [K, N] in the layout that matmul() reads. Packed once per weight, repacked in place after an optimizer
// step.
class PackedMatrix {
 public:
  PackedMatrix();
  ~PackedMatrix();
  PackedMatrix(PackedMatrix&&) noexcept;
  PackedMatrix& operator=(PackedMatrix&&) noexcept;

  // Element (k, n) of B is b[k * k_stride + n * n_stride]; one of the strides is 1. For y = x W^T with W [N,
  // K] row-major: k_stride = 1, n_stride = K. Packing again with the same sizes and precision allocates
  // nothing. Throws Error unless k and n are positive.
  void pack(const float* b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, Precision precision);

  // The same for rows [N, K] of W as stored in a file, aligned or not. type: f32, bf16 or f16, to which the
  // numbers are rounded, or the block format in which they are stored. With a block format x is quantized as
  // well, to 8 bits with a scale for every 32 numbers of a row. `packed` is called with each part of the rows
  // that is no longer needed, some megabytes at a time. Throws Error if rows are not whole blocks.
  void pack_stored(Dtype stored, const std::byte* rows, int64_t k, int64_t n, Dtype type,
                   const std::function<void(std::span<const std::byte>)>& packed = {});

  // The same from the result of packed() of such a matrix, from a process on the same kind of CPU; the bytes
  // belong to `owner`. Throws Error if their number is wrong.
  void adopt(int64_t k, int64_t n, Dtype type, std::span<const std::byte> packed,
             std::shared_ptr<const void> owner);
  // The packed bytes; their layout is specific to this CPU and version.
  std::span<const std::byte> packed() const;

  bool empty() const;
  int64_t k() const;
  int64_t n() const;
  Dtype type() const;
  // Bytes of memory used.
  int64_t bytes() const;

  class Implementation;
  const Implementation& implementation() const { return *implementation_; }

 private:
  void prepare(int64_t k, int64_t n, Dtype type, WeightMemory memory = {});

  std::unique_ptr<Implementation> implementation_;
};

// y [M, N] = x [M, K] B, or y += x B when `accumulate`. Rows of x and y are x_stride and y_stride elements
// apart; x and y do not overlap. Several threads may read one packed matrix at once. Throws Error if b was
// never packed.
void matmul(const float* x, int64_t m, int64_t x_stride, const PackedMatrix& b, float* y, int64_t y_stride,
            bool accumulate);

// y [M, K] = x [M, N] B^T, or y += x B^T when `accumulate`: the gradient dx = dy W^T of x in y = x W, from
// the packed matrix of the forward product, unpacked in parts, so that gradients can pass through a model
// that has only packed weights. `precision`: the type to which x and the numbers of B are rounded. Throws
// Error if b was never packed.
void matmul_with_transpose(const float* x, int64_t m, int64_t x_stride, const PackedMatrix& b, float* y,
                           int64_t y_stride, bool accumulate, Precision precision);

// One row times a matrix: y [N] = x [K] B, or y += x B.
struct RowProduct {
  const float* x;
  const PackedMatrix* b;
  float* y;
  bool accumulate = false;
};
// Several independent row products in one parallel region; each gives the result of matmul().
void multiply_rows(std::span<const RowProduct> products);

// c [N, K] += a^T b with a [M, N] and b [M, K]: the gradient of a weight, dW += dy^T x.
void matmul_transposed(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t m,
                       int64_t n, int64_t k, float* c, int64_t c_stride, Precision precision);

// How matrices of a type are multiplied on this CPU: "q8_0 with VNNI", "bf16 widened to f32, this CPU has no
// products of bf16".
std::string products_of(Dtype type);

// The newest instructions that the kernels may use; tests and `--isa` select fewer than the CPU has. avx512:
// without VNNI and BF16; avx_vnni: AVX2 with VNNI.
enum class Isa : uint8_t { best, avx512, avx_vnni, avx2, baseline };
inline constexpr std::pair<std::string_view, Isa> isa_names[] = {{"best", Isa::best},
                                                                 {"avx512", Isa::avx512},
                                                                 {"avx-vnni", Isa::avx_vnni},
                                                                 {"avx2", Isa::avx2},
                                                                 {"baseline", Isa::baseline}};
void set_isa(Isa isa);
Isa isa();

}  // namespace aviary::kernels
