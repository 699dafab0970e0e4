// The order in which training reads windows of one or several texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "data/batch_sampler.h"
#include "data/magic_prime.h"

namespace aviary {

struct Window {
  size_t text = 0;    // which of the texts
  int64_t start = 0;  // its first token
};

// Each text has an order of its own windows: epochs in random order (BatchSampler), or the cubic order of
// RWKV-LM (CubicOrder). Of several texts, an epoch has weight times as many windows of a text as that has,
// rounded, and at least one; which text is next is random, and a text goes on in its own order from one epoch
// to the next, so that with a weight of 0.5 two epochs read it once. Everything is a function of the seed and
// the number of the sample.
class WindowOrder {
 public:
  struct Text {
    int64_t tokens = 0;
    double weight = 1;
  };
  enum class Kind : uint8_t { shuffled, cubic };

  // Throws Error unless there is a text, each is longer than a window, and weights are above 0.
  WindowOrder(const std::vector<Text>& texts, int64_t context, uint64_t seed, Kind kind = Kind::shuffled);

  // Of sample 0, 1, ..., which counts over all steps and their sequences.
  Window window(int64_t sample) const;

 private:
  struct Part {
    BatchSampler shuffled;
    std::optional<CubicOrder> cubic = {};
    int64_t count = 0;  // windows in an epoch of all texts
  };

  std::vector<Part> parts_;
  int64_t epoch_ = 0;  // windows
  uint64_t seed_;
};

}  // namespace aviary
