// The weighted average of RWKV-1. A time weight depends only on the distance between two tokens, apart from
// one factor per token, so the sum over the past is a product with a matrix that is never stored: its element
// (t, u) is read from the curve at t - u.
//   z_t = sum_u curve[t - u] (alpha_u e_u v_u),  y_t = beta_t z_t / sum_{u <= t} e_u,  e = exp(k)
#include <algorithm>

#include "kernels/cpu/history_blocks.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/wkv1_head.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv1.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

// e, weighed = alpha e v [first + rows, n]; inverse = 1 / (sum of e) [rows, n]; sum [n] is working memory.
void wkv1_keys(const Wkv1Head& h, float* e, float* weighed, float* inverse, float* sum) {
  std::fill(sum, sum + h.n, 0.0f);
  for (int64_t u = 0; u < h.first + h.rows; ++u) {
    const float *k = h.k + u * h.stride, *v = h.v + u * h.stride;
    float *e_row = e + u * h.n, *weighed_row = weighed + u * h.n;
    float* inverse_row = u >= h.first ? inverse + (u - h.first) * h.n : nullptr;
    for_vectors(h.n, [&](auto d, int64_t i) HWY_ATTR {
      const auto clamped = hn::Min(hn::Max(hn::LoadU(d, k + i), hn::Set(d, -60.0f)), hn::Set(d, 30.0f));
      const auto x = hn::Exp(d, clamped), total = hn::Add(hn::LoadU(d, sum + i), x);
      hn::StoreU(x, d, e_row + i);
      hn::StoreU(hn::Mul(hn::Mul(x, hn::LoadU(d, v + i)), hn::Set(d, h.alpha[u])), d, weighed_row + i);
      hn::StoreU(total, d, sum + i);
      if (inverse_row) hn::StoreU(hn::Div(hn::Set(d, 1.0f), total), d, inverse_row + i);
    });
  }
}

// z of rows [t, t + rows).
HWY_INLINE void wkv1_sums(const Wkv1Head& h, int64_t t, int64_t rows, const float* weighed, float* z,
                          int64_t z_stride) {
  product(rows, h.n, h.first + t + rows, {h.curve + h.first + t, 1, -1}, weighed, h.n, false, z, z_stride);
}

void wkv1_head(const Wkv1Head& h, const float* weighed, const float* inverse, float* y) {
  for (int64_t t = 0; t < h.rows; t += block_rows)
    wkv1_sums(h, t, std::min(block_rows, h.rows - t), weighed, y + t * h.stride, h.stride);
  for (int64_t t = 0; t < h.rows; ++t)
    for_vectors(h.n, [&](auto d, int64_t i) HWY_ATTR {
      const auto scale = hn::Mul(hn::LoadU(d, inverse + t * h.n + i), hn::Set(d, h.beta[h.first + t]));
      hn::StoreU(hn::Mul(hn::LoadU(d, y + t * h.stride + i), scale), d, y + t * h.stride + i);
    });
}

// Backward for rows [t, t + rows): dsum [.., n] = the gradient of the sums of e; adds the gradients of
// weighed, curve and beta. g, z [block_rows, n], turned [n, block_rows] and products [count, block_rows] are
// working memory.
void wkv1_block_backward(const Wkv1Head& h, int64_t t, int64_t rows, const float* weighed,
                         const float* inverse, const float* dy, float* dsum, float* dweighed, float* dcurve,
                         float* dbeta, float* g, float* z, float* turned, float* products) {
  const int64_t first = h.first + t, count = first + rows;
  wkv1_sums(h, t, rows, weighed, z, h.n);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = (t + r) * h.n;
    dbeta[first + r] += sum_vectors(h.n, [&](auto d, int64_t i) HWY_ATTR {
      const auto inv = hn::LoadU(d, inverse + at + i), sum = hn::LoadU(d, z + r * h.n + i);
      const auto scaled = hn::Mul(hn::LoadU(d, dy + (t + r) * h.stride + i), inv);
      const auto dz = hn::Mul(scaled, hn::Set(d, h.beta[first + r]));
      hn::StoreU(dz, d, g + r * h.n + i);
      hn::StoreU(hn::Neg(hn::Mul(hn::Mul(dz, sum), inv)), d, dsum + at + i);
      return hn::Mul(scaled, sum);
    });
  }
  product(count, h.n, rows, {h.curve + first, -1, 1}, g, h.n, true, dweighed, h.n);
  turn(rows, h.n, g, h.n, 1, turned, block_rows);
  product(count, block_rows, h.n, {weighed, h.n, 1}, turned, block_rows, false, products, block_rows);
  for (int64_t u = 0; u < count; ++u)
    for_vectors(block_rows, [&](auto d, int64_t r) HWY_ATTR {
      float* lag = dcurve + first - u + r;
      hn::StoreU(hn::Add(hn::LoadU(d, lag), hn::LoadU(d, products + u * block_rows + r)), d, lag);
    });
}

// Computes the gradients of k, v and alpha from those of weighed and of the sums. later [n] is working
// memory.
void wkv1_keys_backward(const Wkv1Head& h, const float* e, const float* dweighed, const float* dsum,
                        float* dk, float* dv, float* dalpha, float* later) {
  std::fill(later, later + h.n, 0.0f);
  for (int64_t u = h.first + h.rows - 1; u >= 0; --u) {
    const float* own = u >= h.first ? dsum + (u - h.first) * h.n : nullptr;
    const int64_t at = u * h.stride;
    dalpha[u] += sum_vectors(h.n, [&](auto d, int64_t i) HWY_ATTR {
      const auto k = hn::LoadU(d, h.k + at + i), v = hn::LoadU(d, h.v + at + i);
      const auto x = hn::LoadU(d, e + u * h.n + i), dw = hn::LoadU(d, dweighed + u * h.n + i);
      auto total = hn::LoadU(d, later + i);
      if (own) total = hn::Add(total, hn::LoadU(d, own + i));
      hn::StoreU(total, d, later + i);
      const auto g = hn::Mul(dw, hn::Set(d, h.alpha[u]));
      if (dv) hn::StoreU(hn::MulAdd(g, x, hn::LoadU(d, dv + at + i)), d, dv + at + i);
      const auto inside = hn::And(hn::Ge(k, hn::Set(d, -60.0f)), hn::Le(k, hn::Set(d, 30.0f)));
      const auto de = hn::IfThenElseZero(inside, hn::Mul(x, hn::MulAdd(g, v, total)));
      if (dk) hn::StoreU(hn::Add(hn::LoadU(d, dk + at + i), de), d, dk + at + i);
      return hn::Mul(dw, hn::Mul(x, v));
    });
  }
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(wkv1_keys);
HWY_EXPORT(wkv1_head);
HWY_EXPORT(wkv1_block_backward);
HWY_EXPORT(wkv1_keys_backward);

float* memory(int part, int64_t floats) {
  thread_local AlignedScratch parts[10];
  return parts[part].floats(floats);
}

// body(sequence, head, their Wkv1Head) for every pair.
template <typename Body>
void for_heads(const Wkv1& shape, ConstPlaces k, ConstPlaces v, Body body) {
  const int64_t H = shape.heads, n = shape.cols / H, L = shape.time.length;
  parallel_for(shape.at.sequences * H, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t s = task / H, head = task % H;
      body(s, head,
           Wkv1Head{.rows = shape.at.begins[s + 1] - shape.at.begins[s],
                    .first = shape.at.positions[s],
                    .n = n,
                    .stride = shape.cols,
                    .k = k[s] + head * n,
                    .v = v[s] + head * n,
                    .curve = weights_by_lag(shape.time, head, memory(0, lag_floats(L))),
                    .alpha = shape.time.alpha + head * L,
                    .beta = shape.time.beta + head * L});
    }
  });
}

struct Keys {
  float *e, *weighed, *inverse;
  explicit Keys(const Wkv1Head& h)
      : e(memory(1, h.count() * h.n)), weighed(memory(2, h.count() * h.n)), inverse(memory(3, h.rows * h.n)) {
    HWY_DYNAMIC_DISPATCH(wkv1_keys)(h, e, weighed, inverse, memory(4, h.n));
  }
};

float* zeros(int part, int64_t floats) {
  float* x = memory(part, floats);
  std::fill(x, x + floats, 0.0f);
  return x;
}

// dw, dalpha, dbeta [length] of one head of one sequence.
void head_backward(const Wkv1Head& h, int64_t L, const float* dy, float* dk, float* dv, float* dw,
                   float* dalpha, float* dbeta) {
  const Keys keys(h);
  float *dsum = memory(5, h.rows * h.n), *dweighed = zeros(6, h.count() * h.n),
        *dlag = zeros(7, lag_floats(L));
  float* products = memory(9, h.count() * block_rows);
  for (int64_t t = 0; t < h.rows; t += block_rows) {
    const int64_t rows = std::min(block_rows, h.rows - t), size = block_rows * h.n;
    float* work = memory(8, 3 * size);
    HWY_DYNAMIC_DISPATCH(wkv1_block_backward)
    (h, t, rows, keys.weighed, keys.inverse, dy, dsum, dweighed, dlag + block_rows, dbeta, work, work + size,
     work + 2 * size, products);
  }
  HWY_DYNAMIC_DISPATCH(wkv1_keys_backward)(h, keys.e, dweighed, dsum, dk, dv, dalpha, memory(4, h.n));
  std::reverse_copy(dlag + block_rows, dlag + block_rows + L, dw);
}

float* at(float* x, int64_t i) { return x ? x + i : nullptr; }

}  // namespace

void wkv1(const Wkv1& shape, ConstPlaces k, ConstPlaces v, float* y) {
  for_heads(shape, k, v, [&](int64_t s, int64_t head, const Wkv1Head& h) {
    const Keys keys(h);
    float* rows = y + shape.at.begins[s] * shape.cols + head * h.n;
    HWY_DYNAMIC_DISPATCH(wkv1_head)(h, keys.weighed, keys.inverse, rows);
  });
}

int64_t wkv1_scratch(const Wkv1& shape) { return shape.at.sequences * 3 * shape.heads * shape.time.length; }

void wkv1_backward(const Wkv1& shape, ConstPlaces k, ConstPlaces v, const float* dy,
                   const Wkv1Gradients& gradients, float* scratch) {
  const int64_t L = shape.time.length, all = shape.heads * L;
  std::fill(scratch, scratch + wkv1_scratch(shape), 0.0f);
  for_heads(shape, k, v, [&](int64_t s, int64_t head, const Wkv1Head& h) {
    const int64_t column = head * h.n, history = s * shape.at.capacity * shape.cols + column;
    float* sums = scratch + s * 3 * all + head * L;  // w, alpha, beta [heads, length] of the sequence
    head_backward(h, L, dy + shape.at.begins[s] * shape.cols + column, at(gradients.k, history),
                  at(gradients.v, history), sums, sums + all, sums + 2 * all);
  });
  float* const to[] = {gradients.time.w, gradients.time.alpha, gradients.time.beta};
  for (int64_t s = 0; s < shape.at.sequences; ++s)
    for (int part = 0; part < 3; ++part)
      if (to[part]) add(scratch + (3 * s + part) * all, all, to[part]);
}

}  // namespace aviary::kernels
#endif
