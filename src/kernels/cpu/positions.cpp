// Functions of the position of a row: rotary embeddings, and a factor for every position.
#include <algorithm>

#include "base/threads.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/positions.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

// One row: (a, b) = (a cos - b sin, b cos + a sin), for a in the first `count` columns of a head and b in the
// next `count`.
void rotate_row(const Rotary& shape, float position, const float* frequency, const float* x, float* y) {
  const int64_t count = shape.frequencies;
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto angle = hn::Mul(hn::Set(d, position), hn::LoadU(d, frequency + i));
    const auto cos = hn::Cos(d, angle), sin = hn::Sin(d, shape.backward ? hn::Neg(angle) : angle);
    for (int64_t at = i; at < shape.heads * shape.head_size; at += shape.head_size) {
      const auto a = hn::LoadU(d, x + at), b = hn::LoadU(d, x + at + count);
      hn::StoreU(hn::NegMulAdd(b, sin, hn::Mul(a, cos)), d, y + at);
      hn::StoreU(hn::MulAdd(a, sin, hn::Mul(b, cos)), d, y + at + count);
    }
  });
}

void scale_row(float factor, const float* x, int64_t count, bool accumulate, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto before = accumulate ? hn::LoadU(d, y + i) : hn::Zero(d);
    hn::StoreU(hn::MulAdd(hn::LoadU(d, x + i), hn::Set(d, factor), before), d, y + i);
  });
}

float row_product(const float* x, const float* y, int64_t count) {
  return sum_vectors(
      count, [&](auto d, int64_t i) HWY_ATTR { return hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, y + i)); });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(rotate_row);
HWY_EXPORT(scale_row);
HWY_EXPORT(row_product);

// body(row)
template <typename Body>
void for_rows(int64_t rows, int64_t cols, Body body) {
  parallel_for(rows, std::max<int64_t>(1, 16384 / cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

}  // namespace

void rotary(const Rotary& shape, const float* frequency, const float* x, float* y) {
  const int64_t cols = shape.heads * shape.head_size;
  for_rows(shape.rows, cols, [&](int64_t row) {
    if (x != y) std::copy_n(x + row * cols, cols, y + row * cols);
    HWY_DYNAMIC_DISPATCH(rotate_row)
    (shape, static_cast<float>(shape.positions[row]), frequency, x + row * cols, y + row * cols);
  });
}

void scale_rows(const float* factor, const int64_t* positions, const float* x, int64_t rows, int64_t cols,
                bool accumulate, float* y) {
  for_rows(rows, cols, [&](int64_t row) {
    HWY_DYNAMIC_DISPATCH(scale_row)
    (factor[positions[row]], x + row * cols, cols, accumulate, y + row * cols);
  });
}

void scale_rows_backward(const int64_t* positions, const float* x, const float* dy, int64_t rows,
                         int64_t cols, float* dfactor, float* scratch) {
  for_rows(rows, cols, [&](int64_t row) {
    scratch[row] = HWY_DYNAMIC_DISPATCH(row_product)(x + row * cols, dy + row * cols, cols);
  });
  for (int64_t row = 0; row < rows; ++row) dfactor[positions[row]] += scratch[row];
}

}  // namespace aviary::kernels
#endif
