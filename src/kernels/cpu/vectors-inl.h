// Vector loops used by all kernel files, compiled once per instruction set (so no #pragma once).
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#if defined(AVIARY_VECTORS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef AVIARY_VECTORS_INL
#undef AVIARY_VECTORS_INL
#else
#define AVIARY_VECTORS_INL
#endif

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// body(d, i) for i = 0, lanes, 2 * lanes ...; the remaining elements are processed one at a time with the
// same arithmetic.
template <class Body>
HWY_INLINE void for_vectors(int64_t count, Body body) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(d, i);
  const hn::CappedTag<float, 1> one;
  for (; i < count; ++i) body(one, i);
}

template <class D>
HWY_INLINE float sum_of(D d, hn::Vec<D> x) {
  return hn::GetLane(hn::SumOfLanes(d, x));
}

// Sum over i < count of the vectors body(d, i); the order depends only on count.
template <class Body>
HWY_INLINE float sum_vectors(int64_t count, Body body) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    sum0 = hn::Add(sum0, body(d, i));
    sum1 = hn::Add(sum1, body(d, i + lanes));
  }
  for (; i + lanes <= count; i += lanes) sum0 = hn::Add(sum0, body(d, i));
  float sum = sum_of(d, hn::Add(sum0, sum1));
  const hn::CappedTag<float, 1> one;
  for (; i < count; ++i) sum += hn::GetLane(body(one, i));
  return sum;
}

template <class D>
HWY_INLINE hn::Vec<D> sigmoid(D d, hn::Vec<D> x) {
  const auto one = hn::Set(d, 1.0f);
  const auto e = hn::Exp(d, hn::Neg(hn::Abs(x)));  // in (0, 1]: never overflows
  const auto positive = hn::Div(one, hn::Add(one, e));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(e, positive), positive);
}

}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
