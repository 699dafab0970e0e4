// The functions that a backend must provide in addition to matrix products (matmul.h): plain functions on
// float32 pointers and sizes.
//
// Shapes: rows x cols, row-major, contiguous. Gradients are added to the gradient arguments (dx, dweight,
// ...), which may be null if not needed. Sums over rows are computed as `row_blocks` partial sums, added in
// order, so that no result depends on the number of threads; `scratch` has room for them. Each function is
// defined by the double-precision reference of the operator of the same name in ops/.
#pragma once

#include <cstdint>

namespace aviary::kernels {

// Also the largest number of threads that such a sum keeps busy.
inline constexpr int64_t row_blocks = 16;

// A part of the states of the sequences of a step, each in its own memory: that of sequence s is at [s]. Its
// shape is given as [...]; gradients of states are one tensor [sequences, ...].
using Places = float* const*;
using ConstPlaces = const float* const*;

// ---- Norms. mean, rstd [rows] are kept for the backward pass.
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, int64_t rows,
                int64_t cols, float* y, float* mean, float* rstd);
// scratch [row_blocks, 2, cols]
void layer_norm_backward(const float* dy, const float* x, const float* weight, const float* mean,
                         const float* rstd, int64_t rows, int64_t cols, float* dx, float* dweight,
                         float* dbias, float* scratch);

// ---- Token shift. out[o] = x + (shifted - x) * share for each of `outputs` outputs; `shifted` is the row
// above, or the sequence's state [cols]; share = mix[o], plus more[o] [rows, cols] if that is not null; with
// of_current, share is one minus that. begins: sequences + 1 offsets. next_state (may be null, or the same
// places as state): the last row of each.
struct TokenShift {
  const int64_t* begins;
  int64_t sequences;
  int64_t cols;
  int outputs;
  bool of_current;
};
inline constexpr int max_shift_outputs = 8;
struct TokenShiftInputs {
  const float* x;
  ConstPlaces state;
  const float* mix[max_shift_outputs];
  const float* more[max_shift_outputs];
};
struct TokenShiftGradients {
  float *x, *state;
  float* mix[max_shift_outputs];
  float* more[max_shift_outputs];
};
void token_shift_mix(const TokenShift& shape, const TokenShiftInputs& in, float* const* out,
                     Places next_state);
// scratch [row_blocks, outputs + 1, cols]; dout[o] and dnext_state may be null.
void token_shift_mix_backward(const TokenShift& shape, const TokenShiftInputs& in, const float* const* dout,
                              const float* dnext_state, const TokenShiftGradients& gradients, float* scratch);

// ---- Recurrences. All process `sequences` sequences of rows; state and next_state may be the same memory.
struct Wkv2 {
  const int64_t* begins;
  int64_t sequences;
  int64_t cols;
  float epsilon;  // added to the denominator
};
inline constexpr float wkv2_largest_key = 60;  // larger keys are clamped to this
// decay = exp(-exp(time_decay)), first = exp(time_first). state and next_state: aa, bb, each [cols]. history
// [rows, 2, cols] (may be null) receives the state before each row.
void wkv2(const Wkv2& shape, const float* decay, const float* first, const float* k, const float* v,
          const ConstPlaces state[2], float* y, const Places next_state[2], float* history);
// dvectors [2, cols]: of decay and first, not null. scratch [sequences, 2, cols]; dnext_state may be null.
void wkv2_backward(const Wkv2& shape, const float* decay, const float* first, const float* k, const float* v,
                   const float* history, const float* dy, const float* const dnext_state[2], float* dvectors,
                   float* dk, float* dv, float* const dstate[2], float* scratch);

struct Wkv4 {
  const int64_t* begins;
  int64_t sequences;
  int64_t cols;
};
// state and next_state: aa, bb, pp, each [cols]. history [rows, 3, cols] (may be null) receives the state
// before each row. decay = -exp(time_decay), computed by the caller.
void wkv4(const Wkv4& shape, const float* decay, const float* time_first, const float* k, const float* v,
          const ConstPlaces state[3], float* y, const Places next_state[3], float* history);
// scratch [sequences, 2, cols]; daa, dbb of next_state may be null; dstate has aa, bb, pp.
void wkv4_backward(const Wkv4& shape, const float* decay, const float* time_first, const float* k,
                   const float* v, const float* history, const float* dy, const float* const dnext_state[2],
                   float* ddecay, float* dtime_first, float* dk, float* dv, float* const dstate[3],
                   float* scratch);

struct Wkv7 {
  const int64_t* begins;
  int64_t sequences;
  int64_t heads;
  int64_t head_size;  // a multiple of 8, at most wkv_max_head_size
};
inline constexpr int64_t wkv_max_head_size = 128;
inline constexpr int64_t wkv_chunk = 16;  // rows between two states kept for the backward pass
struct Wkv7Inputs {
  const float *r, *w, *k, *v, *a, *b;  // [rows, heads * head_size]
  Wkv7Inputs at(int64_t i) const { return {r + i, w + i, k + i, v + i, a + i, b + i}; }
};
struct Wkv7Gradients {
  float *r, *w, *k, *v, *a, *b;
  Wkv7Gradients at(int64_t i) const { return {r + i, w + i, k + i, v + i, a + i, b + i}; }
};
// Number of states kept: one for each chunk of each sequence, including an incomplete last one.
int64_t wkv_checkpoints(const int64_t* begins, int64_t sequences);
// state, next_state [heads, key, value]. checkpoints [wkv_checkpoints, heads, key, value] (may be null). The
// work is divided by sequences and heads: a single sequence keeps as many threads busy as it has heads.
void wkv7(const Wkv7& shape, const Wkv7Inputs& in, ConstPlaces state, float* y, Places next_state,
          float* checkpoints);
void wkv7_backward(const Wkv7& shape, const Wkv7Inputs& in, const float* checkpoints, const float* dy,
                   const float* dnext_state, const Wkv7Gradients& gradients, float* dstate);

// RWKV-5 and 6.
struct Wkv6 {
  const int64_t* begins;
  int64_t sequences;
  int64_t heads;
  int64_t head_size;  // a multiple of 8, at most wkv_max_head_size
  bool shared_decay;  // w is one row for all tokens
};
struct Wkv6Inputs {
  const float *r, *k, *v;  // [rows, heads * head_size]
  const float* w;          // [rows or 1, heads * head_size]
  const float* u;          // [heads * head_size]
};
struct Wkv6Gradients {
  float *r, *k, *v;  // may not be null
  float* w;          // may be null if the decay is shared
  float* u;
};
// Checkpoints as for wkv7.
void wkv6(const Wkv6& shape, const Wkv6Inputs& in, ConstPlaces state, float* y, Places next_state,
          float* checkpoints);
// scratch [sequences, 2, heads * head_size]
void wkv6_backward(const Wkv6& shape, const Wkv6Inputs& in, const float* checkpoints, const float* dy,
                   const float* dnext_state, const Wkv6Gradients& gradients, float* dstate, float* scratch);

// ---- Attention and similar operators. The rows of a step look at the rows of their sequence's history [..,
// cols]: row t at rows 0 ... positions[s] + t, the last of which belong to this step.
struct Histories {
  const int64_t* begins;     // sequences + 1
  const int64_t* positions;  // sequences
  int64_t sequences;
  int64_t capacity;  // rows per sequence of the gradients of histories [sequences, capacity, cols]; no
                     // sequence has more rows
};
// w[h, length - 1 - (t - u)] alpha[h, u] beta[h, t] is the time weight of position u for position t; each
// [heads, length].
struct TimeWeights {
  const float *w, *alpha, *beta;
  int64_t length;
};
struct TimeWeightGradients {
  float *w, *alpha, *beta;
};

struct Attention {
  Histories at;
  int64_t heads, key_size, value_size;
  float scale;
  float cap;  // > 0: scores become cap tanh(score / cap)
  bool softmax;
  TimeWeights time;  // w null: none
  const float* mix;  // [heads, heads], or null
};
// q, k [.., heads * key_size], v and y [.., heads * value_size]; k and v are histories.
void attention(const Attention& shape, const float* q, ConstPlaces k, ConstPlaces v, float* y);
struct AttentionGradients {
  float *q, *k, *v;
  TimeWeightGradients time;
  float* mix;
};
int64_t attention_scratch(const Attention& shape);  // floats
void attention_backward(const Attention& shape, const float* q, ConstPlaces k, ConstPlaces v, const float* dy,
                        const AttentionGradients& gradients, float* scratch);

// RWKV-1: y_t = sum over u <= t of (time weight) e^{k_u} v_u / sum of e^{k_u}, k clamped to [-60, 30]. k, v
// are histories [.., cols].
struct Wkv1 {
  Histories at;
  int64_t heads, cols;
  TimeWeights time;
};
void wkv1(const Wkv1& shape, ConstPlaces k, ConstPlaces v, float* y);
struct Wkv1Gradients {
  float *k, *v;
  TimeWeightGradients time;
};
int64_t wkv1_scratch(const Wkv1& shape);  // floats
void wkv1_backward(const Wkv1& shape, ConstPlaces k, ConstPlaces v, const float* dy,
                   const Wkv1Gradients& gradients, float* scratch);

// AFT: y_t = sum over u <= t of e^{k_u + w[t, u]} v_u / sum of e^{k_u + w[t, u]}. w [length, length]; k, v
// are histories [.., cols].
struct Aft {
  Histories at;
  int64_t cols, length;
};
int64_t aft_scratch(const Aft& shape);  // floats, for forward and backward
// divisor [rows, cols] is kept for the backward pass.
void aft(const Aft& shape, const float* w, ConstPlaces k, ConstPlaces v, float* y, float* divisor,
         float* scratch);
void aft_backward(const Aft& shape, const float* w, ConstPlaces k, ConstPlaces v, const float* y,
                  const float* divisor, const float* dy, float* dw, float* dk, float* dv, float* scratch);

// x [rows, heads * head_size]: columns i and frequencies + i of every head rotated by positions[row] *
// frequency[i], i < frequencies; backward: by the negative angle. y may be x.
struct Rotary {
  int64_t rows, heads, head_size, frequencies;
  const int64_t* positions;  // of the rows
  bool backward;
};
void rotary(const Rotary& shape, const float* frequency, const float* x, float* y);

// y[r] = factor[positions[r]] x[r] (+= when `accumulate`)
void scale_rows(const float* factor, const int64_t* positions, const float* x, int64_t rows, int64_t cols,
                bool accumulate, float* y);
// dfactor[positions[r]] += x[r] dy[r]; scratch [rows]
void scale_rows_backward(const int64_t* positions, const float* x, const float* dy, int64_t rows,
                         int64_t cols, float* dfactor, float* scratch);

// ---- Operators on each head.
struct Heads {
  int64_t rows;
  int64_t heads;
  int64_t head_size;  // a multiple of 8
};
// y = (group_norm(x) weight + bias) gate(g), where each head of a row is a group; weight, bias [cols].
enum class Gate : uint8_t { none, plain, silu };
void group_norm(const Heads& shape, Gate gate, const float* x, const float* weight, const float* bias,
                const float* g, float epsilon, float* y);
// scratch [row_blocks, 2, cols]; dx, and dg with a gate, may not be null here.
void group_norm_backward(const Heads& shape, Gate gate, const float* x, const float* weight,
                         const float* bias, const float* g, float epsilon, const float* dy, float* dx,
                         float* dweight, float* dbias, float* dg, float* scratch);

// ---- RWKV-7.
// kk = normalize(k * k_k); out: k * (1 + (a - 1) * k_a), -kk, kk * a
void rwkv7_keys(const Heads& shape, const float* k, const float* k_k, const float* a, const float* k_a,
                float* out_k, float* minus_kk, float* kk_a);
// scratch [row_blocks, 2, cols]; dk and da may not be null here.
void rwkv7_keys_backward(const Heads& shape, const float* k, const float* k_k, const float* a,
                         const float* k_a, const float* dout_k, const float* dminus_kk, const float* dkk_a,
                         float* dk, float* dk_k, float* da, float* dk_a, float* scratch);
struct Rwkv7OutputInputs {
  const float *y, *r, *k, *v, *g;    // [rows, cols]
  const float *r_k, *weight, *bias;  // [cols]
};
struct Rwkv7OutputGradients {
  float *y, *r, *k, *v, *g;
  float *r_k, *weight, *bias;
};
// out = (group_norm(y) + (sum over the head of r * k * r_k) * v) * g
void rwkv7_output(const Heads& shape, const Rwkv7OutputInputs& in, float epsilon, float* out);
// scratch [row_blocks, 3, cols]; gradients of activations may not be null here.
void rwkv7_output_backward(const Heads& shape, const Rwkv7OutputInputs& in, float epsilon, const float* dout,
                           const Rwkv7OutputGradients& gradients, float* scratch);
// out = v + (v_first - v) * gate
void lerp(const float* v, const float* v_first, const float* gate, int64_t count, float* out);
void lerp_backward(const float* v, const float* v_first, const float* gate, const float* dout, int64_t count,
                   float* dv, float* dv_first, float* dgate);

// ---- Activations. gelu is the exact form, x times the normal distribution function; mish is x tanh(log(1 +
// e^x)).
enum class Activation : uint8_t { none, tanh, sigmoid, relu_squared, gelu, mish };
// y = activation(x + bias); bias [cols] may be null, y may be x.
void activate(Activation kind, const float* x, const float* bias, int64_t rows, int64_t cols, float* y);
// g *= derivative; `kept` is y for tanh and sigmoid, x for relu_squared, gelu and mish.
void activate_backward(Activation kind, const float* kept, int64_t count, float* g);
// y = sigmoid(r) * x, plus residual if not null.
void sigmoid_gate(const float* r, const float* x, const float* residual, int64_t count, float* y);
void sigmoid_gate_backward(const float* r, const float* x, const float* dy, int64_t count, float* dr,
                           float* dx);
// y += x
void add(const float* x, int64_t count, float* y);
// y = a * b
void mul(const float* a, const float* b, int64_t count, float* y);
void mul_backward(const float* a, const float* b, const float* dy, int64_t count, float* da, float* db);
// y[c] += sum over rows of x[r, c]; scratch [row_blocks, cols]
void sum_rows(const float* x, int64_t rows, int64_t cols, float* y, float* scratch);
// y = x * mask / (1 - p), where element i is kept when hash(seed, i) >= p. The backward pass uses the same
// call.
void dropout(const float* x, double p, uint64_t seed, int64_t count, float* y);

// ---- Rows of a table. table [vocabulary, cols]
void gather_rows(const float* table, const int32_t* ids, int64_t rows, int64_t cols, float* y);
void scatter_add_rows(const float* dy, const int32_t* ids, int64_t rows, int64_t cols, float* dtable);

// ---- Sums over rows of a matrix [rows, cols].
// dots[i] = row i * q
void dot_rows(const float* q, const float* matrix, int64_t rows, int64_t cols, float* dots);
// y += sum over i of weights[i] * row i
void add_weighted_rows(const float* weights, const float* matrix, int64_t rows, int64_t cols, float* y);

// ---- Each row times its own matrix: x [rows, inputs], matrices [rows, inputs, outputs], y [rows, outputs].
struct RowMatrix {
  int64_t rows, inputs, outputs;
};
void row_matrix(const RowMatrix& shape, const float* x, const float* matrices, float* y);
void row_matrix_backward(const RowMatrix& shape, const float* x, const float* matrices, const float* dy,
                         float* dx, float* dmatrices);

// ---- ROSA, separately for each channel: y = the value after the last occurrence, among earlier keys, of the
// longest matching suffix of the queries, or `missing`. keys, values, match [.., cols]: histories with this
// step's rows after the positions[s] (null: 0) earlier ones; match is updated to that of the last row.
struct Rosa {
  const int64_t *begins, *positions;
  int64_t sequences, cols;
  float missing;
};
void rosa(const Rosa& shape, const float* q, ConstPlaces keys, ConstPlaces values, Places match, float* y);
// y = 1 where x > 0, otherwise -1
void signs(const float* x, int64_t count, float* y);
// y[r, c] = x[r, c] * weight[c]
void scale_columns(const float* x, const float* weight, int64_t rows, int64_t cols, float* y);

// ---- Loss. logits [rows, cols] become the gradient of scale * (sum of cross entropies), plus, with l2wrap,
// the gradient of a penalty on the largest logit of each row. losses [rows]. Rows with a target < 0 are
// ignored.
void cross_entropy(float* logits, const int32_t* targets, int64_t rows, int64_t cols, float scale,
                   bool l2wrap, double* losses);

// ---- Optimizer.
struct AdamStep {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float gradient_scale;            // from clipping
  float correction1, correction2;  // 1 - beta^t
  bool cautious = false;           // decay only what the update makes smaller
};
// Also sets the gradient to zero.
void adam(const AdamStep& step, float* weight, float* gradient, float* m, float* v, int64_t count);
struct LionStep {
  float learning_rate, beta1, beta2, weight_decay, gradient_scale;
  bool cautious = false;
};
// Also sets the gradient to zero.
void lion(const LionStep& step, float* weight, float* gradient, float* m, int64_t count);
// m <- keep * m + (1 - keep) * g with g = gradient_scale * gradient; the gradient becomes the direction
// keep * m + (1 - keep) * g.
void nesterov(float keep, float gradient_scale, float* gradient, float* m, int64_t count);
// weight <- keep * weight - size * direction; cautious: `keep` only for what the direction makes smaller.
// Also sets the direction to zero.
void move_against(float* weight, float* direction, float size, float keep, bool cautious, int64_t count);
// average <- keep * average + (1 - keep) * values
void add_to_average(float* average, const float* values, float keep, int64_t count);
double sum_of_squares(const float* x, int64_t count);

}  // namespace aviary::kernels
