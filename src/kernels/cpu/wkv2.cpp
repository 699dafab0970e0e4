// The recurrence of RWKV-2 and 3, per channel: a weighted average whose numerator and denominator are stored
// without scaling. Keys are clamped to at most 60, so that sums of e^k stay far below the largest float.
#include <cstring>

#include "kernels/cpu/channels.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv2.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

// Channels [0, count) of one sequence; rows are `stride` apart, and so are the two parts of a history row.
void wkv2_channels(int64_t rows, int64_t count, int64_t stride, float epsilon, const float* decay,
                   const float* first, const float* k, const float* v, float* aa, float* bb, float* y,
                   float* history) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto w = hn::LoadU(d, decay + i), u = hn::LoadU(d, first + i);
    auto a = hn::LoadU(d, aa + i), b = hn::LoadU(d, bb + i);
    for (int64_t t = 0; t < rows; ++t) {
      if (history) {
        hn::StoreU(a, d, history + t * 2 * stride + i);
        hn::StoreU(b, d, history + (t * 2 + 1) * stride + i);
      }
      const auto kt = hn::LoadU(d, k + t * stride + i);
      const auto weight = hn::Exp(d, hn::Min(kt, hn::Set(d, wkv2_largest_key)));
      const auto value = hn::Mul(weight, hn::LoadU(d, v + t * stride + i));
      const auto denominator = hn::Add(hn::MulAdd(u, weight, b), hn::Set(d, epsilon));
      hn::StoreU(hn::Div(hn::MulAdd(u, value, a), denominator), d, y + t * stride + i);
      a = hn::MulAdd(w, a, value);
      b = hn::MulAdd(w, b, weight);
    }
    hn::StoreU(a, d, aa + i);
    hn::StoreU(b, d, bb + i);
  });
}

// ga, gb: gradient of aa, bb of the last state on entry, of the first on return.
void wkv2_channels_backward(int64_t rows, int64_t count, int64_t stride, float epsilon, const float* decay,
                            const float* first, const float* k, const float* v, const float* history,
                            const float* dy, float* ga_row, float* gb_row, float* ddecay, float* dfirst,
                            float* dk, float* dv) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto w = hn::LoadU(d, decay + i), u = hn::LoadU(d, first + i);
    const auto largest = hn::Set(d, wkv2_largest_key);
    auto ga = hn::LoadU(d, ga_row + i), gb = hn::LoadU(d, gb_row + i);
    auto dw = hn::Zero(d), du = hn::Zero(d);
    for (int64_t t = rows - 1; t >= 0; --t) {
      const auto kt = hn::LoadU(d, k + t * stride + i), vt = hn::LoadU(d, v + t * stride + i);
      const auto a = hn::LoadU(d, history + t * 2 * stride + i);
      const auto b = hn::LoadU(d, history + (t * 2 + 1) * stride + i);
      const auto weight = hn::Exp(d, hn::Min(kt, largest));
      const auto numerator = hn::MulAdd(u, hn::Mul(weight, vt), a);
      const auto denominator = hn::Add(hn::MulAdd(u, weight, b), hn::Set(d, epsilon));
      const auto dnum = hn::Div(hn::LoadU(d, dy + t * stride + i), denominator);
      const auto dden = hn::Neg(hn::Mul(dnum, hn::Div(numerator, denominator)));

      const auto bonus = hn::MulAdd(vt, dnum, dden);
      du = hn::MulAdd(weight, bonus, du);
      dw = hn::Add(dw, hn::MulAdd(a, ga, hn::Mul(b, gb)));
      if (dk) {
        const auto total = hn::Mul(weight, hn::MulAdd(u, bonus, hn::MulAdd(vt, ga, gb)));
        const auto passed = hn::IfThenElseZero(hn::Le(kt, largest), total);
        hn::StoreU(hn::Add(hn::LoadU(d, dk + t * stride + i), passed), d, dk + t * stride + i);
      }
      if (dv) {
        const auto total = hn::Mul(weight, hn::MulAdd(u, dnum, ga));
        hn::StoreU(hn::Add(hn::LoadU(d, dv + t * stride + i), total), d, dv + t * stride + i);
      }
      ga = hn::MulAdd(w, ga, dnum);
      gb = hn::MulAdd(w, gb, dden);
    }
    hn::StoreU(ga, d, ga_row + i);
    hn::StoreU(gb, d, gb_row + i);
    hn::StoreU(dw, d, ddecay + i);
    hn::StoreU(du, d, dfirst + i);
  });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(wkv2_channels);
HWY_EXPORT(wkv2_channels_backward);

}  // namespace

void wkv2(const Wkv2& shape, const float* decay, const float* first, const float* k, const float* v,
          const ConstPlaces state[2], float* y, const Places next_state[2], float* history) {
  const int64_t cols = shape.cols;
  for (int part = 0; part < 2; ++part) copy_states(state[part], shape.sequences, cols, next_state[part]);
  for_channel_blocks(shape.sequences, cols, [&](int64_t s, int64_t c, int64_t count) {
    const int64_t begin = shape.begins[s], at = begin * cols + c;
    HWY_DYNAMIC_DISPATCH(wkv2_channels)
    (shape.begins[s + 1] - begin, count, cols, shape.epsilon, decay + c, first + c, k + at, v + at,
     next_state[0][s] + c, next_state[1][s] + c, y + at, history ? history + begin * 2 * cols + c : nullptr);
  });
}

void wkv2_backward(const Wkv2& shape, const float* decay, const float* first, const float* k, const float* v,
                   const float* history, const float* dy, const float* const dnext_state[2], float* dvectors,
                   float* dk, float* dv, float* const dstate[2], float* scratch) {
  const int64_t cols = shape.cols;
  for_channel_blocks(shape.sequences, cols, [&](int64_t s, int64_t c, int64_t count) {
    const int64_t begin = shape.begins[s], at = begin * cols + c, own = s * cols + c;
    float gradients[2][channel_block] = {};
    for (int part = 0; part < 2; ++part)
      if (dnext_state[part])
        std::memcpy(gradients[part], dnext_state[part] + own, static_cast<size_t>(count) * sizeof(float));
    HWY_DYNAMIC_DISPATCH(wkv2_channels_backward)
    (shape.begins[s + 1] - begin, count, cols, shape.epsilon, decay + c, first + c, k + at, v + at,
     history + begin * 2 * cols + c, dy + at, gradients[0], gradients[1], scratch + s * 2 * cols + c,
     scratch + (s * 2 + 1) * cols + c, dk ? dk + at : nullptr, dv ? dv + at : nullptr);
    for (int part = 0; part < 2; ++part)
      for (int64_t i = 0; dstate[part] && i < count; ++i) dstate[part][own + i] += gradients[part][i];
  });
  for (int64_t s = 0; s < shape.sequences; ++s)
    for (int64_t i = 0; i < 2 * cols; ++i) dvectors[i] += scratch[s * 2 * cols + i];
}

}  // namespace aviary::kernels
#endif
