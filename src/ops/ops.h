// The differentiable operators. Each is one file: checks, forward, backward with its formula, and a plain
// reference in double precision that defines what it means and that runs whenever the values are f64.
//
// Activations are [N, C]: the rows of all sequences of the step, one below the other. S is the number of
// sequences, H the number of heads, V the size of the vocabulary.
//
// A state [S, ...] is that of the step's sequences, part s that of sequence s, in one piece or apart
// (Var::places). The operator that takes it by reference makes it the state after the step: in the same
// memory without a tape, as a new tensor in one piece with one, so that both can have gradients.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/kernels.h"
#include "ops/context.h"
#include "ops/places.h"
#include "ops/weight.h"

namespace aviary {

using kernels::Activation;
using kernels::Gate;

// Rows of `table` [V, C] chosen by tokens [N]. Throws Error for a token outside the vocabulary.
Var embedding(Context& c, Weight& table, std::span<const int32_t> tokens);

// (x - mean) / sqrt(variance + epsilon) * weight + bias over the columns of each row; the variance is the
// biased one.
Var layer_norm(Context& c, const Var& x, Weight& weight, Weight& bias, double epsilon = 1e-5);

// y = x W^T (out_in) or x W (in_out), plus residual where given.
Var linear(Context& c, const Var& x, Weight& weight, Layout layout = Layout::out_in,
           const Var& residual = {});

// A matrix [out, in] and a bias [out]: y = x W^T + bias, plus residual where given.
struct Affine {
  Weight &weight, &bias;
};
Var linear(Context& c, const Var& x, const Affine& weights, const Var& residual = {});

// The same for matrices that do not wait for each other: y_i = x_i W_i^T. Those of a single token are one
// parallel region.
template <size_t count>
std::array<Var, count> linear_each(Context& c, const std::array<Var, count>& x,
                                   const std::array<Weight*, count>& weights);
void linear_each(Context& c, std::span<const Var> x, std::span<Weight* const> weights, Layout layout,
                 std::span<Var> out);

template <size_t count>
std::array<Var, count> linear_each(Context& c, const std::array<Var, count>& x,
                                   const std::array<Weight*, count>& weights) {
  std::array<Var, count> out;
  linear_each(c, x, weights, Layout::out_in, out);
  return out;
}

// A stack of thin matrices, weight [B, K, M], each for its own columns of x [N, B * K]: out[b] [N, M] =
// columns b K ... of x times matrix b.
void linear_stack(Context& c, const Var& x, Weight& weight, std::span<Var> out);

// activation(x + bias); bias [C] is optional, and only for none, tanh and sigmoid.
Var activate(Context& c, Activation kind, const Var& x, Weight* bias = nullptr);

// Two thin matrices with an activation between: output(hidden(x down) up + bias).
struct LowRank {
  Weight& down;  // [C, R]
  Weight& up;    // [R, C]
  Activation hidden = Activation::none;
  Weight* bias = nullptr;
  Activation output = Activation::none;
};
Var low_rank(Context& c, const Var& x, const LowRank& weights);
// The same for pairs that do not wait for each other.
template <size_t count>
std::array<Var, count> low_rank_each(Context& c, const std::array<Var, count>& x,
                                     const std::array<LowRank, count>& weights);
void low_rank_each(Context& c, std::span<const Var> x, std::span<const LowRank> weights, std::span<Var> out);

template <size_t count>
std::array<Var, count> low_rank_each(Context& c, const std::array<Var, count>& x,
                                     const std::array<LowRank, count>& weights) {
  std::array<Var, count> out;
  low_rank_each(c, x, weights, out);
  return out;
}

// a + b, a * b
Var add(Context& c, const Var& a, const Var& b);
Var mul(Context& c, const Var& a, const Var& b);

// y_j = sum_i x_i M_ij with a matrix for every row: x [N, I], matrices [N, I * J] -> [N, J].
Var row_matrix(Context& c, const Var& x, const Var& matrices);

// x with elements set to zero at random (and the others scaled up) when training with dropout; otherwise x
// itself.
Var dropout(Context& c, const Var& x);

// How every layer ends: residual + y, with dropout where the context wants it; y may be x W^T, or sigmoid(r)
// x.
Var add_branch(Context& c, Branch branch, const Var& residual, const Var& y);
Var residual_linear(Context& c, Branch branch, const Var& residual, const Var& x, Weight& weight);
Var residual_linear(Context& c, Branch branch, const Var& residual, const Var& x, const Affine& weights);
Var residual_gate(Context& c, Branch branch, const Var& residual, const Var& r, const Var& x);

// sigmoid(r) * x, plus residual where given.
Var sigmoid_gate(Context& c, const Var& r, const Var& x, const Var& residual = {});

// v + (v_first - v) * gate
Var lerp(Context& c, const Var& v, const Var& v_first, const Var& gate);

// y[t, i] = x[t - distances[i], i] within each sequence; what is above its first row comes from the state [S,
// depth, C], the rows before it, which becomes that of the end.
Var token_delay(Context& c, const Var& x, Var& state, std::span<const int32_t> distances);

// Which of the two a mix of 1 means: the row itself (RWKV-2 to 5) or the row above (RWKV-6 and 7).
enum class MixOf : uint8_t { current, previous };
struct TokenShift {
  MixOf of;
  // "The row above" is what token_delay() makes of x with these, and the state is that of token_delay();
  // empty: the row above.
  std::span<const int32_t> distances{};

  TokenShift(MixOf of, std::span<const int32_t> distances = {}) : of(of), distances(distances) {}
};
// out[o] = the mixture of every row with the row above it in its sequence (state [S, C] above the first), one
// output per weight [C]; more[o] [N, C], where given, is added to the weight row by row. state becomes the
// last row of each sequence.
template <size_t outputs>
std::array<Var, outputs> token_shift_mix(Context& c, const Var& x, Var& state, TokenShift shift,
                                         const std::array<Weight*, outputs>& mix,
                                         std::span<const Var> more = {});
void token_shift_mix(Context& c, const Var& x, Var& state, TokenShift shift, std::span<Weight* const> mix,
                     std::span<Var> out, std::span<const Var> more = {});

template <size_t outputs>
std::array<Var, outputs> token_shift_mix(Context& c, const Var& x, Var& state, TokenShift shift,
                                         const std::array<Weight*, outputs>& mix, std::span<const Var> more) {
  std::array<Var, outputs> out;
  token_shift_mix(c, x, state, shift, std::span<Weight* const>(mix), std::span<Var>(out), more);
  return out;
}

// RWKV-2 and 3: y_t = (sum_{i<t} e^{(t-1-i)w + k_i} v_i + e^{u + k_t} v_t) / (the same without v + epsilon),
// w = -exp(time_decay), u = time_first, k above 60 counts as 60. state: the two sums aa, bb [S, C]; becomes
// the last one.
struct Wkv2State {
  Var &aa, &bb;
};
Var wkv2(Context& c, Weight& time_decay, Weight& time_first, const Var& k, const Var& v, Wkv2State state,
         double epsilon);

// RWKV-4: y_t = (sum_{i<t} e^{(t-1-i)w + k_i} v_i + e^{u + k_t} v_t) / (the same without v), w =
// -exp(time_decay), u = time_first. state: aa, bb, pp [S, C], meaning numerator aa e^pp and denominator bb
// e^pp; becomes the last one. The gradient of a state is that of aa and bb; pp only rescales them.
struct Wkv4State {
  Var &aa, &bb, &pp;
};
Var wkv4(Context& c, Weight& time_decay, Weight& time_first, const Var& k, const Var& v, Wkv4State state);

// RWKV-5 and 6: y = r (diag(u) k^T v + S), S = diag(d) S + k^T v, d = exp(-exp(w)). r, k, v [N, H * n]; w [N,
// H * n] or, the same for all tokens, [1, H * n]; u [1, H * n]. state [S, H, key, value] becomes the last
// one.
struct Wkv6Arguments {
  Var r, k, v, w, u;
};
Var wkv6(Context& c, int64_t heads, const Wkv6Arguments& arguments, Var& state);

// A state before the first token that is learned: weight [H, value, key]. Sequences that have read nothing
// yet (c.position) get it as their state [S, H, key, value], the others keep theirs.
void start_state(Context& c, Weight& weight, Var& state);

// A weight of `cols` numbers, or of one for each of some heads, as a row [1, cols]; e to the power of it if
// exponential.
Var weight_row(Context& c, Weight& weight, int64_t cols, bool exponential = false);

// (group_norm(x) weight + bias) gate, where every head of a row is a group: (x - mean) / sqrt(variance +
// epsilon). The gate is 1, g or silu(g).
struct HeadNorm {
  Var x;
  Weight &weight, &bias;  // [C]
  Gate gate = Gate::none;
  Var g = {};
};
Var group_norm(Context& c, int64_t heads, const HeadNorm& arguments, double epsilon);

// RWKV-7: S = S diag(decay) + (S a) b^T + v k^T, y = S r, decay = exp(-e^{-1/2} sigmoid(w)); all arguments
// [N, H * n]. state [S, H, key, value] becomes the last one.
struct Wkv7Arguments {
  Var r, w, k, v, a, b;
};
Var wkv7(Context& c, int64_t heads, const Wkv7Arguments& arguments, Var& state);

// RWKV-7's keys. kk = k k_k normalized per head; key = k (1 + (a - 1) k_a), remove = -kk, replace = kk a.
struct Rwkv7Keys {
  Var key, remove, replace;
};
Rwkv7Keys rwkv7_keys(Context& c, int64_t heads, const Var& k, Weight& k_k, const Var& a, Weight& k_a);

// RWKV-7's output: (group_norm(y) weight + bias + (sum over the head of r k r_k) v) g.
struct Rwkv7Output {
  Var y, r, k, v, g;
  Weight &r_k, &weight, &bias;
};
Var rwkv7_output(Context& c, int64_t heads, const Rwkv7Output& arguments, double epsilon = 64e-5);

// Puts the rows of x [N, C] behind the history [S, capacity, C] of their sequences, which has room for them;
// returns the new history, which `history` becomes. Where histories lie apart, `capacity` is that of the
// largest.
Var append_history(Context& c, const Var& x, Var& history);

// The first 2 F columns of every head, turned by the angles position * frequencies [F]: column i against
// column F + i (Su et al. 2021, arXiv 2104.09864).
Var rotary(Context& c, int64_t heads, const Var& x, const Weight& frequencies);

// Row t of x times weight[t]: a factor for every position.
Var scale_by_position(Context& c, const Var& x, Weight& weight);

// What depends on how far apart two tokens are: w[h, L - 1 - (t - u)] alpha[h, u] beta[h, t] weighs what
// position t makes of u. w [H, L], alpha [H, 1, L], beta [H, L, 1].
struct TimeWeights {
  Weight *w = nullptr, *alpha = nullptr, *beta = nullptr;
};

// Attention: y_t = sum over u <= t of a(t, u) v_u with a = softmax of the scores scale q_t k_u, per head. q
// [N, H * n]; k [S, capacity, H * n] and v [S, capacity, H * m] are histories that hold this step's rows; y
// [N, H * m].
struct Attention {
  int64_t heads = 1;
  double scale = 1;
  double cap = 0;         // > 0: the scores become cap tanh(score / cap)
  bool softmax = true;    // false: the scores are the weights
  TimeWeights time{};     // where given, multiplies the weights
  Weight* mix = nullptr;  // [H, H, 1, 1]: where given, head o sees the sum over i of mix[o, i] times the
                          // weights of head i
};
Var attention(Context& c, const Var& q, const Var& k, const Var& v, const Attention& options);

// RWKV-1: y_t = sum over u <= t of W(t, u) e^{k_u} v_u / sum of e^{k_u}, W the weights of time and k within
// [-60, 30]; k, v [S, capacity, C] are histories that hold this step's rows.
Var wkv1(Context& c, const TimeWeights& time, const Var& k, const Var& v);

// AFT: y_t = sum over u <= t of e^{k_u + w[t, u]} v_u / sum of e^{k_u + w[t, u]}; w [L, L], k and v are
// histories.
Var aft_full(Context& c, Weight& w, const Var& k, const Var& v);

// ROSA of RWKV-8, every channel by itself: the longest sequence of symbols that ends the queries so far is
// looked up among the keys before (where it ended last), and y is the value behind it; `missing` where there
// is none. Symbols are equal when their numbers are. q [N, C]; keys and values [S, capacity, C] are histories
// that hold this step's rows; match [S, capacity, C], how long the last queries match the keys up to each
// place, becomes that of the last row. No gradient passes: it is 0 wherever it exists.
Var rosa(Context& c, const Var& q, const Var& keys, const Var& values, double missing, Var& match);
// The same with the signs of q, k and v [N, C] as symbols: y = e [C] where the value found is above 0,
// otherwise -e. The histories become those with this step.
struct RosaState {
  Var &keys, &values, &match;
};
Var rosa_qkv(Context& c, const Var& q, const Var& k, const Var& v, Weight& e, RosaState state);

// Head-QK: row t looks at every token u that its sequence has read, itself included, and adds scale q_t k_u
// to the logit of that token; of a token that was read several times count all, or the largest only. q [N,
// D]; keys [S, capacity, D] and ids [S, capacity, 1] are histories that hold this step's rows.
struct Copies {
  Var q, keys, ids;
  double scale = 0;
  bool largest = false;

  bool empty() const { return q.empty(); }
};
// logits [rows.size(), V] += the copies of these rows of the step.
void add_copies(Context& c, const Copies& copies, std::span<const int64_t> rows, const Tensor& logits);
// Adds to the gradients of q and keys what the gradient of these rows' logits means for them.
void add_copies_backward(Context& c, const Copies& copies, std::span<const int64_t> rows,
                         const Tensor& dlogits);

// The logits [rows.size(), V] of these rows of the step: x head^T, the copies and, where there is one, the
// bias [V]; an empty tensor for no rows. Nothing is recorded.
Tensor head_logits(Context& c, const Var& x, Weight& head, const Copies& copies,
                   std::span<const int64_t> rows, Weight* bias = nullptr);

// The mean cross entropy of softmax(x head^T + copies + bias) against targets [N] (a target < 0 counts for
// nothing). The logits are made in chunks of rows and never kept. With a tape, the gradients of loss * scale
// are added to those of x and head at once; call tape->backward() next. l2wrap adds the term of the original
// trainers that pulls each row's largest logit to 0. `losses` [N], where given, receives the loss of every
// row.
struct LossOptions {
  double scale = 1;
  bool l2wrap = false;
};
double head_loss(Context& c, const Var& x, Weight& head, std::span<const int32_t> targets,
                 const LossOptions& options, std::span<double> losses = {}, const Copies& copies = {},
                 Weight* bias = nullptr);

}  // namespace aviary
