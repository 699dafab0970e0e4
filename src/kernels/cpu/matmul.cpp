// Chooses who computes a product, and how it is shared among workers.
#include "kernels/matmul.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/matmul_provider.h"

namespace aviary::kernels {
namespace {

std::optional<Provider> forced_provider;

std::unique_ptr<Product> make_product(int64_t k, int64_t n, Precision precision) {
  std::unique_ptr<Product> product;
  if (forced_provider == Provider::dnnl) product = make_dnnl_product(k, n, precision, true);
  return product ? std::move(product) : make_own_product(k, n, precision);
}

}  // namespace

struct PackedMatrix::Implementation {
  int64_t k, n;
  Precision precision;
  Isa isa;  // that was allowed when the layout was chosen
  std::unique_ptr<Product> product;
};

PackedMatrix::PackedMatrix() = default;
PackedMatrix::~PackedMatrix() = default;
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;

void PackedMatrix::pack(const float* b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                        Precision precision) {
  require(k > 0 && n > 0, "matmul: a weight of [{}, {}] cannot be packed, both sizes must be positive", k, n);
  const auto* old = implementation_.get();
  if (!old || old->k != k || old->n != n || old->precision != precision || old->isa != isa())
    implementation_ = std::make_unique<Implementation>(
        Implementation{k, n, precision, isa(), make_product(k, n, precision)});
  implementation_->product->pack(b, k_stride, n_stride);
}

bool PackedMatrix::empty() const { return !implementation_; }
int64_t PackedMatrix::k() const { return implementation_ ? implementation_->k : 0; }
int64_t PackedMatrix::n() const { return implementation_ ? implementation_->n : 0; }
Precision PackedMatrix::precision() const {
  return implementation_ ? implementation_->precision : Precision::f32;
}
int64_t PackedMatrix::bytes() const { return implementation_ ? implementation_->product->bytes() : 0; }

Precision fastest_precision() {
  return has_bf16_dot_products() && dnnl_has_bf16() ? Precision::bf16 : Precision::f32;
}

void matmul(const float* x, int64_t m, int64_t x_stride, const PackedMatrix& b, float* y, int64_t y_stride,
            bool accumulate) {
  require(!b.empty(), "matmul: the weight was not packed");
  if (m > 0) b.implementation().product->multiply(x, m, x_stride, y, y_stride, accumulate);
}

void matmul_transposed(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t m,
                       int64_t n, int64_t k, float* c, int64_t c_stride, Precision precision) {
  if (m > 0 && n > 0 && k > 0)
    own_matmul_transposed(a, a_stride, b, b_stride, m, n, k, c, c_stride, precision);
}

void force_provider(std::optional<Provider> provider) { forced_provider = provider; }

Grid choose_grid(int64_t rows, int64_t columns, int64_t depth, int64_t row_unit, int64_t column_unit,
                 int64_t row_cost, int64_t column_cost) {
  constexpr int64_t work_per_worker = 1 << 15;  // multiplications that pay for waking one
  const int64_t row_units = (rows + row_unit - 1) / row_unit,
                column_units = (columns + column_unit - 1) / column_unit;
  const double work = static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth);
  const auto workers =
      static_cast<int64_t>(std::clamp(work / work_per_worker, 1.0, static_cast<double>(threads())));
  Grid best{1, 1};
  int64_t best_cost = std::numeric_limits<int64_t>::max();
  for (int64_t row_parts = 1; row_parts <= std::min(workers, row_units); ++row_parts) {
    const int64_t column_parts = std::min(workers / row_parts, column_units);
    const int64_t part_rows = (row_units + row_parts - 1) / row_parts * row_unit;
    const int64_t part_columns = (column_units + column_parts - 1) / column_parts * column_unit;
    const int64_t cost = part_rows * part_columns + row_cost * part_rows + column_cost * part_columns;
    if (cost < best_cost) best_cost = cost, best = {row_parts, column_parts};
  }
  return best;
}

int64_t part_begin(int64_t size, int64_t unit, int64_t parts, int64_t i) {
  const int64_t units = (size + unit - 1) / unit;
  return std::min(size, units * i / parts * unit);
}

}  // namespace aviary::kernels
