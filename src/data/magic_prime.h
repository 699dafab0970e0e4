// The order in which RWKV-LM reads the windows of a .bin: window number factor * step^3 modulo a prime p with
// p mod 3 = 2, for which the cube is a permutation.
#pragma once

#include <cstdint>

namespace aviary {

bool is_prime(int64_t number);

// The largest prime p <= most with p mod 3 = 2; 0 if there is none.
int64_t cubing_prime(int64_t most);

// The order of RWKV-5 and later (train_temp of RWKV-7).
class CubicOrder {
 public:
  // Of a .bin with so many tokens, read in windows of `context` tokens and the one after. Throws Error if it
  // has less than two windows.
  CubicOrder(int64_t tokens, int64_t context);

  int64_t prime() const { return prime_; }
  // The first token of sample number `index`, which counts from 0 over all steps and sequences.
  int64_t start(int64_t index) const;

 private:
  int64_t context_, prime_, factor_;
};

}  // namespace aviary
