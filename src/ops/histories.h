// Operators that look back at histories [S, capacity, C]. If each history has its own memory, it has room for
// its own rows, and `capacity` is that of the largest.
#pragma once

#include "kernels/kernels.h"
#include "ops/places.h"

namespace aviary {

// The history rows that the rows of this step look at, valid until the arena is reset. The rows of this step
// must already be in the history, and there must be at most `limit` positions, if there is a limit.
inline kernels::Histories histories_of(Context& c, const char* op, const Var& history, int64_t limit = 0) {
  const int64_t S = c.sequences.count();
  require(history.shape().rank() == 3 && history.shape()[0] == S,
          "{}: a history has shape {}, expected [{}, capacity, columns]", op, history.shape(), S);
  const int64_t capacity = history.shape()[1];
  auto* positions = static_cast<int64_t*>(c.arena.allocate(S * static_cast<int64_t>(sizeof(int64_t))));
  for (int64_t s = 0; s < S; ++s) {
    positions[s] = c.position(s);
    const int64_t end = positions[s] + c.sequences.length(s);
    require(end <= capacity, "{}: {} rows in a history with a capacity of {}", op, end, capacity);
    require(limit == 0 || end <= limit, "{}: position {} is beyond the context length of {}", op, end - 1,
            limit);
  }
  return {c.sequences.begins(), positions, S, capacity};
}

// body(row of the step, its position, its sequence) for every row.
template <typename Body>
void for_rows(const kernels::Histories& at, Body body) {
  for (int64_t s = 0; s < at.sequences; ++s)
    for (int64_t row = at.begins[s]; row < at.begins[s + 1]; ++row)
      body(row, at.positions[s] + row - at.begins[s], s);
}

// The address of the gradient of the history of sequence s; null if there is none.
inline double* gradient_at(double* gradient, const kernels::Histories& at, int64_t s, int64_t cols) {
  return gradient ? gradient + s * at.capacity * cols : nullptr;
}

}  // namespace aviary
