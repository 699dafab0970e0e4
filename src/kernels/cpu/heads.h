// Loops over the heads of rows.
#pragma once

#include <algorithm>

#include "base/threads.h"
#include "kernels/kernels.h"

namespace aviary::kernels {

// body(first column, offset) for every head of every row.
template <typename Body>
void for_heads(const Heads& shape, Body body) {
  const int64_t cols = shape.heads * shape.head_size;
  parallel_for(shape.rows, std::max<int64_t>(1, 4096 / cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t c = 0; c < cols; c += shape.head_size) body(c, row * cols + c);
  });
}

// The same with `sums_count` sums over the rows: body(first column, offset, partial) adds to partial
// [sums_count, cols]. Each block of rows has its own partial sums in scratch [row_blocks, sums_count, cols];
// at the end they are added to `sums`, which may be null.
template <typename Body>
void for_heads_in_blocks(const Heads& shape, int sums_count, float* const* sums, float* scratch, Body body) {
  const int64_t cols = shape.heads * shape.head_size, width = sums_count * cols;
  parallel_for(row_blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      float* partial = scratch + block * width;
      std::fill(partial, partial + width, 0.0f);
      for (int64_t row = block * shape.rows / row_blocks; row < (block + 1) * shape.rows / row_blocks; ++row)
        for (int64_t c = 0; c < cols; c += shape.head_size) body(c, row * cols + c, partial);
    }
  });
  for (int64_t block = 0; block < row_blocks; ++block)
    for (int sum = 0; sum < sums_count; ++sum)
      if (sums[sum])
        for (int64_t i = 0; i < cols; ++i) sums[sum][i] += scratch[block * width + sum * cols + i];
}

}  // namespace aviary::kernels
