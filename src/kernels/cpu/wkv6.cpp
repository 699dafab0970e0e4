// The recurrence of RWKV-5 and 6 (Eagle and Finch, arXiv 2404.05892): a state per head, S [key j, value i],
// whose rows decay at the rate of their key.
//   y_i = sum_j r_j (S_ji + u_j k_j v_i);  S_ji = d_j S_ji + k_j v_i;  d = exp(-exp(w))
// In the forward pass, vectors run along the values i, so that no sum crosses lanes. In the backward pass
// they run along the keys j, because three of the four sums then stay within their lanes. The state is kept
// every wkv_chunk rows and recomputed for a few values at a time, so that the states of a chunk fit into the
// first-level cache.
#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/wkv_chunks.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv6.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

constexpr int64_t value_block = 4;  // values processed together in the backward pass

// decay = exp(-exp(w)) and, if requested, its derivative. For w above 20 the decay is 0 in float32.
HWY_INLINE void decays(const float* w, int64_t n, float* decay, float* slope) {
  for_vectors(n, [&](auto d, int64_t j) HWY_ATTR {
    const auto rate = hn::Exp(d, hn::Min(hn::Set(d, 20.0f), hn::LoadU(d, w + j)));
    const auto kept = hn::Exp(d, hn::Neg(rate));
    hn::StoreU(kept, d, decay + j);
    if (slope) hn::StoreU(hn::Neg(hn::Mul(rate, kept)), d, slope + j);
  });
}

// sum of r u k
HWY_INLINE float bonus_of(int64_t n, const float* r, const float* u, const float* k) {
  return sum_vectors(n, [&](auto d, int64_t j) HWY_ATTR {
    return hn::Mul(hn::Mul(hn::LoadU(d, r + j), hn::LoadU(d, u + j)), hn::LoadU(d, k + j));
  });
}

// One token: from -> to (which may be the same memory) and y, for `blocks` vectors of values.
template <int blocks, class D>
HWY_INLINE void step_columns(D d, int64_t n, int64_t i, const float* decay, float bonus, const float* r,
                             const float* k, const float* v, const float* from, float* to, float* y) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  using V = hn::Vec<D>;
  V value[blocks], out[blocks];
  for (int b = 0; b < blocks; ++b) {
    value[b] = hn::LoadU(d, v + i + b * lanes);
    out[b] = hn::Mul(value[b], hn::Set(d, bonus));
  }
  for (int64_t j = 0; j < n; ++j) {
    const V decay_j = hn::Set(d, decay[j]), kj = hn::Set(d, k[j]), rj = hn::Set(d, r[j]);
    for (int b = 0; b < blocks; ++b) {
      const int64_t at = j * n + i + b * lanes;
      const V s = hn::LoadU(d, from + at);
      out[b] = hn::MulAdd(s, rj, out[b]);
      hn::StoreU(hn::MulAdd(s, decay_j, hn::Mul(value[b], kj)), d, to + at);
    }
  }
  for (int b = 0; b < blocks; ++b) hn::StoreU(out[b], d, y + i + b * lanes);
}

// Rows [0, rows) of one head; pointers are at its first element, rows are `stride` apart. kept receives the
// state before every wkv_chunk-th row, `kept_stride` apart.
void wkv6_head(int64_t rows, int64_t n, int64_t stride, const Wkv6& shape, const Wkv6Inputs& in,
               const float* state, float* next_state, float* y, float* kept, int64_t kept_stride) {
  HWY_ALIGN float decay[wkv_max_head_size];
  const hn::CappedTag<float, 16> wide;
  const hn::CappedTag<float, 8> narrow;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(wide)), few = static_cast<int64_t>(hn::Lanes(narrow));
  for (int64_t t = 0; t < rows; ++t) {
    const float* from = t == 0 ? state : next_state;
    if (kept && t % wkv_chunk == 0)
      std::memcpy(kept + t / wkv_chunk * kept_stride, from, static_cast<size_t>(n * n) * sizeof(float));
    const int64_t at = t * stride;
    if (t == 0 || !shape.shared_decay) decays(in.w + at, n, decay, nullptr);
    const float *r = in.r + at, *k = in.k + at, *v = in.v + at;
    const float bonus = bonus_of(n, r, in.u, k);
    int64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes)
      step_columns<4>(wide, n, i, decay, bonus, r, k, v, from, next_state, y + at);
    for (; i + lanes <= n; i += lanes)
      step_columns<1>(wide, n, i, decay, bonus, r, k, v, from, next_state, y + at);
    for (; i < n; i += few) step_columns<1>(narrow, n, i, decay, bonus, r, k, v, from, next_state, y + at);
  }
}

// The inputs and outputs of the backward pass for a chunk of one head. Rows of r, k, v, dy, dr, dk, dv are
// `stride` apart; decay and ddecay [rows, n], where decay_stride is 0 if all rows share one decay.
struct ChunkBackward {
  int64_t rows, n, stride, decay_stride;
  const float *r, *k, *v, *decay, *dy, *bonus;  // bonus [rows]: sum of r u k
  float *dr, *dk, *dv, *ddecay;
};

// history [value_block, n] = columns i, i + 1, ... of the state, as rows.
HWY_INLINE void turn_columns(int64_t n, int64_t i, const float* state, float* history) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t j = 0; j < n; ++j)
    for (int64_t b = 0; b < value_block; ++b) history[b * n + j] = state[j * n + i + b];
#else
  static_assert(value_block == 4);
  const hn::Full128<float> d;
  const hn::Full128<double> pairs;
  auto as_pairs = [&](auto x) HWY_ATTR { return hn::BitCast(pairs, x); };
  auto store = [&](auto x, float* to) HWY_ATTR { hn::StoreU(hn::BitCast(d, x), d, to); };
  for (int64_t j = 0; j < n; j += 4) {  // four rows of four
    const float* from = state + j * n + i;
    const auto a = hn::LoadU(d, from), b = hn::LoadU(d, from + n);
    const auto e = hn::LoadU(d, from + 2 * n), f = hn::LoadU(d, from + 3 * n);
    const auto ab_low = as_pairs(hn::InterleaveLower(d, a, b)),
               ab_high = as_pairs(hn::InterleaveUpper(d, a, b));
    const auto ef_low = as_pairs(hn::InterleaveLower(d, e, f)),
               ef_high = as_pairs(hn::InterleaveUpper(d, e, f));
    store(hn::InterleaveLower(pairs, ab_low, ef_low), history + j);
    store(hn::InterleaveUpper(pairs, ab_low, ef_low), history + n + j);
    store(hn::InterleaveLower(pairs, ab_high, ef_high), history + 2 * n + j);
    store(hn::InterleaveUpper(pairs, ab_high, ef_high), history + 3 * n + j);
  }
#endif
}

// history [rows, value_block, n]: the first entry is given, the others are computed.
template <class D>
HWY_INLINE void recompute_values(D d, const ChunkBackward& c, int64_t i, float* history) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), n = c.n;
  for (int64_t j = 0; j < n; j += lanes) {
    float* at = history + j;
    hn::Vec<D> s[value_block];
    for (int64_t b = 0; b < value_block; ++b) s[b] = hn::LoadU(d, at + b * n);
    for (int64_t t = 0; t + 1 < c.rows; ++t) {
      const auto decay = hn::LoadU(d, c.decay + t * c.decay_stride + j),
                 k = hn::LoadU(d, c.k + t * c.stride + j);
      at += value_block * n;
      for (int64_t b = 0; b < value_block; ++b) {
        const auto v = hn::Set(d, c.v[t * c.stride + i + b]);
        s[b] = hn::MulAdd(s[b], decay, hn::Mul(k, v));
        hn::StoreU(s[b], d, at + b * n);
      }
    }
  }
}

// Backward for one token and value_block values starting at i. before [value_block, n] is the state before
// the token; G [value_block, n] is the gradient of the state, after the token on entry, before it on return.
template <class D>
HWY_INLINE void step_values_backward(D d, const ChunkBackward& c, int64_t t, int64_t i, const float* before,
                                     float* G) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), n = c.n, at = t * c.stride;
  using V = hn::Vec<D>;
  V dv[value_block], v[value_block], dy[value_block];
  for (int64_t b = 0; b < value_block; ++b) {
    dv[b] = hn::Zero(d);
    v[b] = hn::Set(d, c.v[at + i + b]);
    dy[b] = hn::Set(d, c.dy[at + i + b]);
  }
  for (int64_t j = 0; j < n; j += lanes) {
    const V r = hn::LoadU(d, c.r + at + j), k = hn::LoadU(d, c.k + at + j);
    const V decay = hn::LoadU(d, c.decay + t * c.decay_stride + j);
    V dr = hn::LoadU(d, c.dr + at + j), dk = hn::LoadU(d, c.dk + at + j);
    V ddecay = hn::LoadU(d, c.ddecay + t * n + j);
    for (int64_t b = 0; b < value_block; ++b) {
      const V s = hn::LoadU(d, before + b * n + j), g = hn::LoadU(d, G + b * n + j);
      dr = hn::MulAdd(s, dy[b], dr);
      ddecay = hn::MulAdd(s, g, ddecay);
      dk = hn::MulAdd(g, v[b], dk);
      dv[b] = hn::MulAdd(g, k, dv[b]);
      hn::StoreU(hn::MulAdd(g, decay, hn::Mul(r, dy[b])), d, G + b * n + j);
    }
    hn::StoreU(dr, d, c.dr + at + j);
    hn::StoreU(dk, d, c.dk + at + j);
    hn::StoreU(ddecay, d, c.ddecay + t * n + j);
  }
  for (int64_t b = 0; b < value_block; ++b)
    c.dv[at + i + b] += sum_of(d, dv[b]) + c.bonus[t] * c.dy[at + i + b];
}

// Contributions of the bonus: dr += u k (v . dy), dk += r u (v . dy), du += r k (v . dy).
HWY_INLINE void bonus_backward(int64_t n, const float* r, const float* k, const float* v, const float* u,
                               const float* dy, float* dr, float* dk, float* du) {
  const float along = sum_vectors(
      n, [&](auto d, int64_t i) HWY_ATTR { return hn::Mul(hn::LoadU(d, v + i), hn::LoadU(d, dy + i)); });
  for_vectors(n, [&](auto d, int64_t j) HWY_ATTR {
    const auto rj = hn::LoadU(d, r + j), kj = hn::LoadU(d, k + j);
    const auto scaled = hn::Mul(hn::LoadU(d, u + j), hn::Set(d, along));
    hn::StoreU(hn::MulAdd(scaled, kj, hn::LoadU(d, dr + j)), d, dr + j);
    hn::StoreU(hn::MulAdd(scaled, rj, hn::LoadU(d, dk + j)), d, dk + j);
    hn::StoreU(hn::MulAdd(hn::Mul(rj, kj), hn::Set(d, along), hn::LoadU(d, du + j)), d, du + j);
  });
}

// One head of one sequence. G [value, key]: gradient of the last state on entry, of the first on return. dw
// and du: rows of the gradients; dw is a single row [n] if the decay is shared. history [wkv_chunk,
// value_block, n] is working memory.
void wkv6_head_backward(int64_t rows, int64_t n, int64_t stride, const Wkv6& shape, const Wkv6Inputs& in,
                        const float* kept, int64_t kept_stride, const float* dy, const Wkv6Gradients& g,
                        float* G, float* history) {
  HWY_ALIGN float decay[wkv_chunk * wkv_max_head_size];
  HWY_ALIGN float slope[wkv_chunk * wkv_max_head_size];
  HWY_ALIGN float ddecay[wkv_chunk * wkv_max_head_size];
  float bonus[wkv_chunk];
  const int64_t decay_stride = shape.shared_decay ? 0 : n;
  if (shape.shared_decay) decays(in.w, n, decay, slope);
  for (int64_t chunk = (rows - 1) / wkv_chunk; chunk >= 0; --chunk) {
    const int64_t begin = chunk * wkv_chunk, count = std::min(rows, begin + wkv_chunk) - begin;
    const int64_t first = begin * stride;
    std::fill(ddecay, ddecay + count * n, 0.0f);
    for (int64_t t = 0; t < count; ++t) {
      const int64_t at = first + t * stride;
      bonus[t] = bonus_of(n, in.r + at, in.u, in.k + at);
      bonus_backward(n, in.r + at, in.k + at, in.v + at, in.u, dy + at, g.r + at, g.k + at, g.u);
      if (!shape.shared_decay) decays(in.w + at, n, decay + t * n, slope + t * n);
    }
    const ChunkBackward c{count, n,          stride, decay_stride, in.r + first, in.k + first, in.v + first,
                          decay, dy + first, bonus,  g.r + first,  g.k + first,  g.v + first,  ddecay};
    auto run = [&](auto d) HWY_ATTR {
      for (int64_t i = 0; i < n; i += value_block) {
        turn_columns(n, i, kept + chunk * kept_stride, history);
        recompute_values(d, c, i, history);
        for (int64_t t = count - 1; t >= 0; --t)
          step_values_backward(d, c, t, i, history + t * value_block * n, G + i * n);
      }
    };
    if (n % 16 == 0)
      run(hn::CappedTag<float, 16>());
    else
      run(hn::CappedTag<float, 8>());
    for (int64_t t = 0; t < count; ++t) {
      float* dw = shape.shared_decay ? g.w : g.w + first + t * stride;
      for_vectors(n, [&](auto d, int64_t j) HWY_ATTR {
        const auto slopes = hn::LoadU(d, slope + t * decay_stride + j);
        hn::StoreU(hn::MulAdd(hn::LoadU(d, ddecay + t * n + j), slopes, hn::LoadU(d, dw + j)), d, dw + j);
      });
    }
  }
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(wkv6_head);
HWY_EXPORT(wkv6_head_backward);

}  // namespace

void wkv6(const Wkv6& shape, const Wkv6Inputs& in, ConstPlaces state, float* y, Places next_state,
          float* checkpoints) {
  const int64_t n = shape.head_size, stride = shape.heads * n, whole = stride * n;
  const auto firsts = first_checkpoints(shape.begins, shape.sequences, checkpoints != nullptr);
  parallel_for(shape.sequences * shape.heads, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t s = task / shape.heads, head = task % shape.heads;
      const int64_t begin = shape.begins[s], offset = begin * stride + head * n;
      float* kept =
          checkpoints ? checkpoints + firsts[static_cast<size_t>(s)] * whole + head * n * n : nullptr;
      const Wkv6Inputs own{in.r + offset, in.k + offset, in.v + offset,
                           in.w + (shape.shared_decay ? head * n : offset), in.u + head * n};
      HWY_DYNAMIC_DISPATCH(wkv6_head)
      (shape.begins[s + 1] - begin, n, stride, shape, own, state[s] + head * n * n,
       next_state[s] + head * n * n, y + offset, kept, whole);
    }
  });
}

void wkv6_backward(const Wkv6& shape, const Wkv6Inputs& in, const float* checkpoints, const float* dy,
                   const float* dnext_state, const Wkv6Gradients& gradients, float* dstate, float* scratch) {
  const int64_t n = shape.head_size, stride = shape.heads * n, whole = stride * n;
  const auto firsts = first_checkpoints(shape.begins, shape.sequences, true);
  std::fill(scratch, scratch + shape.sequences * 2 * stride, 0.0f);
  parallel_for(shape.sequences * shape.heads, 1, [&](int64_t first, int64_t last) {
    thread_local AlignedScratch memory;
    float* G = memory.floats((n + wkv_chunk * 4) * n);
    float* history = G + n * n;
    for (int64_t task = first; task < last; ++task) {
      const int64_t s = task / shape.heads, head = task % shape.heads;
      const int64_t begin = shape.begins[s], offset = begin * stride + head * n;
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j)
          G[i * n + j] = dnext_state ? dnext_state[task * n * n + j * n + i] : 0.0f;
      float *du = scratch + s * 2 * stride + head * n, *dw = du + stride;
      const Wkv6Inputs own{in.r + offset, in.k + offset, in.v + offset,
                           in.w + (shape.shared_decay ? head * n : offset), in.u + head * n};
      const Wkv6Gradients to{gradients.r + offset, gradients.k + offset, gradients.v + offset,
                             shape.shared_decay ? dw : gradients.w + offset, du};
      HWY_DYNAMIC_DISPATCH(wkv6_head_backward)
      (shape.begins[s + 1] - begin, n, stride, shape, own,
       checkpoints + firsts[static_cast<size_t>(s)] * whole + head * n * n, whole, dy + offset, to, G,
       history);
      if (dstate)
        for (int64_t j = 0; j < n; ++j)
          for (int64_t i = 0; i < n; ++i) dstate[task * n * n + j * n + i] += G[i * n + j];
    }
  });
  for (int64_t s = 0; s < shape.sequences; ++s)
    for (int64_t i = 0; i < stride; ++i) {
      if (gradients.u) gradients.u[i] += scratch[s * 2 * stride + i];
      if (gradients.w && shape.shared_decay) gradients.w[i] += scratch[(s * 2 + 1) * stride + i];
    }
}

}  // namespace aviary::kernels
#endif
