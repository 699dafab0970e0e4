// The recurrence of RWKV-7: a state per head, S [key j, value i], changed by a generalized delta rule at
// every token.
//   sa_i = sum_j S_ji a_j;  S_ji = S_ji decay_j + sa_i b_j + v_i k_j;  y_i = sum_j S_ji r_j;  decay =
//   exp(-e^-1/2 sigmoid(w))
// Vectors run along i, so no sum crosses lanes on the way forward. The backward pass keeps the state every
// wkv_chunk rows, recomputes the states between, and walks back (RWKV-7 "Goose", arXiv 2503.14456, appendix
// on the kernels).
#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "kernels/cpu/scratch.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {

constexpr float decay_scale = -0.6065306597126334f;  // -exp(-1/2)

HWY_INLINE void decays(const float* w, int64_t n, float* decay) {
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto gate = sigmoid(d, hn::LoadU(d, w + i));
    hn::StoreU(hn::Exp(d, hn::Mul(hn::Set(d, decay_scale), gate)), d, decay + i);
  });
}

// One token: from -> to (which may be the same memory), y, and, when wanted, sa. `blocks` vectors of i at a
// time.
template <int blocks, class D>
HWY_INLINE void step_columns(D d, int64_t n, int64_t i, const float* decay, const float* r, const float* k,
                             const float* v, const float* a, const float* b, const float* from, float* to,
                             float* y, float* sa_out) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  using V = hn::Vec<D>;
  V sa[blocks], out[blocks], value[blocks];
  for (int c = 0; c < blocks; ++c) {
    sa[c] = out[c] = hn::Zero(d);
    value[c] = hn::LoadU(d, v + i + c * lanes);
  }
  for (int64_t j = 0; j < n; ++j) {
    const V aj = hn::Set(d, a[j]);
    for (int c = 0; c < blocks; ++c)
      sa[c] = hn::MulAdd(hn::LoadU(d, from + j * n + i + c * lanes), aj, sa[c]);
  }
  for (int64_t j = 0; j < n; ++j) {
    const V decay_j = hn::Set(d, decay[j]), bj = hn::Set(d, b[j]), kj = hn::Set(d, k[j]),
            rj = hn::Set(d, r[j]);
    for (int c = 0; c < blocks; ++c) {
      V s = hn::Mul(hn::LoadU(d, from + j * n + i + c * lanes), decay_j);
      s = hn::MulAdd(value[c], kj, hn::MulAdd(sa[c], bj, s));
      hn::StoreU(s, d, to + j * n + i + c * lanes);
      out[c] = hn::MulAdd(s, rj, out[c]);
    }
  }
  for (int c = 0; c < blocks; ++c) {
    if (y) hn::StoreU(out[c], d, y + i + c * lanes);
    if (sa_out) hn::StoreU(sa[c], d, sa_out + i + c * lanes);
  }
}

HWY_INLINE void step(int64_t n, const float* decay, const float* r, const float* k, const float* v,
                     const float* a, const float* b, const float* from, float* to, float* y, float* sa) {
  const hn::CappedTag<float, 16> wide;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(wide));
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes)
    step_columns<2>(wide, n, i, decay, r, k, v, a, b, from, to, y, sa);
  for (; i + lanes <= n; i += lanes) step_columns<1>(wide, n, i, decay, r, k, v, a, b, from, to, y, sa);
  const hn::CappedTag<float, 8> narrow;
  const int64_t few = static_cast<int64_t>(hn::Lanes(narrow));
  for (; i < n; i += few) step_columns<1>(narrow, n, i, decay, r, k, v, a, b, from, to, y, sa);
}

// Rows [0, rows) of one head; pointers are at its first element, rows are `stride` apart. state changes in
// place; kept gets the state before every wkv_chunk-th row, `kept_stride` apart.
void wkv7_head(int64_t rows, int64_t n, int64_t stride, const Wkv7Inputs& in, float* state, float* y,
               float* kept, int64_t kept_stride) {
  HWY_ALIGN float decay[wkv_max_head_size];
  for (int64_t t = 0; t < rows; ++t) {
    if (kept && t % wkv_chunk == 0)
      std::memcpy(kept + t / wkv_chunk * kept_stride, state, static_cast<size_t>(n * n) * sizeof(float));
    const int64_t at = t * stride;
    decays(in.w + at, n, decay);
    step(n, decay, in.r + at, in.k + at, in.v + at, in.a + at, in.b + at, state, state, y + at, nullptr);
  }
}

// One token backward. dstate: gradient of the state after it on entry, before it on return.
template <class D>
HWY_INLINE void step_backward(D d, int64_t n, const float* decay, const float* r, const float* k,
                              const float* v, const float* a, const float* b, const float* before,
                              const float* after, const float* sa, const float* dy, float* dstate, float* dr,
                              float* ddecay, float* dk, float* dv, float* da, float* db) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN float dsa[wkv_max_head_size];
  HWY_ALIGN float dvalue[wkv_max_head_size];
  std::fill(dsa, dsa + n, 0.0f);
  std::fill(dvalue, dvalue + n, 0.0f);
  for (int64_t j = 0; j < n; ++j) {
    const auto rj = hn::Set(d, r[j]), kj = hn::Set(d, k[j]), bj = hn::Set(d, b[j]);
    auto sum_r = hn::Zero(d), sum_w = hn::Zero(d), sum_k = hn::Zero(d), sum_b = hn::Zero(d);
    const int64_t row = j * n;
    for (int64_t i = 0; i < n; i += lanes) {
      const auto g_out = hn::LoadU(d, dy + i);
      const auto ds = hn::MulAdd(rj, g_out, hn::LoadU(d, dstate + row + i));
      hn::StoreU(ds, d, dstate + row + i);
      sum_r = hn::MulAdd(hn::LoadU(d, after + row + i), g_out, sum_r);
      sum_w = hn::MulAdd(hn::LoadU(d, before + row + i), ds, sum_w);
      sum_k = hn::MulAdd(hn::LoadU(d, v + i), ds, sum_k);
      sum_b = hn::MulAdd(hn::LoadU(d, sa + i), ds, sum_b);
      hn::Store(hn::MulAdd(ds, bj, hn::Load(d, dsa + i)), d, dsa + i);
      hn::Store(hn::MulAdd(ds, kj, hn::Load(d, dvalue + i)), d, dvalue + i);
    }
    dr[j] += sum_of(d, sum_r);
    ddecay[j] = sum_of(d, sum_w);
    dk[j] += sum_of(d, sum_k);
    db[j] += sum_of(d, sum_b);
  }
  for (int64_t j = 0; j < n; ++j) {
    const auto aj = hn::Set(d, a[j]), decay_j = hn::Set(d, decay[j]);
    auto sum_a = hn::Zero(d);
    const int64_t row = j * n;
    for (int64_t i = 0; i < n; i += lanes) {
      const auto g = hn::Load(d, dsa + i);
      sum_a = hn::MulAdd(hn::LoadU(d, before + row + i), g, sum_a);
      hn::StoreU(hn::MulAdd(g, aj, hn::Mul(hn::LoadU(d, dstate + row + i), decay_j)), d, dstate + row + i);
    }
    da[j] += sum_of(d, sum_a);
  }
  for (int64_t i = 0; i < n; i += lanes)
    hn::StoreU(hn::Add(hn::LoadU(d, dv + i), hn::Load(d, dvalue + i)), d, dv + i);
}

// One head of one sequence. dstate [n, n]: gradient of the last state on entry, of the first on return.
// history [wkv_chunk + 1, n, n] is working memory.
void wkv7_head_backward(int64_t rows, int64_t n, int64_t stride, const Wkv7Inputs& in, const float* kept,
                        int64_t kept_stride, const float* dy, const Wkv7Gradients& g, float* dstate,
                        float* history) {
  HWY_ALIGN float decay[wkv_chunk * wkv_max_head_size];
  HWY_ALIGN float sa[wkv_chunk * wkv_max_head_size];
  HWY_ALIGN float ddecay[wkv_max_head_size];
  for (int64_t chunk = (rows - 1) / wkv_chunk; chunk >= 0; --chunk) {
    const int64_t begin = chunk * wkv_chunk, end = std::min(rows, begin + wkv_chunk);
    std::memcpy(history, kept + chunk * kept_stride, static_cast<size_t>(n * n) * sizeof(float));
    for (int64_t t = begin; t < end; ++t) {
      const int64_t at = t * stride, local = t - begin;
      decays(in.w + at, n, decay + local * n);
      step(n, decay + local * n, in.r + at, in.k + at, in.v + at, in.a + at, in.b + at,
           history + local * n * n, history + (local + 1) * n * n, nullptr, sa + local * n);
    }
    for (int64_t t = end - 1; t >= begin; --t) {
      const int64_t at = t * stride, local = t - begin;
      const float* decay_t = decay + local * n;
      const float* before = history + local * n * n;
      auto run = [&](auto d) HWY_ATTR {
        step_backward(d, n, decay_t, in.r + at, in.k + at, in.v + at, in.a + at, in.b + at, before,
                      before + n * n, sa + local * n, dy + at, dstate, g.r + at, ddecay, g.k + at, g.v + at,
                      g.a + at, g.b + at);
      };
      if (n % 16 == 0)
        run(hn::CappedTag<float, 16>());
      else
        run(hn::CappedTag<float, 8>());
      for_vectors(n, [&](auto d, int64_t j) HWY_ATTR {  // decay = exp(c s), s = sigmoid(w): c s (1 - s) decay
        const auto gate = sigmoid(d, hn::LoadU(d, in.w + at + j));
        const auto slope = hn::Mul(hn::Set(d, decay_scale), hn::NegMulAdd(gate, gate, gate));
        const auto dw = hn::Mul(hn::Mul(slope, hn::LoadU(d, decay_t + j)), hn::LoadU(d, ddecay + j));
        hn::StoreU(hn::Add(hn::LoadU(d, g.w + at + j), dw), d, g.w + at + j);
      });
    }
  }
}

}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(wkv7_head);
HWY_EXPORT(wkv7_head_backward);

int64_t chunks(int64_t rows) { return (rows + wkv_chunk - 1) / wkv_chunk; }

Wkv7Inputs at(const Wkv7Inputs& in, int64_t i) {
  return {in.r + i, in.w + i, in.k + i, in.v + i, in.a + i, in.b + i};
}

Wkv7Gradients at(const Wkv7Gradients& g, int64_t i) {
  return {g.r + i, g.w + i, g.k + i, g.v + i, g.a + i, g.b + i};
}

}  // namespace

int64_t wkv_checkpoints(const int64_t* begins, int64_t sequences) {
  int64_t count = 0;
  for (int64_t s = 0; s < sequences; ++s) count += chunks(begins[s + 1] - begins[s]);
  return count;
}

void wkv7(const Wkv7& shape, const Wkv7Inputs& in, const float* state, float* y, float* next_state,
          float* checkpoints) {
  const int64_t n = shape.head_size, stride = shape.heads * n, whole = stride * n;
  if (state != next_state)
    std::memcpy(next_state, state, static_cast<size_t>(shape.sequences * whole) * sizeof(float));
  parallel_for(shape.sequences * shape.heads, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t s = task / shape.heads, head = task % shape.heads;
      const int64_t begin = shape.begins[s], offset = begin * stride + head * n;
      float* kept =
          checkpoints ? checkpoints + wkv_checkpoints(shape.begins, s) * whole + head * n * n : nullptr;
      HWY_DYNAMIC_DISPATCH(wkv7_head)
      (shape.begins[s + 1] - begin, n, stride, at(in, offset), next_state + task * n * n, y + offset, kept,
       whole);
    }
  });
}

void wkv7_backward(const Wkv7& shape, const Wkv7Inputs& in, const float* checkpoints, const float* dy,
                   const float* dnext_state, const Wkv7Gradients& gradients, float* dstate) {
  const int64_t n = shape.head_size, stride = shape.heads * n, whole = stride * n;
  parallel_for(shape.sequences * shape.heads, 1, [&](int64_t first, int64_t last) {
    thread_local AlignedScratch scratch;
    float* history = scratch.floats((wkv_chunk + 2) * n * n);
    float* running = history + (wkv_chunk + 1) * n * n;
    for (int64_t task = first; task < last; ++task) {
      const int64_t s = task / shape.heads, head = task % shape.heads;
      const int64_t begin = shape.begins[s], offset = begin * stride + head * n;
      if (dnext_state)
        std::memcpy(running, dnext_state + task * n * n, static_cast<size_t>(n * n) * sizeof(float));
      else
        std::fill(running, running + n * n, 0.0f);
      HWY_DYNAMIC_DISPATCH(wkv7_head_backward)
      (shape.begins[s + 1] - begin, n, stride, at(in, offset),
       checkpoints + wkv_checkpoints(shape.begins, s) * whole + head * n * n, whole, dy + offset,
       at(gradients, offset), running, history);
      if (dstate)
        for (int64_t i = 0; i < n * n; ++i) dstate[task * n * n + i] += running[i];
    }
  });
}

}  // namespace aviary::kernels
#endif
