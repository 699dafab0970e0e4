// How the rules of the optimizer move the numbers of a weight.
#include "base/threads.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/update.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

// old - size * update, with the decay: of every number, or (`cautious`) of those that the update makes
// smaller.
template <class D>
HWY_INLINE hn::Vec<D> moved(D d, hn::Vec<D> old, hn::Vec<D> update, float size, float keep, bool cautious) {
  auto decayed = hn::Mul(old, hn::Set(d, keep));
  if (cautious) decayed = hn::IfThenElse(hn::Ge(hn::Mul(old, update), hn::Zero(d)), decayed, old);
  return hn::NegMulAdd(hn::Set(d, size), update, decayed);
}

// AdamW (Loshchilov and Hutter 2019): decoupled decay, bias-corrected moments. 0 / (0 + epsilon) is 0 for any
// epsilon.
void adam_range(const AdamStep& s, float* weight, float* gradient, float* m, float* v, int64_t count) {
  const float step_size = s.learning_rate / s.correction1;
  const float v_scale = 1.0f / s.correction2;
  const float keep = 1.0f - s.learning_rate * s.weight_decay;
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::Mul(hn::LoadU(d, gradient + i), hn::Set(d, s.gradient_scale));
    const auto m_old = hn::LoadU(d, m + i), v_old = hn::LoadU(d, v + i);
    const auto m_new = hn::MulAdd(hn::Sub(g, m_old), hn::Set(d, 1.0f - s.beta1), m_old);
    const auto v_new =
        hn::MulAdd(hn::Mul(g, g), hn::Set(d, 1.0f - s.beta2), hn::Mul(v_old, hn::Set(d, s.beta2)));
    const auto divisor = hn::Add(hn::Sqrt(hn::Mul(v_new, hn::Set(d, v_scale))), hn::Set(d, s.epsilon));
    const auto update = hn::Div(m_new, divisor);
    hn::StoreU(moved(d, hn::LoadU(d, weight + i), update, step_size, keep, s.cautious), d, weight + i);
    hn::StoreU(m_new, d, m + i);
    hn::StoreU(v_new, d, v + i);
    hn::StoreU(hn::Zero(d), d, gradient + i);
  });
}

// Lion (Chen et al. 2023): the sign of a mean of the gradient and of the average of the earlier ones.
void lion_range(const LionStep& s, float* weight, float* gradient, float* m, int64_t count) {
  const float keep = 1.0f - s.learning_rate * s.weight_decay;
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::Mul(hn::LoadU(d, gradient + i), hn::Set(d, s.gradient_scale));
    const auto m_old = hn::LoadU(d, m + i), change = hn::Sub(g, m_old);
    const auto mean = hn::MulAdd(change, hn::Set(d, 1.0f - s.beta1), m_old);
    const auto sign = hn::IfThenElseZero(hn::Ne(mean, hn::Zero(d)), hn::CopySign(hn::Set(d, 1.0f), mean));
    hn::StoreU(moved(d, hn::LoadU(d, weight + i), sign, s.learning_rate, keep, s.cautious), d, weight + i);
    hn::StoreU(hn::MulAdd(change, hn::Set(d, 1.0f - s.beta2), m_old), d, m + i);
    hn::StoreU(hn::Zero(d), d, gradient + i);
  });
}

void nesterov_range(float keep, float gradient_scale, float* gradient, float* m, int64_t count) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::Mul(hn::LoadU(d, gradient + i), hn::Set(d, gradient_scale));
    const auto m_old = hn::LoadU(d, m + i);
    const auto m_new = hn::MulAdd(hn::Sub(m_old, g), hn::Set(d, keep), g);
    hn::StoreU(m_new, d, m + i);
    hn::StoreU(hn::MulAdd(hn::Sub(m_new, g), hn::Set(d, keep), g), d, gradient + i);
  });
}

void move_range(float* weight, float* direction, float size, float keep, bool cautious, int64_t count) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(moved(d, hn::LoadU(d, weight + i), hn::LoadU(d, direction + i), size, keep, cautious), d,
               weight + i);
    hn::StoreU(hn::Zero(d), d, direction + i);
  });
}

void average_range(float* average, const float* values, float keep, int64_t count) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto value = hn::LoadU(d, values + i);
    hn::StoreU(hn::MulAdd(hn::Sub(hn::LoadU(d, average + i), value), hn::Set(d, keep), value), d,
               average + i);
  });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(adam_range);
HWY_EXPORT(lion_range);
HWY_EXPORT(nesterov_range);
HWY_EXPORT(move_range);
HWY_EXPORT(average_range);

constexpr int64_t grain = 8192;  // elements that justify another thread

}  // namespace

void adam(const AdamStep& step, float* weight, float* gradient, float* m, float* v, int64_t count) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(adam_range)
    (step, weight + begin, gradient + begin, m + begin, v + begin, end - begin);
  });
}

void lion(const LionStep& step, float* weight, float* gradient, float* m, int64_t count) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(lion_range)(step, weight + begin, gradient + begin, m + begin, end - begin);
  });
}

void nesterov(float keep, float gradient_scale, float* gradient, float* m, int64_t count) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(nesterov_range)
    (keep, gradient_scale, gradient + begin, m + begin, end - begin);
  });
}

void move_against(float* weight, float* direction, float size, float keep, bool cautious, int64_t count) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(move_range)(weight + begin, direction + begin, size, keep, cautious, end - begin);
  });
}

void add_to_average(float* average, const float* values, float keep, int64_t count) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(average_range)(average + begin, values + begin, keep, end - begin);
  });
}

}  // namespace aviary::kernels
#endif
