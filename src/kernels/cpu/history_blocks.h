// Shared by attention and similar operators: blocks of the rows of a step, and weights that depend on the
// distance between two tokens.
#pragma once

#include <algorithm>

#include "base/threads.h"
#include "kernels/kernels.h"

namespace aviary::kernels {

// Rows of a step that are computed together. In a kernel they lie along the vector lanes, block_width or
// fewer.
inline constexpr int64_t block_rows = 32, block_width = 16;

struct Block {
  int64_t sequence;
  int64_t row;    // of the step: its first
  int64_t rows;   // at most block_rows
  int64_t first;  // position of the first row in its sequence
  // Rows of the history that its last row sees.
  int64_t count() const { return first + rows; }
  // Its rows, rounded up to whole vectors.
  int64_t width() const { return (rows + block_width - 1) / block_width * block_width; }
};

inline int64_t blocks_of(const Histories& at, int64_t s) {
  return (at.begins[s + 1] - at.begins[s] + block_rows - 1) / block_rows;
}

inline Block block_of(const Histories& at, int64_t s, int64_t i) {
  const int64_t row = at.begins[s] + i * block_rows;
  return {s, row, std::min(block_rows, at.begins[s + 1] - row), at.positions[s] + i * block_rows};
}

// body(part, block) for every block of every sequence and every one of `parts`. Late blocks see more rows, so
// early and late ones alternate.
template <typename Body>
void for_blocks(const Histories& at, int64_t parts, Body body) {
  int64_t most = 0;
  for (int64_t s = 0; s < at.sequences; ++s) most = std::max(most, blocks_of(at, s));
  parallel_for(at.sequences * parts * most, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t s = task / (parts * most), i = task % most, blocks = blocks_of(at, s);
      if (i < blocks) body(task / most % parts, block_of(at, s, i % 2 == 0 ? i / 2 : blocks - 1 - i / 2));
    }
  });
}

// w[h, L - 1 - lag] by lag, with zeros for future tokens; `memory` has room for lag_floats(L).
inline int64_t lag_floats(int64_t length) { return length + 2 * block_rows; }
inline float* weights_by_lag(const TimeWeights& time, int64_t head, float* memory) {
  float* curve = memory + block_rows;
  std::fill(memory, curve, 0.0f);
  std::reverse_copy(time.w + head * time.length, time.w + (head + 1) * time.length, curve);
  std::fill(curve + time.length, curve + time.length + block_rows, 0.0f);
  return curve;
}

}  // namespace aviary::kernels
