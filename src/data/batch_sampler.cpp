#include "data/batch_sampler.h"

#include "base/error.h"
#include "base/random.h"

namespace aviary {

// It is computed, not stored: a Feistel network of four rounds permutes the numbers of 2 * half_bits bits,
// and a result outside the range is permuted again until it is inside.
int64_t permuted(int64_t index, int64_t count, uint64_t key) {
  int half_bits = 1;
  while ((int64_t{1} << (2 * half_bits)) < count) ++half_bits;
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t value = static_cast<uint64_t>(index);
  do {
    uint64_t left = value >> half_bits, right = value & mask;
    for (uint64_t round = 0; round < 4; ++round) {
      uint64_t mixed = left ^ (Random(key, right << 2 | round).next() & mask);
      left = right;
      right = mixed;
    }
    value = left << half_bits | right;
  } while (value >= static_cast<uint64_t>(count));
  return static_cast<int64_t>(value);
}

BatchSampler::BatchSampler(int64_t tokens, int64_t context, int64_t batch, uint64_t seed)
    : context_(context), batch_(batch), seed_(seed) {
  require(context >= 1 && batch >= 1, "batches: context is {} and batch is {}, expected at least 1", context,
          batch);
  require(tokens > context,
          "batches: the text has {} tokens, but a sequence needs {}; take a longer text or a shorter context",
          tokens, context + 1);
  windows_ = (tokens - 1) / context;
  slack_ = tokens - 1 - windows_ * context;
  if (windows_ >= 8 && slack_ < context / 2) {
    --windows_;
    slack_ += context;
  }
}

int64_t BatchSampler::start(int64_t sample) const {
  Random random = Random(seed_).split(static_cast<uint64_t>(sample / windows_));  // of the epoch
  const int64_t phase = random.below(slack_ + 1);
  return phase + permuted(sample % windows_, windows_, random.next()) * context_;
}

std::vector<int64_t> BatchSampler::starts(int64_t step) const {
  std::vector<int64_t> starts;
  starts.reserve(static_cast<size_t>(batch_));
  for (int64_t b = 0; b < batch_; ++b) starts.push_back(start(step * batch_ + b));
  return starts;
}

}  // namespace aviary
