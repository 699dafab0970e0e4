// Chooses the parts of a corpus that a training step reads.
#pragma once

#include <cstdint>
#include <vector>

namespace aviary {

// Where a random permutation of [0, count), chosen by the key, puts an index.
int64_t permuted(int64_t index, int64_t count, uint64_t key);

// The order of training: each epoch divides the tokens into windows that do not overlap, starting at a random
// offset (the phase), and visits them in random order. Everything is a function of (seed, step), so that a
// run can be resumed from its step number.
//
// A window has `context` tokens and needs one more, the last target. An epoch has floor((tokens - 1) /
// context) windows, one less if that leaves too little room for the phase. So in each epoch every token is an
// input once, except those before the first and after the last window, at most 1.5 * context in all.
class BatchSampler {
 public:
  // Throws Error unless tokens > context >= 1 and batch >= 1.
  BatchSampler(int64_t tokens, int64_t context, int64_t batch, uint64_t seed);

  // The start of each of the `batch` windows of a step: inputs are [start, start + context), targets one
  // later.
  std::vector<int64_t> starts(int64_t step) const;
  // The same of sample 0, 1, ..., which is sequence `sample % batch` of step `sample / batch`.
  int64_t start(int64_t sample) const;

  int64_t windows_per_epoch() const { return windows_; }
  double steps_per_epoch() const { return static_cast<double>(windows_) / static_cast<double>(batch_); }

 private:
  int64_t context_, batch_;
  uint64_t seed_;
  int64_t windows_ = 0;
  int64_t slack_ = 0;  // the largest phase
};

}  // namespace aviary
