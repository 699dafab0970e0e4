// Where the tokens of a training pass come from.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/batch_sampler.h"
#include "tensor/sequences.h"

namespace aviary {

// What one pass of training reads: sequences that may differ in length, one below the other.
struct Batch {
  std::vector<int32_t> tokens;   // [N]
  std::vector<int32_t> targets;  // [N], the token that should follow; < 0: not trained on
  Sequences sequences;           // of the N rows
  // [S]: whether sequence s begins with a fresh state; otherwise it goes on with the state that sequence s of
  // the pass before ended with.
  std::vector<bool> fresh;

  // Targets that are trained on.
  int64_t counted() const;
};

// Everything follows from the number of the pass, so that a run goes on with the number of its step.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // The batch of pass 0, 1, ..., valid until the next call.
  virtual const Batch& batch(int64_t pass) = 0;
};

// Windows of a text in random order (data/batch_sampler.h), each with a fresh state. The tokens must outlive
// it.
class WindowSource : public BatchSource {
 public:
  WindowSource(std::span<const int32_t> text, int64_t context, int64_t batch, uint64_t seed);
  const Batch& batch(int64_t pass) override;

 private:
  std::span<const int32_t> text_;
  int64_t context_;
  BatchSampler sampler_;
  Batch batch_;
};

// Each of the batch's sequences walks through its own part of the text, carrying its state; at the end of the
// text it goes on at the beginning. Throws Error unless the text has more than `context` tokens.
class CarriedSource : public BatchSource {
 public:
  CarriedSource(std::span<const int32_t> text, int64_t context, int64_t batch);
  const Batch& batch(int64_t pass) override;

 private:
  std::span<const int32_t> text_;
  int64_t context_;
  Batch batch_;
};

}  // namespace aviary
