// ROSA, the rapid online suffix automaton of RWKV-8 (RWKV-LM, RWKV-v8), as a layer of one bit per channel.
//   At row i of a channel, match_j is the length of the longest sequence of symbols that ends the queries
//   q_0 ... q_i and also ends the keys k_0 ... k_j:
//     match_j = match_{j-1} of row i - 1, plus 1, where q_i = k_j; otherwise 0
//   Of the j < i with match_j > 0, the j of the largest (of equals, the last) gives v_{j+1}.
// Backward: symbols are piecewise constant, so the derivatives with respect to q, k and v are 0 wherever they
// exist, and these are the gradients used. For y = b e, de = sum over rows of dy b.
#include "ops/ops.h"

namespace aviary {
namespace {

void reference(const kernels::Rosa& shape, const double* q, const double* const* all_keys,
               const double* const* all_values, double* const* all_match, double* y) {
  const int64_t C = shape.cols;
  for (int64_t s = 0; s < shape.sequences; ++s) {
    const double *keys = all_keys[s], *values = all_values[s];
    double* match = all_match[s];
    for (int64_t c = 0; c < C; ++c) {
      int64_t now = shape.positions ? shape.positions[s] : 0;
      for (int64_t t = shape.begins[s]; t < shape.begins[s + 1]; ++t, ++now) {
        double longest = 0, before = 0;  // before: match_{j-1} of the previous row
        y[t * C + c] = shape.missing;
        for (int64_t j = 0; j <= now; ++j) {
          const int64_t at = j * C + c;
          const double length = q[t * C + c] == keys[at] ? before + 1 : 0;
          before = match[at];
          match[at] = length;
          if (j == now || length == 0 || length < longest) continue;
          longest = length;
          y[t * C + c] = values[at + C];
        }
      }
    }
  }
}

// A copy of the matches of the rows read so far; the others are 0.
Var copied_match(Context& c, const Var& match) {
  const Var next{c.arena.tensor(match.shape(), match.dtype())};
  const Places from = places_of(c, match);
  set_zero(next.value);
  for (int64_t s = 0; s < c.sequences.count(); ++s)
    copy(part_of(match, from, s).rows(0, c.position(s)), part_of(next.value, s).rows(0, c.position(s)));
  return next;
}

// 1 where x > 0, otherwise -1; without gradient.
Var signs(Context& c, const Var& x) {
  Var y{c.arena.tensor(x.shape(), x.dtype())};
  if (x.dtype() == Dtype::f64)
    for (int64_t i = 0; i < x.value.count(); ++i)
      y.value.as<double>()[i] = x.value.as<double>()[i] > 0 ? 1 : -1;
  else
    kernels::signs(x.value.as<float>(), x.value.count(), y.value.as<float>());
  return y;
}

void backward(Tape& tape, const Var& y, const Tensor& bits, Weight& e) {
  const Tensor dy = tape.gradient(y);
  const int64_t cols = dy.cols();
  if (dy.dtype() == Dtype::f64) {
    for (int64_t i = 0; i < dy.count(); ++i)
      e.gradient().as<double>()[i % cols] += dy.as<double>()[i] * bits.as<double>()[i];
    return;
  }
  Tensor product = tape.scratch(dy.shape(), Dtype::f32);
  Tensor scratch = tape.scratch({kernels::row_blocks, cols}, Dtype::f32);
  kernels::mul(dy.as<float>(), bits.as<float>(), dy.count(), product.as<float>());
  kernels::sum_rows(product.as<float>(), dy.rows(), cols, e.gradient().as<float>(), scratch.as<float>());
  tape.release(scratch);
  tape.release(product);
}

}  // namespace

Var rosa(Context& c, const Var& q, const Var& keys, const Var& values, double missing, Var& match) {
  const int64_t rows = c.sequences.rows(), cols = q.cols(), S = c.sequences.count();
  require_shape("rosa", "q", q.shape(), {rows, cols});
  const int64_t capacity = keys.shape().rank() == 3 ? keys.shape()[1] : 0;
  for (const auto& [name, history] : {std::pair("keys", &keys), std::pair("values", &values),
                                      std::pair<const char*, const Var*>("match", &match)})
    require_shape("rosa", name, history->shape(), {S, capacity, cols});
  for (int64_t s = 0; s < S; ++s)
    require(c.position(s) + c.sequences.length(s) <= capacity,
            "rosa: {} rows behind {} need more than the capacity of {}", c.sequences.length(s), c.position(s),
            capacity);
  const Var y{c.arena.tensor(q.shape(), q.dtype())}, next = c.tape ? copied_match(c, match) : match;
  const Places of_keys = places_of(c, keys), of_values = places_of(c, values), of_match = places_of(c, next);
  match = next;
  const int64_t* positions = c.positions.empty() ? nullptr : c.positions.data();
  const kernels::Rosa shape{c.sequences.begins(), positions, S, cols, static_cast<float>(missing)};
  if (q.dtype() == Dtype::f64)
    reference(shape, q.value.as<double>(), of_keys.as<double>(), of_values.as<double>(),
              of_match.as<double>(), y.value.as<double>());
  else
    kernels::rosa(shape, q.value.as<float>(), of_keys.as<float>(), of_values.as<float>(),
                  of_match.as<float>(), y.value.as<float>());
  return y;
}

Var rosa_qkv(Context& c, const Var& q, const Var& k, const Var& v, Weight& e, RosaState state) {
  const int64_t rows = q.rows(), cols = q.cols();
  require_count("rosa_qkv", "e", e.value(), cols);
  append_history(c, signs(c, k), state.keys);
  append_history(c, signs(c, v), state.values);
  const Tensor bits = rosa(c, signs(c, q), state.keys, state.values, -1, state.match).value;
  Var y = c.result_like(q);
  if (y.dtype() == Dtype::f64)
    for (int64_t i = 0; i < rows * cols; ++i)
      y.value.as<double>()[i] = bits.as<double>()[i] * e.value().as<double>()[i % cols];
  else
    kernels::scale_columns(bits.as<float>(), e.value().as<float>(), rows, cols, y.value.as<float>());
  if (c.tape && e.trainable()) c.tape->record({y}, [=, &e](Tape& tape) { backward(tape, y, bits, e); });
  return y;
}

}  // namespace aviary
