// Random numbers whose entire state is two integers, so that a checkpoint can contain it and a run can resume
// bit for bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace aviary {

// SplitMix64 (Steele, Lea, Flood 2014) used as a counter: number i of seed s is a hash of (s, i).
class Random {
 public:
  explicit Random(uint64_t seed = 0, uint64_t counter = 0) : seed_(seed), counter_(counter) {}

  uint64_t next() {
    uint64_t z = mix(seed_) + 0x9e3779b97f4a7c15ULL * ++counter_;
    return mix(z);
  }
  // In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // In [0, n), n > 0; the bias of the multiplication is below 2^-64 * n.
  int64_t below(int64_t n) {
    return static_cast<int64_t>((static_cast<unsigned __int128>(next()) * static_cast<uint64_t>(n)) >> 64);
  }
  // Standard normal (Box and Muller; one number of each pair is discarded so that the state remains two
  // integers).
  double normal() {
    double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * uniform());
  }

  // An independent stream for purpose `stream`.
  Random split(uint64_t stream) const { return Random(mix(seed_ ^ mix(stream + 1)), 0); }

  uint64_t seed() const { return seed_; }
  uint64_t counter() const { return counter_; }

 private:
  static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  uint64_t seed_;
  uint64_t counter_;
};

}  // namespace aviary
