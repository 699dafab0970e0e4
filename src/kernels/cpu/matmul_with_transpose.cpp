// Products with the transpose of a packed matrix: dx = dy B^T. Some columns of B at a time, which are rows of
// B^T, are unpacked and packed again for an ordinary product.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/scratch.h"
#include "kernels/matmul.h"

namespace aviary::kernels {
namespace {

// Numbers of B that are unpacked at a time: 16 MB of float32. Every further part reads and writes y once
// more.
constexpr int64_t numbers_at_a_time = int64_t{1} << 22;

// B^T [rows, cols] in `memory`, packed for products of this precision.
std::unique_ptr<PackedMatrix::Implementation> pack_rows(const float* rows, int64_t count, int64_t cols,
                                                        Dtype type, float* memory) {
  const auto bytes = static_cast<size_t>(bytes_of_float_matrix(count, cols, type));
  std::memset(memory, 0, bytes);  // packing does not write beyond the last column
  auto packed = make_float_matrix(count, cols, type,
                                  WeightMemory({reinterpret_cast<const std::byte*>(memory), bytes}, nullptr));
  packed->pack(rows, cols, 1);
  return packed;
}

}  // namespace

void matmul_with_transpose(const float* x, int64_t m, int64_t x_stride, const PackedMatrix& b, float* y,
                           int64_t y_stride, bool accumulate, Precision precision) {
  require(!b.empty(), "matmul: the weight was not packed");
  if (m == 0) return;
  static thread_local AlignedScratch scratch;
  const PackedMatrix::Implementation& matrix = b.implementation();
  const int64_t width = matrix.panel_width(), panels = matrix.panels(), cols = b.k();
  const Dtype type = type_of(precision);
  // The sum of an element is divided here, depending only on the sizes of B, not on the number of rows or
  // threads.
  const int64_t panels_at_a_time = std::max<int64_t>(numbers_at_a_time / (width * cols), 1);
  const int64_t most_rows = std::min(panels_at_a_time, panels) * width;
  float* rows = scratch.floats(most_rows * cols + bytes_of_float_matrix(most_rows, cols, type) / 4);
  for (int64_t first = 0; first < panels; first += panels_at_a_time) {
    const int64_t last = std::min(panels, first + panels_at_a_time), begin = first * width;
    const int64_t count = std::min(b.n(), last * width) - begin;
    matrix.unpack(first, last, rows);
    const auto part = pack_rows(rows, count, cols, type, rows + most_rows * cols);
    const bool add = accumulate || first > 0;
    if (m == 1)
      part->multiply_row(x + begin, y, add, 0, part->panels());
    else
      part->multiply(x + begin, m, x_stride, y, y_stride, add);
  }
}

}  // namespace aviary::kernels
