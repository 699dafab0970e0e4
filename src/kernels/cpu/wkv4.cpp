// The recurrence of RWKV-4, per channel: a weighted average whose numerator and denominator are stored as aa
// e^pp and bb e^pp, so that no value of k overflows (RWKV paper, arXiv 2305.13048, appendix on numerical
// stability).
#include <cstring>

#include "kernels/cpu/channels.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv4.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

// Channels [0, count) of one sequence; rows are `stride` apart, and so are the three parts of a history row.
void wkv4_channels(int64_t rows, int64_t count, int64_t stride, const float* decay, const float* time_first,
                   const float* k, const float* v, float* aa, float* bb, float* pp, float* y,
                   float* history) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto w = hn::LoadU(d, decay + i), u = hn::LoadU(d, time_first + i);
    auto a = hn::LoadU(d, aa + i), b = hn::LoadU(d, bb + i), p = hn::LoadU(d, pp + i);
    for (int64_t t = 0; t < rows; ++t) {
      const auto kt = hn::LoadU(d, k + t * stride + i), vt = hn::LoadU(d, v + t * stride + i);
      if (history) {
        float* row = history + t * 3 * stride + i;
        hn::StoreU(a, d, row);
        hn::StoreU(b, d, row + stride);
        hn::StoreU(p, d, row + 2 * stride);
      }
      const auto uk = hn::Add(u, kt);
      const auto q = hn::Max(p, uk);
      const auto e1 = hn::Exp(d, hn::Sub(p, q)), e2 = hn::Exp(d, hn::Sub(uk, q));
      const auto numerator = hn::MulAdd(e1, a, hn::Mul(e2, vt));
      const auto denominator = hn::MulAdd(e1, b, e2);
      hn::StoreU(hn::Div(numerator, denominator), d, y + t * stride + i);
      const auto pw = hn::Add(p, w);
      p = hn::Max(pw, kt);
      const auto f1 = hn::Exp(d, hn::Sub(pw, p)), f2 = hn::Exp(d, hn::Sub(kt, p));
      a = hn::MulAdd(f1, a, hn::Mul(f2, vt));
      b = hn::MulAdd(f1, b, f2);
    }
    hn::StoreU(a, d, aa + i);
    hn::StoreU(b, d, bb + i);
    hn::StoreU(p, d, pp + i);
  });
}

// ga, gb: gradient of aa, bb of the last state on entry, of the first on return. All exponents are <= 0.
void wkv4_channels_backward(int64_t rows, int64_t count, int64_t stride, const float* decay,
                            const float* time_first, const float* k, const float* v, const float* history,
                            const float* dy, float* ga_row, float* gb_row, float* ddecay, float* dtime_first,
                            float* dk, float* dv) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto w = hn::LoadU(d, decay + i), u = hn::LoadU(d, time_first + i);
    auto ga = hn::LoadU(d, ga_row + i), gb = hn::LoadU(d, gb_row + i);
    auto dw = hn::Zero(d), du = hn::Zero(d);
    for (int64_t t = rows - 1; t >= 0; --t) {
      const auto kt = hn::LoadU(d, k + t * stride + i), vt = hn::LoadU(d, v + t * stride + i);
      const float* row = history + t * 3 * stride + i;
      const auto a = hn::LoadU(d, row), b = hn::LoadU(d, row + stride), p = hn::LoadU(d, row + 2 * stride);
      const auto uk = hn::Add(u, kt);
      const auto q = hn::Max(p, uk);
      const auto e1 = hn::Exp(d, hn::Sub(p, q)), e2 = hn::Exp(d, hn::Sub(uk, q));
      const auto numerator = hn::MulAdd(e1, a, hn::Mul(e2, vt));
      const auto denominator = hn::MulAdd(e1, b, e2);
      const auto dnum = hn::Div(hn::LoadU(d, dy + t * stride + i), denominator);
      const auto dden = hn::Neg(hn::Mul(dnum, hn::Div(numerator, denominator)));
      const auto pw = hn::Add(p, w);
      const auto next_p = hn::Max(pw, kt);
      const auto f1 = hn::Exp(d, hn::Sub(pw, next_p)), f2 = hn::Exp(d, hn::Sub(kt, next_p));

      const auto bonus = hn::Mul(e2, hn::MulAdd(vt, dnum, dden));
      du = hn::Add(du, bonus);
      dw = hn::MulAdd(f1, hn::MulAdd(a, ga, hn::Mul(b, gb)), dw);
      if (dk) {
        const auto total = hn::MulAdd(f2, hn::MulAdd(vt, ga, gb), bonus);
        hn::StoreU(hn::Add(hn::LoadU(d, dk + t * stride + i), total), d, dk + t * stride + i);
      }
      if (dv) {
        const auto total = hn::MulAdd(e2, dnum, hn::Mul(f2, ga));
        hn::StoreU(hn::Add(hn::LoadU(d, dv + t * stride + i), total), d, dv + t * stride + i);
      }
      ga = hn::MulAdd(f1, ga, hn::Mul(e1, dnum));
      gb = hn::MulAdd(f1, gb, hn::Mul(e1, dden));
    }
    hn::StoreU(ga, d, ga_row + i);
    hn::StoreU(gb, d, gb_row + i);
    hn::StoreU(dw, d, ddecay + i);
    hn::StoreU(du, d, dtime_first + i);
  });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(wkv4_channels);
HWY_EXPORT(wkv4_channels_backward);

}  // namespace

void wkv4(const Wkv4& shape, const float* decay, const float* time_first, const float* k, const float* v,
          const ConstPlaces state[3], float* y, const Places next_state[3], float* history) {
  const int64_t cols = shape.cols;
  for (int part = 0; part < 3; ++part) copy_states(state[part], shape.sequences, cols, next_state[part]);
  for_channel_blocks(shape.sequences, cols, [&](int64_t s, int64_t c, int64_t count) {
    const int64_t begin = shape.begins[s], at = begin * cols + c;
    HWY_DYNAMIC_DISPATCH(wkv4_channels)
    (shape.begins[s + 1] - begin, count, cols, decay + c, time_first + c, k + at, v + at,
     next_state[0][s] + c, next_state[1][s] + c, next_state[2][s] + c, y + at,
     history ? history + begin * 3 * cols + c : nullptr);
  });
}

void wkv4_backward(const Wkv4& shape, const float* decay, const float* time_first, const float* k,
                   const float* v, const float* history, const float* dy, const float* const dnext_state[2],
                   float* ddecay, float* dtime_first, float* dk, float* dv, float* const dstate[3],
                   float* scratch) {
  const int64_t cols = shape.cols;
  for_channel_blocks(shape.sequences, cols, [&](int64_t s, int64_t c, int64_t count) {
    const int64_t begin = shape.begins[s], at = begin * cols + c, own = s * cols + c;
    float ga[channel_block] = {}, gb[channel_block] = {};
    const size_t bytes = static_cast<size_t>(count) * sizeof(float);
    if (dnext_state[0]) std::memcpy(ga, dnext_state[0] + own, bytes);
    if (dnext_state[1]) std::memcpy(gb, dnext_state[1] + own, bytes);
    const float* kept = history + begin * 3 * cols + c;
    HWY_DYNAMIC_DISPATCH(wkv4_channels_backward)
    (shape.begins[s + 1] - begin, count, cols, decay + c, time_first + c, k + at, v + at, kept, dy + at, ga,
     gb, scratch + s * 2 * cols + c, scratch + (s * 2 + 1) * cols + c, dk ? dk + at : nullptr,
     dv ? dv + at : nullptr);
    for (int64_t i = 0; i < count; ++i) {
      if (dstate[0]) dstate[0][own + i] += ga[i];
      if (dstate[1]) dstate[1][own + i] += gb[i];
      // The state stands for aa e^pp and bb e^pp, so a change of pp scales both.
      if (dstate[2]) dstate[2][own + i] += kept[i] * ga[i] + kept[cols + i] * gb[i];
    }
  });
  for (int64_t s = 0; s < shape.sequences; ++s)
    for (int64_t i = 0; i < cols; ++i) {
      if (ddecay) ddecay[i] += scratch[s * 2 * cols + i];
      if (dtime_first) dtime_first[i] += scratch[(s * 2 + 1) * cols + i];
    }
}

}  // namespace aviary::kernels
#endif
