// Divides the recurrences of single channels into tasks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/threads.h"
#include "kernels/kernels.h"

namespace aviary::kernels {

inline constexpr int64_t channel_block = 64;

// to[s] = from[s] [count], where these are not the same memory.
inline void copy_states(ConstPlaces from, int64_t sequences, int64_t count, Places to) {
  for (int64_t s = 0; s < sequences; ++s)
    if (from[s] != to[s]) std::memcpy(to[s], from[s], static_cast<size_t>(count) * sizeof(float));
}

// body(sequence, first channel, number of channels), in parallel.
template <typename Body>
void for_channel_blocks(int64_t sequences, int64_t cols, Body body) {
  const int64_t blocks = (cols + channel_block - 1) / channel_block;
  parallel_for(sequences * blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t channel = task % blocks * channel_block;
      body(task / blocks, channel, std::min(channel_block, cols - channel));
    }
  });
}

}  // namespace aviary::kernels
