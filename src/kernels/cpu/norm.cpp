// Layer norm over the columns of each row.
#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

void layer_norm_row(const float* x, const float* weight, const float* bias, float epsilon, int64_t cols,
                    float* y, float* mean_out, float* rstd_out) {
  const float mean = sum_vectors(cols, [&](auto d, int64_t i) HWY_ATTR { return hn::LoadU(d, x + i); }) /
                     static_cast<float>(cols);
  const float variance = sum_vectors(cols,
                                     [&](auto d, int64_t i) HWY_ATTR {
                                       const auto centered = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
                                       return hn::Mul(centered, centered);
                                     }) /
                         static_cast<float>(cols);
  const float rstd = 1.0f / std::sqrt(variance + epsilon);
  for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
    const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
    hn::StoreU(hn::MulAdd(normed, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), d, y + i);
  });
  *mean_out = mean;
  *rstd_out = rstd;
}

// With n = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - n mean(g n)).
void layer_norm_backward_row(const float* dy, const float* x, const float* weight, float mean, float rstd,
                             int64_t cols, float* dx, float* dweight, float* dbias) {
  if (dweight) {
    for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
      const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
      const auto g = hn::LoadU(d, dy + i);
      hn::StoreU(hn::MulAdd(g, normed, hn::LoadU(d, dweight + i)), d, dweight + i);
      hn::StoreU(hn::Add(g, hn::LoadU(d, dbias + i)), d, dbias + i);
    });
  }
  if (!dx) return;
  const hn::ScalableTag<float> full;
  auto sum_g = hn::Zero(full), sum_gn = hn::Zero(full);
  float tail_g = 0, tail_gn = 0;
  for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
    const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
    const auto g = hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i));
    if constexpr (std::is_same_v<decltype(d), hn::ScalableTag<float>>) {
      sum_g = hn::Add(sum_g, g);
      sum_gn = hn::MulAdd(g, normed, sum_gn);
    } else {
      tail_g += hn::GetLane(g);
      tail_gn += hn::GetLane(hn::Mul(g, normed));
    }
  });
  const float mean_g = (sum_of(full, sum_g) + tail_g) / static_cast<float>(cols);
  const float mean_gn = (sum_of(full, sum_gn) + tail_gn) / static_cast<float>(cols);
  for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
    const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
    const auto g = hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i));
    const auto centered = hn::NegMulAdd(normed, hn::Set(d, mean_gn), hn::Sub(g, hn::Set(d, mean_g)));
    hn::StoreU(hn::MulAdd(centered, hn::Set(d, rstd), hn::LoadU(d, dx + i)), d, dx + i);
  });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(layer_norm_row);
HWY_EXPORT(layer_norm_backward_row);

}  // namespace

void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, int64_t rows,
                int64_t cols, float* y, float* mean, float* rstd) {
  parallel_for(rows, std::max<int64_t>(1, 4096 / cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) HWY_DYNAMIC_DISPATCH(layer_norm_row)
    (x + row * cols, weight, bias, epsilon, cols, y + row * cols, mean + row, rstd + row);
  });
}

void layer_norm_backward(const float* dy, const float* x, const float* weight, const float* mean,
                         const float* rstd, int64_t rows, int64_t cols, float* dx, float* dweight,
                         float* dbias, float* scratch) {
  parallel_for(row_blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      float* partial = scratch + block * 2 * cols;
      std::fill(partial, partial + 2 * cols, 0.0f);
      for (int64_t row = block * rows / row_blocks; row < (block + 1) * rows / row_blocks; ++row)
        HWY_DYNAMIC_DISPATCH(layer_norm_backward_row)
      (dy + row * cols, x + row * cols, weight, mean[row], rstd[row], cols, dx ? dx + row * cols : nullptr,
       dweight || dbias ? partial : nullptr, partial + cols);
    }
  });
  for (int64_t block = 0; block < row_blocks; ++block) {
    const float* partial = scratch + block * 2 * cols;
    for (int64_t i = 0; dweight && i < cols; ++i) dweight[i] += partial[i];
    for (int64_t i = 0; dbias && i < cols; ++i) dbias[i] += partial[cols + i];
  }
}

}  // namespace aviary::kernels
#endif
