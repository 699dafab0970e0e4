// Who computes a matrix product: our own code or oneDNN.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "kernels/matmul.h"

namespace aviary::kernels {

// A weight B [K, N] as one provider keeps it.
class Product {
 public:
  virtual ~Product() = default;
  // As PackedMatrix::pack.
  virtual void pack(const float* b, int64_t k_stride, int64_t n_stride) = 0;
  // As matmul().
  virtual void multiply(const float* x, int64_t m, int64_t x_stride, float* y, int64_t y_stride,
                        bool accumulate) const = 0;
  virtual int64_t bytes() const = 0;
};

enum class Provider : uint8_t { own, dnnl };
// For tests: this one serves whatever the CPU, or, again, the better one.
void force_provider(std::optional<Provider> provider);

// Serves every CPU, in the layout of the instruction set that isa() allows now.
std::unique_ptr<Product> make_own_product(int64_t k, int64_t n, Precision precision);
void own_matmul_transposed(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t m,
                           int64_t n, int64_t k, float* c, int64_t c_stride, Precision precision);

// oneDNN. Null where it has no product of its own for this CPU, unless forced: then whatever it has.
std::unique_ptr<Product> make_dnnl_product(int64_t k, int64_t n, Precision precision, bool forced);
// False, and nothing done, where it has none.
bool dnnl_matmul_transposed(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t m,
                            int64_t n, int64_t k, float* c, int64_t c_stride, Precision precision,
                            bool forced);
// Whether products in bf16 run on instructions made for them.
bool dnnl_has_bf16();

// How a grid of tiles is shared among workers: parts along rows times parts along columns.
struct Grid {
  int64_t row_parts, column_parts;
};
// The grid of at most threads() parts with the cheapest largest part, for tiles of `row_unit` by
// `column_unit` elements. Reading a row or a column costs each part as much as row_cost or column_cost
// elements of arithmetic.
Grid choose_grid(int64_t rows, int64_t columns, int64_t depth, int64_t row_unit, int64_t column_unit,
                 int64_t row_cost, int64_t column_cost);

// Begin of part i of `parts` of [0, size) in whole units; begin of part `parts` is `size`.
int64_t part_begin(int64_t size, int64_t unit, int64_t parts, int64_t i);

}  // namespace aviary::kernels
