// The memory of a model in a state, head by head: what the views of the inside show.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "models/state.h"

namespace aviary {

// A head's part of a state. Versions without heads are divided into groups of 64 channels.
struct MemoryHead {
  int64_t layer = 0, head = 0;
  size_t part = 0;
  // RWKV-2 to 4 keep a sum and the sum of its weights: the memory is the quotient, and this the latter's
  // part.
  std::optional<size_t> divisor = {};
  int64_t first = 0, count = 0;  // of the numbers of the part
  int64_t side = 0;              // of a square matrix; 0: a vector
};

// Those of all recurrences, by layer; none for versions that keep rows of tokens instead.
std::vector<MemoryHead> memory_heads(const StateLayout& layout);

// The numbers of a head; `out` has head.count of them.
void read_memory(const State& state, const MemoryHead& head, std::span<float> out);

// |a - b|, and |a|.
double distance(std::span<const float> a, std::span<const float> b);
double length(std::span<const float> a);

}  // namespace aviary
