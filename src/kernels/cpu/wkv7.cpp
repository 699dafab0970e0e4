// The recurrence of RWKV-7: a state per head, S [key j, value i], changed by a generalized delta rule at
// every token.
//   sa_i = sum_j S_ji a_j;  S_ji = S_ji decay_j + sa_i b_j + v_i k_j;  y_i = sum_j S_ji r_j
//   decay = exp(-e^-1/2 sigmoid(w))
// Vectors run along i, so no sum crosses lanes in the forward pass. It keeps the state every wkv_chunk rows;
// the backward pass recomputes the states between, chunk by chunk from the end (RWKV-7 "Goose", arXiv
// 2503.14456, appendix on the kernels).
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/threads.h"
#include "kernels/cpu/channels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/wkv_chunks.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

constexpr float decay_scale = -0.6065306597126334f;  // -exp(-1/2)

// decay = exp(c s) with s = sigmoid(w), and, if requested, its derivative c s (1 - s) decay.
HWY_INLINE void decays(const float* w, int64_t n, float* decay, float* slope) {
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto gate = sigmoid(d, hn::LoadU(d, w + i)), scale = hn::Set(d, decay_scale);
    const auto value = hn::Exp(d, hn::Mul(scale, gate));
    hn::StoreU(value, d, decay + i);
    if (slope) hn::StoreU(hn::Mul(hn::Mul(scale, hn::NegMulAdd(gate, gate, gate)), value), d, slope + i);
  });
}

// body(tag, vectors, i) for all columns i of a head: `vectors` of the tag at a time, at most `most` (2 or 4).
template <int most, class Body>
HWY_INLINE void for_columns(int64_t n, Body body) {
  const hn::CappedTag<float, 16> wide;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(wide));
  int64_t i = 0;
  for (; i + most * lanes <= n; i += most * lanes) body(wide, std::integral_constant<int, most>(), i);
  for (; i + 2 * lanes <= n; i += 2 * lanes) body(wide, std::integral_constant<int, 2>(), i);
  for (; i + lanes <= n; i += lanes) body(wide, std::integral_constant<int, 1>(), i);
  const hn::CappedTag<float, 8> narrow;
  for (; i < n; i += static_cast<int64_t>(hn::Lanes(narrow)))
    body(narrow, std::integral_constant<int, 1>(), i);
}

// One token, some columns: from -> to (which may be the same memory). On entry `sa` is that of this token; on
// return, if `next_a` is given, that of the next token. The same columns of the state at `ahead` are
// prefetched, unless it is null.
template <int vectors, bool more, class D, class V>
HWY_INLINE void token_columns(D d, int64_t n, const float* decay, const Wkv7Inputs& in, const float* next_a,
                              const V (&value)[vectors], const float* from, float* to, const float* ahead,
                              V (&sa)[vectors], V (&out)[vectors]) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  V next_sa[vectors];
  for (int c = 0; c < vectors; ++c) next_sa[c] = out[c] = hn::Zero(d);
  for (int64_t j = 0; j < n; ++j) {
    const V decay_j = hn::Set(d, decay[j]), bj = hn::Set(d, in.b[j]), kj = hn::Set(d, in.k[j]),
            rj = hn::Set(d, in.r[j]), aj = more ? hn::Set(d, next_a[j]) : hn::Zero(d);
    for (int c = 0; ahead && c < vectors; ++c) __builtin_prefetch(ahead + j * n + c * lanes);
    for (int c = 0; c < vectors; ++c) {
      V s = hn::Mul(hn::LoadU(d, from + j * n + c * lanes), decay_j);
      s = hn::MulAdd(value[c], kj, hn::MulAdd(sa[c], bj, s));
      hn::StoreU(s, d, to + j * n + c * lanes);
      out[c] = hn::MulAdd(s, rj, out[c]);
      if constexpr (more) next_sa[c] = hn::MulAdd(s, aj, next_sa[c]);
    }
  }
  for (int c = 0; more && c < vectors; ++c) sa[c] = next_sa[c];
}

// Prefetches the vectors of a token into the first-level cache: rows are too far apart for the hardware
// prefetcher.
HWY_INLINE void fetch(const Wkv7Inputs& token, int64_t n) {
  for (const float* vector : {token.r, token.k, token.v, token.a, token.b})
    for (int64_t j = 0; j < n; j += 16) __builtin_prefetch(vector + j);
}

// `rows` tokens, some columns: every number of the state is read once per token. If `output`, the state
// changes in place and result is y. Otherwise the state after token t becomes state [t + 1], result is sa.
template <int vectors, bool output, class D>
HWY_INLINE void columns(D d, int64_t rows, int64_t n, int64_t stride, const float* decay, Wkv7Inputs in,
                        float* state, const float* ahead, float* result, int64_t result_stride) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  using V = hn::Vec<D>;
  V sa[vectors], out[vectors], value[vectors];
  for (int c = 0; c < vectors; ++c) sa[c] = hn::Zero(d);
  for (int64_t j = 0; j < n; ++j) {
    const V aj = hn::Set(d, in.a[j]);
    for (int c = 0; c < vectors; ++c) sa[c] = hn::MulAdd(hn::LoadU(d, state + j * n + c * lanes), aj, sa[c]);
  }
  for (int64_t t = 0; t < rows; ++t) {
    float* to = output ? state : state + n * n;
    if (t + 2 < rows) fetch(in.at(2 * stride), n);
    for (int c = 0; c < vectors; ++c) {
      value[c] = hn::LoadU(d, in.v + c * lanes);
      if constexpr (!output) hn::StoreU(sa[c], d, result + c * lanes);
    }
    if (t + 1 < rows)
      token_columns<vectors, true>(d, n, decay, in, in.a + stride, value, state, to, nullptr, sa, out);
    else
      token_columns<vectors, false>(d, n, decay, in, nullptr, value, state, to, ahead, sa, out);
    for (int c = 0; output && c < vectors; ++c) hn::StoreU(out[c], d, result + c * lanes);
    in = in.at(stride), decay += n, state = to, result += result_stride;
  }
}

// Vectors of i whose sums fit into the registers.
constexpr int vectors_forward = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 ? 2 : 4,
              vectors_backward = 4;

template <bool output>
HWY_INLINE void run_rows(int64_t rows, int64_t n, int64_t stride, const float* decay, const Wkv7Inputs& in,
                         float* state, const float* ahead, float* result, int64_t result_stride) {
  for_columns<vectors_forward>(n, [&](auto d, auto vectors, int64_t i) HWY_ATTR {
    Wkv7Inputs at = in;
    at.v += i;
    columns<vectors(), output>(d, rows, n, stride, decay, at, state + i, ahead ? ahead + i : nullptr,
                               result + i, result_stride);
  });
}

// Rows [0, rows) of one head; pointers are at its first element, rows are `stride` apart. state changes in
// place; kept receives the state before every wkv_chunk-th row, `kept_stride` apart. `ahead` is the state of
// the head that comes next, or null: it is fetched from memory while this one is computed.
void wkv7_head(int64_t rows, int64_t n, int64_t stride, const Wkv7Inputs& in, float* state,
               const float* ahead, float* y, float* kept, int64_t kept_stride) {
  HWY_ALIGN float decay[wkv_chunk * wkv_max_head_size];
  for (int64_t begin = 0; begin < rows; begin += wkv_chunk) {
    if (kept)
      std::memcpy(kept + begin / wkv_chunk * kept_stride, state, static_cast<size_t>(n * n) * sizeof(float));
    const int64_t count = std::min(wkv_chunk, rows - begin), at = begin * stride;
    for (int64_t t = 0; t < count; ++t) decays(in.w + at + t * stride, n, decay + t * n, nullptr);
    run_rows<true>(count, n, stride, decay, in.at(at), state, begin + count == rows ? ahead : nullptr, y + at,
                   stride);
  }
}

#if HWY_TARGET == HWY_SCALAR
template <class D>
HWY_INLINE void add_sums(D, hn::Vec<D> s0, hn::Vec<D> s1, hn::Vec<D> s2, hn::Vec<D> s3, float* x) {
  x[0] += hn::GetLane(s0), x[1] += hn::GetLane(s1), x[2] += hn::GetLane(s2), x[3] += hn::GetLane(s3);
}
#else
// x[0..3] += the sum over the 128-bit blocks
template <class D>
HWY_INLINE void add_blocks(D d, hn::Vec<D> blocks, float* x) {
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    add_blocks(half, hn::Add(hn::LowerHalf(half, blocks), hn::UpperHalf(half, blocks)), x);
  } else {
    hn::StoreU(hn::Add(hn::LoadU(d, x), blocks), d, x);
  }
}

// x[0..3] += the sums over the lanes of s0, s1, s2, s3
template <class D>
HWY_INLINE void add_sums(D d, hn::Vec<D> s0, hn::Vec<D> s1, hn::Vec<D> s2, hn::Vec<D> s3, float* x) {
  const hn::Repartition<double, D> pairs;
  const auto low =
      hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, s0, s1), hn::InterleaveUpper(d, s0, s1)));
  const auto high =
      hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, s2, s3), hn::InterleaveUpper(d, s2, s3)));
  add_blocks(d,
             hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, low, high)),
                     hn::BitCast(d, hn::InterleaveUpper(pairs, low, high))),
             x);
}
#endif

// The contributions of a token to the gradients of its vectors along j: [j][dr, ddecay, dk, db], and [j] da.
struct Sums {
  HWY_ALIGN float of_output[4 * wkv_max_head_size];
  HWY_ALIGN float of_sa[wkv_max_head_size];
};

// Backward for one token, some columns. dstate: gradient of the state after the token on entry, before it on
// return.
template <int vectors, class D>
HWY_INLINE void columns_backward(D d, int64_t n, int64_t i, const float* decay, const Wkv7Inputs& in,
                                 const float* before, const float* sa_in, const float* dy_in, float* dstate,
                                 float* dv, Sums& sums) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  using V = hn::Vec<D>;
  const float* after = before + n * n;
  V dy[vectors], value[vectors], sa[vectors], dsa[vectors], dvalue[vectors];
  for (int c = 0; c < vectors; ++c) {
    const int64_t at = i + c * lanes;
    dy[c] = hn::LoadU(d, dy_in + at), value[c] = hn::LoadU(d, in.v + at), sa[c] = hn::LoadU(d, sa_in + at);
    dsa[c] = dvalue[c] = hn::Zero(d);
  }
  for (int64_t j = 0; j < n; ++j) {
    const V rj = hn::Set(d, in.r[j]), kj = hn::Set(d, in.k[j]), bj = hn::Set(d, in.b[j]);
    V sum_r = hn::Zero(d), sum_w = sum_r, sum_k = sum_r, sum_b = sum_r;
    for (int c = 0; c < vectors; ++c) {
      const int64_t at = j * n + i + c * lanes;
      const V ds = hn::MulAdd(rj, dy[c], hn::LoadU(d, dstate + at));
      hn::StoreU(ds, d, dstate + at);
      sum_r = hn::MulAdd(hn::LoadU(d, after + at), dy[c], sum_r);
      sum_w = hn::MulAdd(hn::LoadU(d, before + at), ds, sum_w);
      sum_k = hn::MulAdd(value[c], ds, sum_k);
      sum_b = hn::MulAdd(sa[c], ds, sum_b);
      dsa[c] = hn::MulAdd(ds, bj, dsa[c]);
      dvalue[c] = hn::MulAdd(ds, kj, dvalue[c]);
    }
    add_sums(d, sum_r, sum_w, sum_k, sum_b, sums.of_output + 4 * j);
  }
  for (int64_t j = 0; j < n; j += 4) {
    V sum_a[4];
    for (int row = 0; row < 4; ++row) {
      const V aj = hn::Set(d, in.a[j + row]), decay_j = hn::Set(d, decay[j + row]);
      sum_a[row] = hn::Zero(d);
      for (int c = 0; c < vectors; ++c) {
        const int64_t at = (j + row) * n + i + c * lanes;
        sum_a[row] = hn::MulAdd(hn::LoadU(d, before + at), dsa[c], sum_a[row]);
        hn::StoreU(hn::MulAdd(dsa[c], aj, hn::Mul(hn::LoadU(d, dstate + at), decay_j)), d, dstate + at);
      }
    }
    add_sums(d, sum_a[0], sum_a[1], sum_a[2], sum_a[3], sums.of_sa + j);
  }
  for (int c = 0; c < vectors; ++c) {
    float* to = dv + i + c * lanes;
    hn::StoreU(hn::Add(hn::LoadU(d, to), dvalue[c]), d, to);
  }
}

// Backward for one token; pointers point to its vectors.
HWY_INLINE void step_backward(int64_t n, const float* decay, const float* slope, const Wkv7Inputs& in,
                              const float* before, const float* sa, const float* dy, float* dstate,
                              const Wkv7Gradients& g) {
  Sums sums;
  std::fill_n(sums.of_output, 4 * n, 0.0f);
  std::fill_n(sums.of_sa, n, 0.0f);
  for_columns<vectors_backward>(n, [&](auto d, auto vectors, int64_t i) HWY_ATTR {
    columns_backward<vectors()>(d, n, i, decay, in, before, sa, dy, dstate, g.v, sums);
  });
  const hn::CappedTag<float, 8> d;
  auto add = [&](float* to, auto value) HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, to), value), d, to); };
  for (int64_t j = 0; j < n; j += static_cast<int64_t>(hn::Lanes(d))) {
    hn::Vec<decltype(d)> dr, ddecay, dk, db;
    hn::LoadInterleaved4(d, sums.of_output + 4 * j, dr, ddecay, dk, db);
    add(g.r + j, dr);
    add(g.w + j, hn::Mul(hn::LoadU(d, slope + j), ddecay));
    add(g.k + j, dk);
    add(g.a + j, hn::LoadU(d, sums.of_sa + j));
    add(g.b + j, db);
  }
}

// One head of one sequence. dstate [n, n]: gradient of the last state on entry, of the first on return.
// history [wkv_chunk + 1, n, n] is working memory.
void wkv7_head_backward(int64_t rows, int64_t n, int64_t stride, const Wkv7Inputs& in, const float* kept,
                        int64_t kept_stride, const float* dy, const Wkv7Gradients& g, float* dstate,
                        float* history) {
  HWY_ALIGN float decay[wkv_chunk * wkv_max_head_size];
  HWY_ALIGN float slope[wkv_chunk * wkv_max_head_size];
  HWY_ALIGN float sa[wkv_chunk * wkv_max_head_size];
  for (int64_t chunk = (rows - 1) / wkv_chunk; chunk >= 0; --chunk) {
    const int64_t begin = chunk * wkv_chunk, end = std::min(rows, begin + wkv_chunk);
    std::memcpy(history, kept + chunk * kept_stride, static_cast<size_t>(n * n) * sizeof(float));
    for (int64_t t = begin; t < end; ++t)
      decays(in.w + t * stride, n, decay + (t - begin) * n, slope + (t - begin) * n);
    run_rows<false>(end - begin, n, stride, decay, in.at(begin * stride), history, nullptr, sa, n);
    for (int64_t t = end - 1; t >= begin; --t) {
      const int64_t at = t * stride, local = t - begin;
      step_backward(n, decay + local * n, slope + local * n, in.at(at), history + local * n * n,
                    sa + local * n, dy + at, dstate, g.at(at));
    }
  }
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(wkv7_head);
HWY_EXPORT(wkv7_head_backward);

}  // namespace

int64_t wkv_checkpoints(const int64_t* begins, int64_t sequences) {
  int64_t count = 0;
  for (int64_t s = 0; s < sequences; ++s) count += chunks_of(begins[s + 1] - begins[s]);
  return count;
}

void wkv7(const Wkv7& shape, const Wkv7Inputs& in, ConstPlaces state, float* y, Places next_state,
          float* checkpoints) {
  const int64_t n = shape.head_size, stride = shape.heads * n, whole = stride * n;
  const auto firsts = first_checkpoints(shape.begins, shape.sequences, checkpoints != nullptr);
  copy_states(state, shape.sequences, whole, next_state);
  parallel_for(shape.sequences * shape.heads, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t s = task / shape.heads, head = task % shape.heads;
      const int64_t begin = shape.begins[s], offset = begin * stride + head * n;
      float* kept =
          checkpoints ? checkpoints + firsts[static_cast<size_t>(s)] * whole + head * n * n : nullptr;
      const int64_t next = task + 1;
      const float* ahead =
          next < last ? next_state[next / shape.heads] + next % shape.heads * n * n : nullptr;
      HWY_DYNAMIC_DISPATCH(wkv7_head)
      (shape.begins[s + 1] - begin, n, stride, in.at(offset), next_state[s] + head * n * n, ahead, y + offset,
       kept, whole);
    }
  });
}

void wkv7_backward(const Wkv7& shape, const Wkv7Inputs& in, const float* checkpoints, const float* dy,
                   const float* dnext_state, const Wkv7Gradients& gradients, float* dstate) {
  const int64_t n = shape.head_size, stride = shape.heads * n, whole = stride * n;
  const auto firsts = first_checkpoints(shape.begins, shape.sequences, true);
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
      (shape.begins[s + 1] - begin, n, stride, in.at(offset),
       checkpoints + firsts[static_cast<size_t>(s)] * whole + head * n * n, whole, dy + offset,
       gradients.at(offset), running, history);
      if (dstate)
        for (int64_t i = 0; i < n * n; ++i) dstate[task * n * n + i] += running[i];
    }
  });
}

}  // namespace aviary::kernels
#endif
