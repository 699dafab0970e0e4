// What attention looks back at: the rows of earlier steps, one below the other, with this step's behind them.
//   history'[s, position + t] = x[t];  dx[t] = dhistory'[s, position + t], dhistory = the rest
#include "ops/accumulate.h"
#include "ops/ops.h"

namespace aviary {
namespace {

struct Call {
  Var x, before, after;
  const Sequences* sequences;
  const int64_t* positions;  // per sequence
};

// A part of a tensor as a tensor: `rows` rows of `cols` from row `first` of the matrix that it is.
Tensor rows_of(const Tensor& tensor, int64_t first, int64_t rows) {
  const int64_t cols = tensor.cols();
  return {static_cast<char*>(tensor.data()) + first * cols * size_of(tensor.dtype()),
          {rows, cols},
          tensor.dtype()};
}

// Calls body(rows of x, rows of the history) for every sequence.
template <typename Body>
void for_new_rows(const Call& call, const Tensor& x, const Tensor& history, Body body) {
  const int64_t capacity = call.before.shape()[1];
  for (int64_t s = 0; s < call.sequences->count(); ++s) {
    const int64_t length = call.sequences->length(s);
    body(rows_of(x, call.sequences->begin(s), length),
         rows_of(history, s * capacity + call.positions[s], length));
  }
}

void backward(Tape& tape, const Call& call) {
  const Tensor dafter = tape.gradient(call.after);
  if (const Tensor dx = tape.gradient(call.x); !dx.empty())
    for_new_rows(call, dx, dafter, [](const Tensor& to, const Tensor& from) { accumulate(from, to); });
  if (!call.before.gradient) return;
  for_new_rows(call, dafter, dafter, [](const Tensor&, const Tensor& fresh) { set_zero(fresh); });
  pass_gradient(tape, call.after, call.before);
}

}  // namespace

Var append_history(Context& c, const Var& x, Var& history) {
  const int64_t S = c.sequences.count();
  require_shape("append_history", "x", x.shape(), {c.sequences.rows(), x.cols()});
  require(history.shape().rank() == 3,
          "append_history: the history has shape {}, expected [{}, capacity, {}]", history.shape(), S,
          x.cols());
  const int64_t capacity = history.shape()[1];
  require_shape("append_history", "history", history.shape(), {S, capacity, x.cols()});
  auto* positions = static_cast<int64_t*>(c.arena.allocate(S * static_cast<int64_t>(sizeof(int64_t))));
  for (int64_t s = 0; s < S; ++s) {
    positions[s] = c.position(s);
    require(positions[s] + c.sequences.length(s) <= capacity,
            "append_history: {} rows behind {} need more than the capacity of {}", c.sequences.length(s),
            positions[s], capacity);
  }
  // Without a tape nobody needs what was there before: the rows are written where they belong.
  const Call call{x, history, c.tape ? c.result_like(history) : history, &c.sequences, positions};
  if (c.tape) copy(history.value, call.after.value);
  for_new_rows(call, x.value, call.after.value, [](const Tensor& from, const Tensor& to) { copy(from, to); });
  if (c.tape) c.tape->record({call.after}, [call](Tape& tape) { backward(tape, call); });
  return history = call.after;
}

}  // namespace aviary
