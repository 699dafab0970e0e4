// The recurrence of RWKV-7: a state per head, S [key j, value i], changed by a generalized delta rule at
// every token.
//   sa_i = sum_j S_ji a_j;  S_ji = S_ji decay_j + sa_i b_j + v_i k_j;  y_i = sum_j S_ji r_j
//   decay = exp(-e^-1/2 sigmoid(w))
// Vectors run along i, so no sum crosses lanes. The backward pass (wkv7_chunk.cpp) starts from the states
// that are kept every wkv_chunk rows (RWKV-7 "Goose", arXiv 2503.14456, appendix on the kernels).
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/threads.h"
#include "kernels/cpu/channels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/wkv7_chunk.h"
#include "kernels/cpu/wkv_chunks.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

HWY_INLINE void decays(const float* w, int64_t n, float* decay) {
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto gate = sigmoid(d, hn::LoadU(d, w + i));
    hn::StoreU(hn::Exp(d, hn::Mul(hn::Set(d, wkv7_decay_scale), gate)), d, decay + i);
  });
}

// One token, some columns. On entry `sa` is that of this token; on return, if `next_a` is given, that of the
// next token. The same columns of the state at `ahead` are prefetched, unless it is null.
template <int vectors, bool more, class D, class V>
HWY_INLINE void token_columns(D d, int64_t n, const float* decay, const Wkv7Inputs& in, const float* next_a,
                              const V (&value)[vectors], const float* ahead, float* state, V (&sa)[vectors],
                              V (&out)[vectors]) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  V next_sa[vectors];
  for (int c = 0; c < vectors; ++c) next_sa[c] = out[c] = hn::Zero(d);
  for (int64_t j = 0; j < n; ++j) {
    const V decay_j = hn::Set(d, decay[j]), bj = hn::Set(d, in.b[j]), kj = hn::Set(d, in.k[j]),
            rj = hn::Set(d, in.r[j]), aj = more ? hn::Set(d, next_a[j]) : hn::Zero(d);
    for (int c = 0; ahead && c < vectors; ++c) __builtin_prefetch(ahead + j * n + c * lanes);
    for (int c = 0; c < vectors; ++c) {
      V s = hn::Mul(hn::LoadU(d, state + j * n + c * lanes), decay_j);
      s = hn::MulAdd(value[c], kj, hn::MulAdd(sa[c], bj, s));
      hn::StoreU(s, d, state + j * n + c * lanes);
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

// `rows` tokens, some columns: every number of the state, which changes in place, is read once per token.
template <int vectors, class D>
HWY_INLINE void columns(D d, int64_t rows, int64_t n, int64_t stride, const float* decay, Wkv7Inputs in,
                        float* state, const float* ahead, float* y) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  using V = hn::Vec<D>;
  V sa[vectors], out[vectors], value[vectors];
  for (int c = 0; c < vectors; ++c) sa[c] = hn::Zero(d);
  for (int64_t j = 0; j < n; ++j) {
    const V aj = hn::Set(d, in.a[j]);
    for (int c = 0; c < vectors; ++c) sa[c] = hn::MulAdd(hn::LoadU(d, state + j * n + c * lanes), aj, sa[c]);
  }
  for (int64_t t = 0; t < rows; ++t) {
    if (t + 2 < rows) fetch(in.at(2 * stride), n);
    for (int c = 0; c < vectors; ++c) value[c] = hn::LoadU(d, in.v + c * lanes);
    if (t + 1 < rows)
      token_columns<vectors, true>(d, n, decay, in, in.a + stride, value, nullptr, state, sa, out);
    else
      token_columns<vectors, false>(d, n, decay, in, nullptr, value, ahead, state, sa, out);
    for (int c = 0; c < vectors; ++c) hn::StoreU(out[c], d, y + c * lanes);
    in = in.at(stride), decay += n, y += stride;
  }
}

// Vectors of i whose sums fit into the registers.
constexpr int most_vectors = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 ? 2 : 4;

// body(tag, vectors, i) for all columns i of a head: `vectors` of the tag at a time.
template <class Body>
HWY_INLINE void for_columns(int64_t n, Body body) {
  const hn::CappedTag<float, 16> wide;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(wide));
  int64_t i = 0;
  auto run = [&](auto vectors) HWY_ATTR {
    for (; i + vectors() * lanes <= n; i += vectors() * lanes) body(wide, vectors, i);
  };
  run(std::integral_constant<int, most_vectors>());
  run(std::integral_constant<int, 2>());
  run(std::integral_constant<int, 1>());
  const hn::CappedTag<float, 8> narrow;
  for (; i < n; i += static_cast<int64_t>(hn::Lanes(narrow)))
    body(narrow, std::integral_constant<int, 1>(), i);
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
    for (int64_t t = 0; t < count; ++t) decays(in.w + at + t * stride, n, decay + t * n);
    const float* next = begin + count == rows ? ahead : nullptr;
    for_columns(n, [&](auto d, auto vectors, int64_t i) HWY_ATTR {
      Wkv7Inputs from = in.at(at);
      from.v += i;
      columns<vectors()>(d, count, n, stride, decay, from, state + i, next ? next + i : nullptr, y + at + i);
    });
  }
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(wkv7_head);

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
  const int64_t n = shape.head_size, square = n * n, stride = shape.heads * n;
  const auto firsts = first_checkpoints(shape.begins, shape.sequences, true);
  parallel_for(shape.sequences * shape.heads, 1, [&](int64_t first, int64_t last) {
    thread_local AlignedScratch scratch;
    float* memory = scratch.floats(wkv7_chunk_memory(n) + shape.heads * square);
    float* running = memory + wkv7_chunk_memory(n);  // [heads, n, n]
    // All heads of a sequence take their turns at a chunk: the rows of consecutive heads lie together.
    for (int64_t end = first; first < last; first = end) {
      const int64_t s = first / shape.heads, head = first % shape.heads;
      end = std::min(last, (s + 1) * shape.heads);
      const int64_t heads = end - first, begin = shape.begins[s], rows = shape.begins[s + 1] - begin;
      if (dnext_state)
        std::copy_n(dnext_state + first * square, heads * square, running);
      else
        std::fill_n(running, heads * square, 0.0f);
      for (int64_t chunk = chunks_of(rows) - 1; chunk >= 0; --chunk) {
        const int64_t row = chunk * wkv_chunk;
        const float* kept =
            checkpoints + ((firsts[static_cast<size_t>(s)] + chunk) * shape.heads + head) * square;
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t at = (begin + row) * stride + (head + h) * n;
          wkv7_chunk_backward(std::min(wkv_chunk, rows - row), n, stride, in.at(at), kept + h * square,
                              dy + at, gradients.at(at), running + h * square, memory);
        }
      }
      if (dstate)
        for (int64_t i = 0; i < heads * square; ++i) dstate[first * square + i] += running[i];
    }
  });
}

}  // namespace aviary::kernels
#endif
