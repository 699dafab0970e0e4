// Positions of the states that recurrences with a matrix per head keep for the backward pass: one for each
// wkv_chunk rows (or part of them) of a sequence, one sequence after another.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace aviary::kernels {

inline int64_t chunks_of(int64_t rows) { return (rows + wkv_chunk - 1) / wkv_chunk; }

// The number of the first state that is kept of each sequence; none when nothing is kept.
inline std::vector<int64_t> first_checkpoints(const int64_t* begins, int64_t sequences, bool kept) {
  std::vector<int64_t> first;
  if (!kept) return first;
  first.reserve(static_cast<size_t>(sequences));
  int64_t count = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    first.push_back(count);
    count += chunks_of(begins[s + 1] - begins[s]);
  }
  return first;
}

}  // namespace aviary::kernels
