// How long the ranks of a run talk: for planning, before there are any.
#pragma once

#include <cstdint>
#include <string>

namespace aviary {

// A line between machines that sends and receives at the same time.
struct Link {
  double bits_per_second = 1e9;
  double latency = 2e-4;  // seconds from one program to the other
};
// "10Mbit", "1Gbit", "2.5Gbit" (per second). Throws Error for anything else.
Link link_of(const std::string& text);

// Seconds in which each of `ranks` machines exchanges: the sum of the gradients of `numbers` parameters,
// halved and halved again (each sends (ranks - 1) / ranks of them, of bytes_per_gradient bytes), and the new
// weights, of 4 bytes, back the same way (Shards). One rank: 0.
double exchange_seconds(int64_t ranks, int64_t numbers, int64_t bytes_per_gradient, const Link& link);

}  // namespace aviary
