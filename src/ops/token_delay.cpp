// Token shift without the mixing: every channel sees a row that is its own number of tokens above.
//   y[t, i] = x[t - d_i, i], from the state [S, D, C] (the last D rows, oldest first) where t < d_i
//   dx[t, i] = dy[t + d_i, i], dstate likewise
#include "base/threads.h"
#include "ops/ops.h"

namespace aviary {
namespace {

struct Call {
  Var x, state, y, next_state;
  const Sequences* sequences;
  const int32_t* distances;  // [C]
};

// Calls body(element of y, element of x or null, element of the state or null) for every element of a
// sequence whose source is in x or in the state; with `last`, for the elements of the next state instead of
// y.
template <typename Body>
void for_elements(const Call& call, int64_t s, bool last, Body body) {
  const int64_t cols = call.x.cols(), depth = call.state.shape()[1], begin = call.sequences->begin(s),
                length = call.sequences->length(s);
  auto visit = [&](int64_t to, int64_t t, int64_t i) {  // row t of the sequence; negative: of the state
    if (t >= 0)
      body(to, (begin + t) * cols + i, int64_t{-1});
    else
      body(to, int64_t{-1}, (s * depth + depth + t) * cols + i);
  };
  if (last) {
    for (int64_t j = 0; j < depth; ++j)
      for (int64_t i = 0; i < cols; ++i) visit((s * depth + j) * cols + i, length - depth + j, i);
    return;
  }
  for (int64_t t = 0; t < length; ++t)
    for (int64_t i = 0; i < cols; ++i) visit((begin + t) * cols + i, t - call.distances[i], i);
}

template <typename T>
void forward(const Call& call) {
  const T *x = call.x.value.as<T>(), *state = call.state.value.as<T>();
  parallel_for(call.sequences->count(), 1, [&](int64_t first, int64_t end) {
    for (int64_t s = first; s < end; ++s)
      for (bool last : {false, true}) {
        T* y = (last ? call.next_state : call.y).value.as<T>();
        for_elements(call, s, last, [&](int64_t to, int64_t of_x, int64_t of_state) {
          y[to] = of_x >= 0 ? x[of_x] : state[of_state];
        });
      }
  });
}

template <typename T>
void backward(Tape& tape, const Call& call) {
  T *dx = tape.gradient(call.x).as<T>(), *dstate = tape.gradient(call.state).as<T>();
  parallel_for(call.sequences->count(), 1, [&](int64_t first, int64_t end) {
    for (int64_t s = first; s < end; ++s)
      for (bool last : {false, true}) {
        const T* dy = (last ? call.next_state : call.y).gradient->tensor.as<T>();
        if (!dy) continue;
        for_elements(call, s, last, [&](int64_t to, int64_t of_x, int64_t of_state) {
          if (of_x >= 0 && dx) dx[of_x] += dy[to];
          if (of_state >= 0 && dstate) dstate[of_state] += dy[to];
        });
      }
  });
}

}  // namespace

Var token_delay(Context& c, const Var& x, Var& state, std::span<const int32_t> distances) {
  const int64_t S = c.sequences.count(), C = x.cols();
  require_shape("token_delay", "x", x.shape(), {c.sequences.rows(), C});
  require(std::ssize(distances) == C, "token_delay: {} distances for {} channels", distances.size(), C);
  require(state.shape().rank() == 3, "token_delay: the state has shape {}, expected [{}, depth, {}]",
          to_string(state.shape()), S, C);
  require_shape("token_delay", "state", state.shape(), {S, state.shape()[1], C});
  for (int32_t distance : distances)
    require(distance >= 0 && distance <= state.shape()[1],
            "token_delay: a distance of {}, but the state holds {} rows", distance, state.shape()[1]);
  const Call call{x, state, c.result_like(x), c.result_like(state), &c.sequences, distances.data()};
  const bool exact = x.dtype() == Dtype::f64;
  exact ? forward<double>(call) : forward<float>(call);
  if (c.tape)
    c.tape->record({call.y, call.next_state}, [call, exact](Tape& tape) {
      exact ? backward<double>(tape, call) : backward<float>(tape, call);
    });
  state = call.next_state;
  return call.y;
}

}  // namespace aviary
