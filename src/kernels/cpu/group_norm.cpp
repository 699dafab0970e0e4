// Group norm over the heads of each row, times a gate.
#include <cmath>

#include "kernels/cpu/heads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/group_norm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

struct HeadStatistics {
  float mean, rstd;
};

HWY_INLINE HeadStatistics statistics(int64_t n, const float* x, float epsilon) {
  const float count = static_cast<float>(n);
  const float mean = sum_vectors(n, [&](auto d, int64_t i) HWY_ATTR { return hn::LoadU(d, x + i); }) / count;
  const float variance = sum_vectors(n,
                                     [&](auto d, int64_t i) HWY_ATTR {
                                       const auto centered = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
                                       return hn::Mul(centered, centered);
                                     }) /
                         count;
  return {mean, 1.0f / std::sqrt(variance + epsilon)};
}

template <Gate kind, class D>
HWY_INLINE hn::Vec<D> gate_at(D d, const float* g, int64_t i) {
  if constexpr (kind == Gate::none) return hn::Set(d, 1.0f);
  const auto x = hn::LoadU(d, g + i);
  if constexpr (kind == Gate::silu) return hn::Mul(x, sigmoid(d, x));
  return x;
}

template <Gate kind>
void norm_head_as(int64_t n, const float* x, const float* weight, const float* bias, const float* g,
                  float epsilon, float* y) {
  const HeadStatistics s = statistics(n, x, epsilon);
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, s.mean)), hn::Set(d, s.rstd));
    const auto whole = hn::MulAdd(normed, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i));
    hn::StoreU(hn::Mul(whole, gate_at<kind>(d, g, i)), d, y + i);
  });
}

void norm_head(Gate gate, int64_t n, const float* x, const float* weight, const float* bias, const float* g,
               float epsilon, float* y) {
  if (gate == Gate::silu) return norm_head_as<Gate::silu>(n, x, weight, bias, g, epsilon, y);
  if (gate == Gate::plain) return norm_head_as<Gate::plain>(n, x, weight, bias, g, epsilon, y);
  norm_head_as<Gate::none>(n, x, weight, bias, g, epsilon, y);
}

// With h = dy gate: dx = rstd (h weight - mean(h weight) - n mean(h weight n)); dg = dy whole gate', where
// silu'(g) = s + g s (1 - s).
template <Gate kind>
void norm_head_backward_as(int64_t n, const float* x, const float* weight, const float* bias, const float* g,
                           float epsilon, const float* dy, float* dx, float* dweight, float* dbias,
                           float* dg) {
  const HeadStatistics s = statistics(n, x, epsilon);
  auto normed_at = [&](auto d, int64_t i) HWY_ATTR {
    return hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, s.mean)), hn::Set(d, s.rstd));
  };
  auto before_gate = [&](auto d, int64_t i)
                         HWY_ATTR { return hn::Mul(hn::LoadU(d, dy + i), gate_at<kind>(d, g, i)); };
  const float count = static_cast<float>(n);
  const float mean_h =
      sum_vectors(n, [&](auto d, int64_t i)
                         HWY_ATTR { return hn::Mul(before_gate(d, i), hn::LoadU(d, weight + i)); }) /
      count;
  const float mean_hn =
      sum_vectors(n,
                  [&](auto d, int64_t i) HWY_ATTR {
                    return hn::Mul(hn::Mul(before_gate(d, i), hn::LoadU(d, weight + i)), normed_at(d, i));
                  }) /
      count;
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto h = before_gate(d, i), normed = normed_at(d, i), scale = hn::LoadU(d, weight + i);
    const auto centered =
        hn::NegMulAdd(normed, hn::Set(d, mean_hn), hn::MulSub(h, scale, hn::Set(d, mean_h)));
    hn::StoreU(hn::MulAdd(centered, hn::Set(d, s.rstd), hn::LoadU(d, dx + i)), d, dx + i);
    hn::StoreU(hn::MulAdd(h, normed, hn::LoadU(d, dweight + i)), d, dweight + i);
    hn::StoreU(hn::Add(h, hn::LoadU(d, dbias + i)), d, dbias + i);
    if constexpr (kind == Gate::none) return;
    auto dgate = hn::Mul(hn::LoadU(d, dy + i), hn::MulAdd(normed, scale, hn::LoadU(d, bias + i)));
    if constexpr (kind == Gate::silu) {
      const auto gate = hn::LoadU(d, g + i), share = sigmoid(d, gate);
      dgate = hn::Mul(dgate, hn::MulAdd(hn::Mul(gate, share), hn::Sub(hn::Set(d, 1.0f), share), share));
    }
    hn::StoreU(hn::Add(hn::LoadU(d, dg + i), dgate), d, dg + i);
  });
}

void norm_head_backward(Gate gate, int64_t n, const float* x, const float* weight, const float* bias,
                        const float* g, float epsilon, const float* dy, float* dx, float* dweight,
                        float* dbias, float* dg) {
  if (gate == Gate::silu)
    return norm_head_backward_as<Gate::silu>(n, x, weight, bias, g, epsilon, dy, dx, dweight, dbias, dg);
  if (gate == Gate::plain)
    return norm_head_backward_as<Gate::plain>(n, x, weight, bias, g, epsilon, dy, dx, dweight, dbias, dg);
  norm_head_backward_as<Gate::none>(n, x, weight, bias, g, epsilon, dy, dx, dweight, dbias, dg);
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(norm_head);
HWY_EXPORT(norm_head_backward);

}  // namespace

void group_norm(const Heads& shape, Gate gate, const float* x, const float* weight, const float* bias,
                const float* g, float epsilon, float* y) {
  for_heads(shape, [&](int64_t c, int64_t at) {
    HWY_DYNAMIC_DISPATCH(norm_head)
    (gate, shape.head_size, x + at, weight + c, bias + c, g ? g + at : nullptr, epsilon, y + at);
  });
}

void group_norm_backward(const Heads& shape, Gate gate, const float* x, const float* weight,
                         const float* bias, const float* g, float epsilon, const float* dy, float* dx,
                         float* dweight, float* dbias, float* dg, float* scratch) {
  const int64_t cols = shape.heads * shape.head_size;
  float* const sums[] = {dweight, dbias};
  for_heads_in_blocks(shape, 2, sums, scratch, [&](int64_t c, int64_t at, float* partial) {
    HWY_DYNAMIC_DISPATCH(norm_head_backward)
    (gate, shape.head_size, x + at, weight + c, bias + c, g ? g + at : nullptr, epsilon, dy + at, dx + at,
     partial + c, partial + cols + c, dg ? dg + at : nullptr);
  });
}

}  // namespace aviary::kernels
#endif
