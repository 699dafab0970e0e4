#include "data/magic_prime.h"

#include <cmath>

#include "base/error.h"

namespace aviary {
namespace {

uint64_t product(uint64_t a, uint64_t b, uint64_t modulus) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b % modulus);
}

uint64_t power(uint64_t base, uint64_t exponent, uint64_t modulus) {
  uint64_t result = 1;
  for (base %= modulus; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result = product(result, base, modulus);
    base = product(base, base, modulus);
  }
  return result;
}

}  // namespace

// Miller and Rabin's test; these bases decide all 64-bit numbers (Sinclair 2011).
bool is_prime(int64_t number) {
  if (number < 2) return false;
  const auto n = static_cast<uint64_t>(number);
  for (const uint64_t small : {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37})
    if (n % small == 0) return n == small;
  uint64_t odd = n - 1;
  int twos = 0;
  for (; odd % 2 == 0; odd /= 2) ++twos;
  for (const uint64_t base : {2ULL, 325ULL, 9375ULL, 28178ULL, 450775ULL, 9780504ULL, 1795265022ULL}) {
    uint64_t x = power(base, odd, n);
    if (x == 0 || x == 1 || x == n - 1) continue;
    bool passes = false;
    for (int i = 1; i < twos && !passes; ++i) {
      x = product(x, x, n);
      passes = x == n - 1;
    }
    if (!passes) return false;
  }
  return true;
}

int64_t cubing_prime(int64_t most) {
  for (int64_t p = most; p >= 2; --p)
    if (p % 3 == 2 && is_prime(p)) return p;
  return 0;
}

CubicOrder::CubicOrder(int64_t tokens, int64_t context) : context_(context), prime_(0), factor_(0) {
  require(context >= 1, "batches: the context is {}, expected at least 1", context);
  // RWKV-LM's rule: the windows of the data, less one, so that the token after the last window exists.
  prime_ = cubing_prime(tokens / context - 1);
  require(prime_ > 0,
          "batches: the data has {} tokens, but its cubic order needs at least three windows of {}", tokens,
          context);
  factor_ = static_cast<int64_t>(static_cast<double>(prime_) * (std::sqrt(5.0) - 1) / 2);
}

int64_t CubicOrder::start(int64_t index) const {
  const auto p = static_cast<uint64_t>(prime_), step = static_cast<uint64_t>(index + 1) % p;
  const uint64_t cube = product(product(step, step, p), step, p);
  return static_cast<int64_t>(product(static_cast<uint64_t>(factor_), cube, p)) * context_;
}

}  // namespace aviary
