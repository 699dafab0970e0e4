// Rows of the embedding table, and the loss over rows of logits.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/threads.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rows.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

float largest(const float* x, int64_t count) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  float result = x[0];
  int64_t i = 0;
  if (count >= lanes) {
    auto top = hn::LoadU(d, x);
    for (; i + lanes <= count; i += lanes) top = hn::Max(top, hn::LoadU(d, x + i));
    result = hn::GetLane(hn::MaxOfLanes(d, top));
  }
  for (; i < count; ++i) result = std::max(result, x[i]);
  return result;
}

// x = exp(x - top); returns the sum.
float exponentials(float* x, float top, int64_t count) {
  return sum_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto e = hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, top)));
    hn::StoreU(e, d, x + i);
    return e;
  });
}

void scale_range(float* x, float factor, int64_t count) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor)), d, x + i);
  });
}

void add_row(const float* x, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, y + i);
  });
}

float dot(const float* x, const float* y, int64_t count) {
  return sum_vectors(
      count, [&](auto d, int64_t i) HWY_ATTR { return hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, y + i)); });
}

void dots(const float* q, const float* matrix, int64_t rows, int64_t cols, float* out) {
  for (int64_t row = 0; row < rows; ++row) out[row] = dot(q, matrix + row * cols, cols);
}

void weighted_rows(const float* weights, const float* matrix, int64_t rows, int64_t cols, float* y) {
  for (int64_t row = 0; row < rows; ++row) {
    if (weights[row] == 0) continue;
    const float* x = matrix + row * cols;
    for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(hn::MulAdd(hn::Set(d, weights[row]), hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
    });
  }
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(largest);
HWY_EXPORT(exponentials);
HWY_EXPORT(scale_range);
HWY_EXPORT(add_row);
HWY_EXPORT(dots);
HWY_EXPORT(weighted_rows);

constexpr float l2wrap_factor = 1e-4f;

}  // namespace

void gather_rows(const float* table, const int32_t* ids, int64_t rows, int64_t cols, float* y) {
  parallel_for(rows, std::max<int64_t>(1, 16384 / cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      std::memcpy(y + row * cols, table + ids[row] * cols, static_cast<size_t>(cols) * sizeof(float));
  });
}

// Divided along columns, so that rows with equal ids are added by one thread, in row order.
void scatter_add_rows(const float* dy, const int32_t* ids, int64_t rows, int64_t cols, float* dtable) {
  parallel_for(cols, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; ++row)
      HWY_DYNAMIC_DISPATCH(add_row)(dy + row * cols + begin, end - begin, dtable + ids[row] * cols + begin);
  });
}

void dot_rows(const float* q, const float* matrix, int64_t rows, int64_t cols, float* out) {
  HWY_DYNAMIC_DISPATCH(dots)(q, matrix, rows, cols, out);
}

void add_weighted_rows(const float* weights, const float* matrix, int64_t rows, int64_t cols, float* y) {
  HWY_DYNAMIC_DISPATCH(weighted_rows)(weights, matrix, rows, cols, y);
}

void cross_entropy(float* logits, const int32_t* targets, int64_t rows, int64_t cols, float scale,
                   bool l2wrap, double* losses) {
  parallel_for(rows, std::max<int64_t>(1, 2048 / cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* x = logits + row * cols;
      const int32_t target = targets[row];
      if (target < 0) {
        std::fill(x, x + cols, 0.0f);
        losses[row] = 0;
        continue;
      }
      const float top = HWY_DYNAMIC_DISPATCH(largest)(x, cols);
      const int64_t top_at = l2wrap ? std::find(x, x + cols, top) - x : 0;
      const float wanted = x[target];
      const float sum = HWY_DYNAMIC_DISPATCH(exponentials)(x, top, cols);
      losses[row] =
          std::log(static_cast<double>(sum)) + static_cast<double>(top) - static_cast<double>(wanted);
      HWY_DYNAMIC_DISPATCH(scale_range)(x, scale / sum, cols);
      x[target] -= scale;
      if (l2wrap && top_at < cols) x[top_at] += top * l2wrap_factor * scale;
    }
  });
}

}  // namespace aviary::kernels
#endif
