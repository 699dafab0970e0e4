// The recurrence of RWKV-7 for training, in chunks of wkv_chunk tokens that are computed as matrix products
// (the form of Yang et al. 2024, arXiv 2406.06484, for the generalized delta rule). With c_t, per key j, the
// product of the decays of a chunk's first t tokens, and matrices [2 wkv_chunk, n] whose rows alternate:
//   Q: c_{t-1} a_t, c_t r_t;  W: b_t / c_t, k_t / c_t;  Z: sa_t, v_t;  X: sa_t, y_t
//   M = Q W^T where row > column, or row = column and it is odd; otherwise 0
//   X = Q S + M Z, solved for one sa_t after another;  next S = c_T (S + W^T Z)
// Backward, with G = c_T dS for the gradient dS of the next state, O that of X and D that of Z:
//   D = W G + M^T O, solved for one dsa_t, which is in D and in O, after another, from the last
//   dM = O Z^T where M is not 0;  dQ = O S^T + dM W;  dW = Z G^T + dM^T Q;  dS of the first state = G + Q^T O
//   the gradient of log decay_t = sum over s >= t of (r dr - b db - k dk)_s, plus sum over s > t of (a da)_s,
//   plus sum_i (next S dS)_ji
// A decay is at least exp(-e^-1/2), so 1 / c_t is at most 16,400.
#include "kernels/cpu/wkv7_chunk.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7_chunk.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

constexpr int64_t R = 2 * wkv_chunk;  // rows of the matrices
constexpr int64_t few = 8;            // rows that are solved at a time

// Working memory for one chunk of one head. A chunk that is cut short goes on with tokens of zeros, which
// change nothing.
struct Chunk {
  int64_t n;
  float *product, *slope;                       // [wkv_chunk + 1, n]: c_t; [wkv_chunk, n]
  float *Q, *W, *Z, *O, *D, *dQ, *dW, *turned;  // [R, n], the last one [n, R]
  float *M, *dM;                                // [R, R]
  float* turned_state;                          // [n, n]

  static int64_t floats(int64_t n) { return n * (2 * wkv_chunk + 1 + 8 * R + n) + 2 * R * R; }
  Chunk(int64_t n, float* memory) : n(n) {
    auto take = [&](int64_t count) {
      float* taken = memory;
      memory += count;
      return taken;
    };
    product = take((wkv_chunk + 1) * n), slope = take(wkv_chunk * n);
    for (float** matrix : {&Q, &W, &Z, &O, &D, &dQ, &dW, &turned}) *matrix = take(R * n);
    M = take(R * R), dM = take(R * R), turned_state = take(n * n);
  }
};

// Q, W, Z and O but for sa and its gradient.
HWY_INLINE void prepare(const Chunk& c, int64_t tokens, int64_t stride, const Wkv7Inputs& in,
                        const float* dy) {
  const int64_t n = c.n;
  std::fill_n(c.product, n, 1.0f);
  for (int64_t t = 0; t < tokens; ++t) {
    const Wkv7Inputs at = in.at(t * stride);
    const float *before = c.product + t * n, *dy_t = dy + t * stride;
    float *after = c.product + (t + 1) * n, *slope = c.slope + t * n;
    float *Q = c.Q + 2 * t * n, *W = c.W + 2 * t * n;
    for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
      const auto gate = sigmoid(d, hn::LoadU(d, at.w + i)), scale = hn::Set(d, wkv7_decay_scale);
      const auto c_before = hn::LoadU(d, before + i);
      const auto c_after = hn::Mul(c_before, hn::Exp(d, hn::Mul(scale, gate)));
      const auto inverse = hn::Div(hn::Set(d, 1.0f), c_after);
      hn::StoreU(c_after, d, after + i);
      hn::StoreU(hn::Mul(scale, hn::NegMulAdd(gate, gate, gate)), d, slope + i);
      hn::StoreU(hn::Mul(hn::LoadU(d, at.a + i), c_before), d, Q + i);
      hn::StoreU(hn::Mul(hn::LoadU(d, at.r + i), c_after), d, Q + n + i);
      hn::StoreU(hn::Mul(hn::LoadU(d, at.b + i), inverse), d, W + i);
      hn::StoreU(hn::Mul(hn::LoadU(d, at.k + i), inverse), d, W + n + i);
      hn::StoreU(hn::LoadU(d, at.v + i), d, c.Z + (2 * t + 1) * n + i);
      hn::StoreU(hn::LoadU(d, dy_t + i), d, c.O + (2 * t + 1) * n + i);
    });
  }
  for (float* matrix : {c.Q, c.W, c.Z, c.O}) std::fill(matrix + 2 * tokens * n, matrix + R * n, 0.0f);
}

// M [R, R] = A B^T where row > column, or row = column and it is odd; otherwise 0.
HWY_INLINE void lower_product(const Chunk& c, const float* A, const float* B, float* M) {
  const int64_t n = c.n, half = R / 2;
  transpose(R, n, B, n, c.turned, R);
  product(half, half, n, {A, n, 1}, c.turned, R, false, M, R);
  product(half, R, n, {A + half * n, n, 1}, c.turned, R, false, M + half * R, R);
  for (int64_t row = 0; row < R; ++row) std::fill(M + row * R + (row + 1) / 2 * 2, M + (row + 1) * R, 0.0f);
}

// The rows of sa in Z: those of Q S + M Z.
HWY_INLINE void solve_forward(const Chunk& c, const float* S) {
  const int64_t n = c.n;
  product(wkv_chunk, n, n, {c.Q, 2 * n, 1}, S, n, false, c.Z, 2 * n);
  for (int64_t begin = 0; begin < R; begin += few) {
    product(few / 2, n, begin, {c.M + begin * R, 2 * R, 1}, c.Z, n, true, c.Z + begin * n, 2 * n);
    for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
      for (int64_t row = begin + 2; row < begin + few; row += 2) {
        auto sum = hn::LoadU(d, c.Z + row * n + i);
        for (int64_t col = begin; col < row; ++col)
          sum = hn::MulAdd(hn::Set(d, c.M[row * R + col]), hn::LoadU(d, c.Z + col * n + i), sum);
        hn::StoreU(sum, d, c.Z + row * n + i);
      }
    });
  }
}

// D = W G + M^T O; its rows of dsa also become those of O.
HWY_INLINE void solve_backward(const Chunk& c, const float* G) {
  const int64_t n = c.n;
  product(R, n, n, {c.W, n, 1}, G, n, false, c.D, n);
  for (int64_t begin = R - few; begin >= 0; begin -= few) {
    const int64_t end = begin + few;
    product(few, n, R - end, {c.M + end * R + begin, 1, R}, c.O + end * n, n, true, c.D + begin * n, n);
    for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
      for (int64_t col = end - 1; col >= begin; --col) {
        auto sum = hn::LoadU(d, c.D + col * n + i);
        for (int64_t row = col | 1; row < end; ++row)
          sum = hn::MulAdd(hn::Set(d, c.M[row * R + col]), hn::LoadU(d, c.O + row * n + i), sum);
        hn::StoreU(sum, d, c.D + col * n + i);
        if (col % 2 == 0) hn::StoreU(sum, d, c.O + col * n + i);
      }
    });
  }
}

// dQ, and dW without the part that comes through M. On return D is not needed any more.
HWY_INLINE void gradients_of_factors(const Chunk& c, const float* S, const float* G) {
  const int64_t n = c.n;
  lower_product(c, c.O, c.Z, c.dM);
  transpose(n, n, S, n, c.turned_state, n);
  product(R, n, n, {c.O, n, 1}, c.turned_state, n, false, c.dQ, n);
  transpose(n, n, G, n, c.turned_state, n);
  product(R, n, n, {c.Z, n, 1}, c.turned_state, n, false, c.dW, n);
  for (int64_t row = 0; row < R; row += few)
    product(few, n, row + few, {c.dM + row * R, R, 1}, c.W, n, true, c.dQ + row * n, n);
}

// sum_i (next S dS)_ji
HWY_INLINE void decay_of_state(const Chunk& c, const float* S, const float* G, float* sums) {
  const int64_t n = c.n;
  for (int64_t j = 0; j < n; ++j)
    sums[j] = sum_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
      return hn::Mul(hn::LoadU(d, S + j * n + i), hn::LoadU(d, G + j * n + i));
    });
  for_vectors(n, [&](auto d, int64_t j) HWY_ATTR {
    auto sum = hn::LoadU(d, sums + j);
    for (int64_t row = 0; row < R; ++row)
      sum = hn::MulAdd(hn::LoadU(d, c.W + row * n + j), hn::LoadU(d, c.dW + row * n + j), sum);
    hn::StoreU(sum, d, sums + j);
  });
}

// Adds the gradients of the inputs. `decay` [n]: the part of the gradient of log decay that is the same for
// all tokens on entry, that of the first token on return.
HWY_INLINE void add_gradients(const Chunk& c, int64_t tokens, int64_t stride, float* decay,
                              const Wkv7Gradients& g) {
  const int64_t n = c.n;
  for (int64_t t = tokens - 1; t >= 0; --t) {
    const Wkv7Gradients to = g.at(t * stride);
    const float *before = c.product + t * n, *slope = c.slope + t * n;
    for_vectors(n, [&](auto d, int64_t j) HWY_ATTR {
      auto add = [&](float* x, auto value)
                     HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, x + j), value), d, x + j); };
      const int64_t first = 2 * t * n + j, second = first + n;
      const auto after = hn::LoadU(d, before + n + j), inverse = hn::Div(hn::Set(d, 1.0f), after);
      const auto da = hn::LoadU(d, c.dQ + first), dr = hn::LoadU(d, c.dQ + second);
      const auto db = hn::LoadU(d, c.dW + first), dk = hn::LoadU(d, c.dW + second);
      add(to.a, hn::Mul(da, hn::LoadU(d, before + j)));
      add(to.r, hn::Mul(dr, after));
      add(to.b, hn::Mul(db, inverse));
      add(to.k, hn::Mul(dk, inverse));
      add(to.v, hn::LoadU(d, c.D + second));
      auto sum = hn::MulAdd(dr, hn::LoadU(d, c.Q + second), hn::LoadU(d, decay + j));
      sum = hn::NegMulAdd(db, hn::LoadU(d, c.W + first), sum);
      sum = hn::NegMulAdd(dk, hn::LoadU(d, c.W + second), sum);
      add(to.w, hn::Mul(hn::LoadU(d, slope + j), sum));
      hn::StoreU(hn::MulAdd(da, hn::LoadU(d, c.Q + first), sum), d, decay + j);
    });
  }
}

void chunk_backward(int64_t tokens, int64_t n, int64_t stride, const Wkv7Inputs& in, const float* S,
                    const float* dy, const Wkv7Gradients& g, float* dstate, float* memory) {
  const Chunk c(n, memory);
  prepare(c, tokens, stride, in, dy);
  const float* last = c.product + tokens * n;
  for (int64_t j = 0; j < n; ++j)
    for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
      float* at = dstate + j * n + i;
      hn::StoreU(hn::Mul(hn::Set(d, last[j]), hn::LoadU(d, at)), d, at);
    });
  const float* G = dstate;
  lower_product(c, c.Q, c.W, c.M);
  solve_forward(c, S);
  solve_backward(c, G);
  gradients_of_factors(c, S, G);
  HWY_ALIGN float decay[wkv_max_head_size];
  decay_of_state(c, S, G, decay);
  for (int64_t row = 0; row < R; row += few)
    product(few, n, R - row, {c.dM + row * R + row, 1, R}, c.Q + row * n, n, true, c.dW + row * n, n);
  add_gradients(c, tokens, stride, decay, g);
  product(n, n, R, {c.Q, 1, n}, c.O, n, true, dstate, n);
}

int64_t chunk_memory(int64_t n) { return Chunk::floats(n); }

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {

HWY_EXPORT(chunk_backward);
HWY_EXPORT(chunk_memory);

void wkv7_chunk_backward(int64_t tokens, int64_t n, int64_t stride, const Wkv7Inputs& in, const float* state,
                         const float* dy, const Wkv7Gradients& g, float* dstate, float* memory) {
  HWY_DYNAMIC_DISPATCH(chunk_backward)(tokens, n, stride, in, state, dy, g, dstate, memory);
}

int64_t wkv7_chunk_memory(int64_t n) { return HWY_DYNAMIC_DISPATCH(chunk_memory)(n); }

}  // namespace aviary::kernels
#endif
