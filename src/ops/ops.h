// The differentiable operators. Each is one file: checks, forward, backward with its formula, and a plain
// reference in double precision that defines the operator and is used if the values are f64.
//
// Activations are [N, C]: the rows of all sequences of the step, one sequence after another. S is the number
// of sequences, H the number of heads, V the size of the vocabulary.
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

// y = x W^T (out_in) or x W (in_out), plus residual if given.
Var linear(Context& c, const Var& x, Weight& weight, Layout layout = Layout::out_in,
           const Var& residual = {});

// A matrix [out, in] and a bias [out]: y = x W^T + bias, plus residual if given.
struct Affine {
  Weight &weight, &bias;
};
Var linear(Context& c, const Var& x, const Affine& weights, const Var& residual = {});

// The same for several independent matrices: y_i = x_i W_i^T. For a single token they share one parallel
// region.
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
// The same for several independent projections.
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

// y_j = sum_i x_i M_ij with a separate matrix for each row: x [N, I], matrices [N, I * J] -> [N, J].
Var row_matrix(Context& c, const Var& x, const Var& matrices);

// x with random elements set to zero with probability p (and the others scaled up); for p = 0, x itself.
Var dropout(Context& c, const Var& x, double p);

// The end of a branch: residual + y, with dropout if the context requires it; y may be x W^T, or sigmoid(r)
// x.
Var add_branch(Context& c, Branch branch, const Var& residual, const Var& y);
Var residual_linear(Context& c, Branch branch, const Var& residual, const Var& x, Weight& weight);
Var residual_linear(Context& c, Branch branch, const Var& residual, const Var& x, const Affine& weights);
Var residual_gate(Context& c, Branch branch, const Var& residual, const Var& r, const Var& x);

// sigmoid(r) * x, plus residual if given.
Var sigmoid_gate(Context& c, const Var& r, const Var& x, const Var& residual = {});

// v + (v_first - v) * gate
Var lerp(Context& c, const Var& v, const Var& v_first, const Var& gate);

// y[t, i] = x[t - distances[i], i] within each sequence; rows before its first one come from the state [S,
// depth, C], which is updated to the last rows.
Var token_delay(Context& c, const Var& x, Var& state, std::span<const int32_t> distances);

// Whether a mix of 1 means the current row (RWKV-2 to 5) or the previous row (RWKV-6 and 7).
enum class MixOf : uint8_t { current, previous };
struct TokenShift {
  MixOf of;
  // With distances, "the previous row" is the result of token_delay() for x, and the state is that of
  // token_delay(); empty: the previous row.
  std::span<const int32_t> distances{};

  TokenShift(MixOf of, std::span<const int32_t> distances = {}) : of(of), distances(distances) {}
};
// out[o] = the mixture of every row with the previous row of its sequence (state [S, C] before the first),
// one output per weight [C]; more[o] [N, C], if given, is added to the weight for each row. state becomes the
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
// w = -exp(time_decay), u = time_first, k clamped to at most 60. state: the two sums aa, bb [S, C]; becomes
// the state after the last row.
struct Wkv2State {
  Var &aa, &bb;
};
Var wkv2(Context& c, Weight& time_decay, Weight& time_first, const Var& k, const Var& v, Wkv2State state,
         double epsilon);

// RWKV-4: y_t = (sum_{i<t} e^{(t-1-i)w + k_i} v_i + e^{u + k_t} v_t) / (the same without v), w =
// -exp(time_decay), u = time_first. state: aa, bb, pp [S, C], which stand for the numerator aa e^pp and the
// denominator bb e^pp; becomes the state after the last row. A state has gradients for aa and bb; pp only
// scales them.
struct Wkv4State {
  Var &aa, &bb, &pp;
};
Var wkv4(Context& c, Weight& time_decay, Weight& time_first, const Var& k, const Var& v, Wkv4State state);

// RWKV-5 and 6: y = r (diag(u) k^T v + S), S = diag(d) S + k^T v, d = exp(-exp(w)). r, k, v [N, H * n]; w [N,
// H * n] or [1, H * n] if shared by all tokens; u [1, H * n]. state [S, H, key, value] becomes the state
// after the last row.
struct Wkv6Arguments {
  Var r, k, v, w, u;
};
Var wkv6(Context& c, int64_t heads, const Wkv6Arguments& arguments, Var& state);

// A learned initial state: weight [H, value, key]. Sequences that have not read any token yet (c.position)
// get it as their state [S, H, key, value]; the others keep theirs.
void start_state(Context& c, Weight& weight, Var& state);

// A weight of `cols` numbers, or of one number per head, as a row [1, cols]; its exponential if
// `exponential`.
Var weight_row(Context& c, Weight& weight, int64_t cols, bool exponential = false);

// (group_norm(x) weight + bias) gate, where each head of a row is a group: (x - mean) / sqrt(variance +
// epsilon). The gate is 1, g or silu(g).
struct HeadNorm {
  Var x;
  Weight &weight, &bias;  // [C]
  Gate gate = Gate::none;
  Var g = {};
};
Var group_norm(Context& c, int64_t heads, const HeadNorm& arguments, double epsilon);

// RWKV-7: S = S diag(decay) + (S a) b^T + v k^T, y = S r, decay = exp(-e^{-1/2} sigmoid(w)); all arguments
// [N, H * n]. state [S, H, key, value] becomes the state after the last row.
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

// Appends the rows of x [N, C] to the history [S, capacity, C] of their sequences, which must have room for
// them; returns the new history and assigns it to `history`. If each history has its own memory, `capacity`
// is that of the largest.
Var append_history(Context& c, const Var& x, Var& history);

// The first 2 F columns of every head, rotated by the angles position * frequencies [F]: column i with column
// F + i (Su et al. 2021, arXiv 2104.09864).
Var rotary(Context& c, int64_t heads, const Var& x, const Weight& frequencies);

// Row t of x times weight[t], a factor per position.
Var scale_by_position(Context& c, const Var& x, Weight& weight);

// Weights that depend on the distance between two tokens: w[h, L - 1 - (t - u)] alpha[h, u] beta[h, t] is the
// weight of position u for position t. w [H, L], alpha [H, 1, L], beta [H, L, 1].
struct TimeWeights {
  Weight *w = nullptr, *alpha = nullptr, *beta = nullptr;
};

// Attention: y_t = sum over u <= t of a(t, u) v_u with a = softmax of the scores scale q_t k_u, per head. q
// [N, H * n]; k [S, capacity, H * n] and v [S, capacity, H * m] are histories that include the rows of this
// step; y [N, H * m].
struct Attention {
  int64_t heads = 1;
  double scale = 1;
  double cap = 0;         // > 0: the scores become cap tanh(score / cap)
  bool softmax = true;    // false: the scores are the weights
  TimeWeights time{};     // if given, multiplies the weights
  Weight* mix = nullptr;  // [H, H, 1, 1]: if given, head o uses sum_i mix[o, i] * (weights of head i)
};
Var attention(Context& c, const Var& q, const Var& k, const Var& v, const Attention& options);

// RWKV-1: y_t = sum over u <= t of W(t, u) e^{k_u} v_u / sum of e^{k_u}, W the time weights and k clamped to
// [-60, 30]; k, v [S, capacity, C] are histories that include the rows of this step.
Var wkv1(Context& c, const TimeWeights& time, const Var& k, const Var& v);

// AFT: y_t = sum over u <= t of e^{k_u + w[t, u]} v_u / sum of e^{k_u + w[t, u]}; w [L, L], k and v are
// histories.
Var aft_full(Context& c, Weight& w, const Var& k, const Var& v);

// ROSA of RWKV-8, separately for each channel: finds the longest suffix of the queries so far that also
// occurs among the earlier keys, takes its last occurrence, and y is the value that follows it; `missing` if
// there is none. Symbols are compared as numbers. q [N, C]; keys and values [S, capacity, C] are histories
// that include the rows of this step; match [S, capacity, C], the length of the match of the last queries
// with the keys up to each position, becomes that of the last row. There is no gradient: it is 0 wherever it
// exists.
Var rosa(Context& c, const Var& q, const Var& keys, const Var& values, double missing, Var& match);
// The same with the signs of q, k and v [N, C] as symbols: y = e [C] if the value found is above 0, otherwise
// -e. The histories are extended by this step.
struct RosaState {
  Var &keys, &values, &match;
};
Var rosa_qkv(Context& c, const Var& q, const Var& k, const Var& v, Weight& e, RosaState state);

// Head-QK: row t looks at every token u that its sequence has read, itself included, and adds scale q_t k_u
// to the logit of that token; for a token that was read several times, all occurrences or only the largest
// one. q [N, D]; keys [S, capacity, D] and ids [S, capacity, 1] are histories that include the rows of this
// step.
struct Copies {
  Var q, keys, ids;
  double scale = 0;
  bool largest = false;

  bool empty() const { return q.empty(); }
};
// logits [rows.size(), V] += the copies of these rows of the step.
void add_copies(Context& c, const Copies& copies, std::span<const int64_t> rows, const Tensor& logits);
// Backward: adds to the gradients of q and keys, given the gradient of the logits of these rows.
void add_copies_backward(Context& c, const Copies& copies, std::span<const int64_t> rows,
                         const Tensor& dlogits);

// The logits [rows.size(), V] of these rows of the step: x head^T, the copies and, if there is one, the bias
// [V]; an empty tensor for no rows. Nothing is recorded.
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
