// Products by oneDNN: each worker executes single-threaded primitives on its rows and its slices of N.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/cpu/dnnl_plan.h"
#include "kernels/cpu/matmul_micro.h"
#include "kernels/cpu/matmul_provider.h"
#include "kernels/cpu/scratch.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace aviary::kernels {
namespace {

constexpr int64_t column_unit = 64;        // columns of a block of packed weights
constexpr int64_t row_unit = 32;           // fewer rows have primitives of their own, so that few are made
constexpr int64_t most_rows = 256;         // of one execution
constexpr int64_t most_results = 1 << 16;  // of one execution; they wait in the second-level cache
constexpr int64_t most_summed = 1024;      // rows summed over by one execution of a transposed product
constexpr int64_t transposed_unit = 32;    // rows and columns of a weight's gradient

// Rows of the next execution when `rows` are left.
int64_t next_rows(int64_t rows) {
  return rows >= most_rows ? most_rows : rows >= row_unit ? rows / row_unit * row_unit : rows;
}

int64_t element_bytes(Precision precision) { return precision == Precision::bf16 ? 2 : 4; }

// Says in our words what oneDNN could not do.
template <typename Body>
void translate_errors(Body body) {
  try {
    body();
  } catch (const dnnl::error& error) {
    fail("matmul: oneDNN failed ({}); choose another instruction set with --isa avx2", error.what());
  }
}

// oneDNN's blocked product wants the rows of x and of y side by side. Hence other rows of x are copied first,
// and results for a part of the columns of y come into a block of their own, from which they are copied.
class DnnlProduct final : public Product {
 public:
  DnnlProduct(int64_t k, int64_t n, Precision precision)
      : k_(k),
        n_(n),
        precision_(precision),
        desc_(packed_weights(k, n, precision)),
        layout_(blocked_layout(desc_)),
        data_(static_cast<int64_t>(desc_.get_size())) {}

  // Whether oneDNN serves this shape with its blocked product: whole rows and parts of them, few and many.
  bool is_brgemm() const {
    for (int64_t rows : {int64_t{1}, most_rows})
      for (int64_t columns : {n_, std::min(n_, columns_at_a_time(rows)), (n_ - 1) % column_unit + 1}) {
        if (!plan_for(key(rows, columns))->brgemm) return false;
        // A part of the columns is found in the layout of the whole.
        const BlockedLayout part = blocked_layout(packed_weights(k_, columns, precision_));
        if (part.rows != layout_.rows ||
            !std::equal(part.columns.begin(), part.columns.end(), layout_.columns.begin()))
          return false;
      }
    return true;
  }

  void pack(const float* b, int64_t k_stride, int64_t n_stride) override {
    parallel_for((n_ + column_unit - 1) / column_unit, 1, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * column_unit, last = std::min(n_, end * column_unit);
      if (precision_ == Precision::bf16)
        pack_columns(b, k_stride, n_stride, first, last, static_cast<bf16*>(data_.data()));
      else
        pack_columns(b, k_stride, n_stride, first, last, static_cast<float*>(data_.data()));
    });
  }

  void multiply(const float* x, int64_t m, int64_t x_stride, float* y, int64_t y_stride,
                bool accumulate) const override {
    const Grid grid = choose_grid(m, n_, k_, row_unit, column_unit, 8, 4);
    parallel_for(grid.row_parts * grid.column_parts, 1, [&](int64_t begin, int64_t end) {
      const SingleThreaded alone;
      translate_errors([&] {
        for (int64_t part = begin; part < end; ++part) {
          const int64_t row = part / grid.column_parts, column = part % grid.column_parts;
          const int64_t last = part_begin(m, row_unit, grid.row_parts, row + 1);
          const Columns columns{part_begin(n_, column_unit, grid.column_parts, column),
                                part_begin(n_, column_unit, grid.column_parts, column + 1)};
          for (int64_t r = part_begin(m, row_unit, grid.row_parts, row); r < last;) {
            const int64_t rows = next_rows(last - r);
            const void* src = dense_rows(x + r * x_stride, rows, x_stride);
            multiply_rows(src, rows, columns, y + r * y_stride, y_stride, accumulate);
            r += rows;
          }
        }
      });
    });
  }

  int64_t bytes() const override { return data_.bytes(); }

 private:
  struct Columns {
    int64_t begin, end;
  };

  static int64_t columns_at_a_time(int64_t rows) {
    return most_results / std::max(rows, row_unit) / column_unit * column_unit;
  }

  PlanKey key(int64_t rows, int64_t columns) const {
    return {rows, columns, k_, k_, 1, 0, 0, columns, precision_, false};
  }

  template <typename T>
  void pack_columns(const float* b, int64_t k_stride, int64_t n_stride, int64_t begin, int64_t end,
                    T* to) const {
    constexpr int64_t step = 32;  // what is written at a time stays in the first-level cache
    for (int64_t first = 0; first < k_; first += step)
      for (int64_t j = begin; j < end; ++j) {
        T* column = to + layout_.columns[static_cast<size_t>(j)];
        for (int64_t i = first; i < std::min(k_, first + step); ++i) {
          const float value = b[i * k_stride + j * n_stride];
          T& element = column[layout_.rows[static_cast<size_t>(i)]];
          if constexpr (std::is_same_v<T, bf16>)
            element = to_bf16(value);
          else
            element = value;
        }
      }
  }

  // Rows of x side by side and in the precision of the product.
  const void* dense_rows(const float* x, int64_t rows, int64_t x_stride) const {
    static thread_local AlignedScratch scratch;
    if (precision_ == Precision::bf16) {
      auto* narrow = reinterpret_cast<uint16_t*>(scratch.floats((rows * k_ + 1) / 2));
      for (int64_t r = 0; r < rows; ++r) micro_kernels().narrow(x + r * x_stride, k_, narrow + r * k_);
      return narrow;
    }
    if (rows == 1 || x_stride == k_) return x;
    float* dense = scratch.floats(rows * k_);
    for (int64_t r = 0; r < rows; ++r) std::copy_n(x + r * x_stride, k_, dense + r * k_);
    return dense;
  }

  void multiply_rows(const void* src, int64_t rows, Columns part, float* y, int64_t y_stride,
                     bool accumulate) const {
    static thread_local AlignedScratch scratch;
    const bool y_is_dense = rows == 1 || (y_stride == n_ && part.end - part.begin == n_);
    if (y_is_dense && !accumulate) return execute_columns(src, rows, part, y + part.begin);
    float* block = scratch.floats(most_results);
    const int64_t step = columns_at_a_time(rows);
    for (int64_t j = part.begin; j < part.end; j += step) {
      const Columns columns{j, std::min(part.end, j + step)};
      const int64_t width = columns.end - columns.begin;
      execute_columns(src, rows, columns, block);
      for (int64_t r = 0; r < rows; ++r) {
        const float* from = block + r * width;
        float* to = y + r * y_stride + j;
        if (accumulate)
          std::transform(from, from + width, to, to, std::plus<>());
        else
          std::copy_n(from, width, to);
      }
    }
  }

  void execute_columns(const void* src, int64_t rows, Columns columns, float* dst) const {
    const auto plan = plan_for(key(rows, columns.end - columns.begin));
    const int64_t offset = layout_.columns[static_cast<size_t>(columns.begin)] * element_bytes(precision_);
    execute(*plan, src, view(plan->weights, static_cast<const std::byte*>(data_.data()) + offset), dst);
  }

  const int64_t k_, n_;
  const Precision precision_;
  const dnnl::memory::desc desc_;
  const BlockedLayout layout_;
  Buffer data_;
};

// The factors of a transposed product as oneDNN reads them: [m, n] and [m, k].
struct Factors {
  const void *a, *b;
  int64_t a_stride, b_stride;
};

// Rounds matrix [rows, columns] to bf16, rows side by side.
void narrow_rows(const float* from, int64_t stride, int64_t rows, int64_t columns, uint16_t* to) {
  parallel_for(rows, 1 + (1 << 14) / columns, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      micro_kernels().narrow(from + r * stride, columns, to + r * columns);
  });
}

PlanKey transposed_key(const Factors& factors, int64_t m, int64_t n, int64_t k, int64_t c_stride,
                       Precision precision) {
  return {n, k, m, 1, factors.a_stride, factors.b_stride, 1, c_stride, precision, true};
}

}  // namespace

std::unique_ptr<Product> make_dnnl_product(int64_t k, int64_t n, Precision precision, bool forced) {
  try {
    auto product = std::make_unique<DnnlProduct>(k, n, precision);
    if (forced || product->is_brgemm()) return product;
  } catch (const dnnl::error&) {  // unimplemented on this CPU
  }
  return nullptr;
}

bool dnnl_has_bf16() {
  static const bool has = [] {
    try {
      return plan_for({64, 64, 64, 64, 1, 0, 0, 64, Precision::bf16, false})->brgemm;
    } catch (const dnnl::error&) {
      return false;
    }
  }();
  return has;
}

bool dnnl_matmul_transposed(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t m,
                            int64_t n, int64_t k, float* c, int64_t c_stride, Precision precision,
                            bool forced) {
  static thread_local AlignedScratch a_scratch, b_scratch;
  const bool narrow = precision == Precision::bf16;
  Factors factors{a, b, a_stride, b_stride};
  if (narrow) factors.a_stride = n, factors.b_stride = k;
  try {
    const auto plan = plan_for(transposed_key(factors, std::min(m, most_summed), n, k, c_stride, precision));
    if (!forced && !plan->brgemm) return false;
  } catch (const dnnl::error&) {
    return false;
  }
  if (narrow) {
    auto* narrow_a = reinterpret_cast<uint16_t*>(a_scratch.floats((m * n + 1) / 2));
    auto* narrow_b = reinterpret_cast<uint16_t*>(b_scratch.floats((m * k + 1) / 2));
    narrow_rows(a, a_stride, m, n, narrow_a);
    narrow_rows(b, b_stride, m, k, narrow_b);
    factors.a = narrow_a, factors.b = narrow_b;
  }
  const int64_t bytes = element_bytes(precision);
  const Grid grid = choose_grid(n, k, m, transposed_unit, transposed_unit, 8, 8);
  parallel_for(grid.row_parts * grid.column_parts, 1, [&](int64_t begin, int64_t end) {
    const SingleThreaded alone;
    translate_errors([&] {
      for (int64_t part = begin; part < end; ++part) {
        const int64_t row = part / grid.column_parts, column = part % grid.column_parts;
        const int64_t n0 = part_begin(n, transposed_unit, grid.row_parts, row);
        const int64_t n1 = part_begin(n, transposed_unit, grid.row_parts, row + 1);
        const int64_t k0 = part_begin(k, transposed_unit, grid.column_parts, column);
        const int64_t k1 = part_begin(k, transposed_unit, grid.column_parts, column + 1);
        for (int64_t i = 0; i < m; i += most_summed) {
          const auto plan = plan_for(
              transposed_key(factors, std::min(m - i, most_summed), n1 - n0, k1 - k0, c_stride, precision));
          const auto* a_part = static_cast<const std::byte*>(factors.a) + (i * factors.a_stride + n0) * bytes;
          const auto* b_part = static_cast<const std::byte*>(factors.b) + (i * factors.b_stride + k0) * bytes;
          execute(*plan, a_part, view(plan->weights, b_part), c + n0 * c_stride + k0);
        }
      }
    });
  });
  return true;
}

}  // namespace aviary::kernels
