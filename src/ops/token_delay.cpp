// Token shift without the mixing: every channel reads the row that is its own number of tokens back.
//   y[t, i] = x[t - d_i, i], from the state [S, D, C] (the last D rows, oldest first) where t < d_i
//   dx[t, i] = dy[t + d_i, i], dstate likewise
#include <algorithm>

#include "base/threads.h"
#include "ops/ops.h"

namespace aviary {
namespace {

// Adjacent channels with the same distance.
struct Part {
  int64_t channel, count, distance;
};

struct Call {
  Var x, state, y, next_state;
  Places before, after;  // addresses of the parts of the states
  const Sequences* sequences;
  std::span<const Part> parts;
};

// Calls body(first element of y, of x or -1, of the state or -1, count) for every part of every row of a
// sequence; with `last`, for the rows of the next state instead of y. Elements of states count from the
// sequence's own.
template <typename Body>
void for_parts(const Call& call, int64_t s, bool last, Body body) {
  const int64_t cols = call.x.cols(), depth = call.state.shape()[1], begin = call.sequences->begin(s),
                length = call.sequences->length(s);
  auto visit = [&](int64_t to, int64_t t, int64_t channel, int64_t count) {  // t < 0: a row of the state
    if (t >= 0)
      body(to + channel, (begin + t) * cols + channel, int64_t{-1}, count);
    else
      body(to + channel, int64_t{-1}, (depth + t) * cols + channel, count);
  };
  for (int64_t j = 0; last && j < depth; ++j) visit(j * cols, length - depth + j, 0, cols);
  for (int64_t t = 0; !last && t < length; ++t)
    for (const Part& part : call.parts)
      visit((begin + t) * cols, t - part.distance, part.channel, part.count);
}

template <typename T>
void forward(const Call& call) {
  const T* x = call.x.value.as<T>();
  parallel_for(call.sequences->count(), 1, [&](int64_t first, int64_t end) {
    // The next state may be in the place of the last one: its rows are written after y, the oldest first.
    for (int64_t s = first; s < end; ++s)
      for (bool last : {false, true}) {
        const T* state = call.before.as<T>()[s];
        T* y = last ? call.after.as<T>()[s] : call.y.value.as<T>();
        for_parts(call, s, last, [&](int64_t to, int64_t of_x, int64_t of_state, int64_t count) {
          std::copy_n(of_x >= 0 ? x + of_x : state + of_state, count, y + to);
        });
      }
  });
}

template <typename T>
void add_to(const T* from, int64_t count, T* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

template <typename T>
void backward(Tape& tape, const Call& call) {
  T* dx = tape.gradient(call.x).as<T>();
  const Tensor dstates = tape.gradient(call.state), dnext = call.next_state.gradient->tensor;
  parallel_for(call.sequences->count(), 1, [&](int64_t first, int64_t end) {
    for (int64_t s = first; s < end; ++s)
      for (bool last : {false, true}) {
        T* dstate = part_of(dstates, s).as<T>();
        const T* dy = last ? part_of(dnext, s).as<T>() : call.y.gradient->tensor.as<T>();
        if (!dy) continue;
        for_parts(call, s, last, [&](int64_t to, int64_t of_x, int64_t of_state, int64_t count) {
          if (of_x >= 0 && dx) add_to(dy + to, count, dx + of_x);
          if (of_state >= 0 && dstate) add_to(dy + to, count, dstate + of_state);
        });
      }
  });
}

// Valid until the arena is reset.
std::span<const Part> parts_of(Context& c, std::span<const int32_t> distances) {
  const auto bytes = static_cast<int64_t>(distances.size() * sizeof(Part));
  auto* parts = static_cast<Part*>(c.arena.allocate(bytes));
  size_t count = 0;
  for (size_t i = 0; i < distances.size(); ++i) {
    if (i == 0 || distances[i] != distances[i - 1])
      parts[count++] = {static_cast<int64_t>(i), 0, distances[i]};
    ++parts[count - 1].count;
  }
  return {parts, count};
}

}  // namespace

Var token_delay(Context& c, const Var& x, Var& state, std::span<const int32_t> distances) {
  const int64_t S = c.sequences.count(), C = x.cols();
  require_shape("token_delay", "x", x.shape(), {c.sequences.rows(), C});
  require(std::ssize(distances) == C, "token_delay: {} distances for {} channels", distances.size(), C);
  require(state.shape().rank() == 3, "token_delay: the state has shape {}, expected [{}, depth, {}]",
          state.shape(), S, C);
  require_shape("token_delay", "state", state.shape(), {S, state.shape()[1], C});
  for (int32_t distance : distances)
    require(distance >= 0 && distance <= state.shape()[1],
            "token_delay: a distance of {}, but the state holds {} rows", distance, state.shape()[1]);
  const Var next = c.next_state(state);
  const Call call{x,
                  state,
                  c.result_like(x),
                  next,
                  places_of(c, state),
                  places_of(c, next),
                  &c.sequences,
                  parts_of(c, distances)};
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
