// Histories for attention: the rows of earlier steps, followed by those of this step.
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

// Calls body(rows of x, rows of the history) for every sequence; history(s) is that of sequence s.
template <typename History, typename Body>
void for_new_rows(const Call& call, const Tensor& x, History history, Body body) {
  for (int64_t s = 0; s < call.sequences->count(); ++s) {
    const int64_t first = call.positions[s];
    body(x.rows(call.sequences->begin(s), call.sequences->end(s)),
         history(s).rows(first, first + call.sequences->length(s)));
  }
}

void backward(Tape& tape, const Call& call) {
  const Tensor dafter = tape.gradient(call.after);
  auto dhistory = [&](int64_t s) { return part_of(dafter, s); };
  if (const Tensor dx = tape.gradient(call.x); !dx.empty())
    for_new_rows(call, dx, dhistory, [](const Tensor& to, const Tensor& from) { accumulate(from, to); });
  if (!call.before.gradient) return;
  for (int64_t s = 0; s < call.sequences->count(); ++s)
    set_zero(dhistory(s).rows(call.positions[s], call.positions[s] + call.sequences->length(s)));
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
  // Without a tape, the rows are written where the others are.
  const Call call{x, history, c.next_state(history), &c.sequences, positions};
  const Places before = places_of(c, history), places = places_of(c, call.after);
  auto after = [&](int64_t s) { return part_of(call.after, places, s); };
  for (int64_t s = 0; c.tape && s < S; ++s) {
    copy(part_of(history, before, s).rows(0, positions[s]), after(s).rows(0, positions[s]));
    set_zero(after(s).rows(positions[s] + c.sequences.length(s), capacity));
  }
  for_new_rows(call, x.value, after, [](const Tensor& from, const Tensor& to) { copy(from, to); });
  if (c.tape) c.tape->record({call.after}, [call](Tape& tape) { backward(tape, call); });
  return history = call.after;
}

}  // namespace aviary
