// Sources of the batches of training passes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/token_span.h"
#include "data/window_order.h"
#include "tensor/sequences.h"

namespace aviary {

// The input of one training pass: sequences, possibly of different lengths, one after another.
struct Batch {
  std::vector<int32_t> tokens;   // [N]
  std::vector<int32_t> targets;  // [N], the token that should follow; < 0: not trained on
  Sequences sequences;           // of the N rows
  // [S]: whether sequence s starts with a fresh state; otherwise it continues with the last state of sequence
  // s of the previous pass.
  std::vector<bool> fresh;

  // Number of targets that are trained on.
  int64_t counted() const;
  // Its sequences first ... last - 1, as a batch.
  Batch part(int64_t first, int64_t last) const;
};

// A batch depends only on the number of the pass, so that a run can resume from its step number.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // The batch of pass 0, 1, ..., valid until the next call.
  virtual const Batch& batch(int64_t pass) = 0;
};

// Windows of a text, each with a fresh state. The tokens must outlive it.
class WindowSource : public BatchSource {
 public:
  // In random order (data/batch_sampler.h).
  WindowSource(TokenSpan text, int64_t context, int64_t batch, uint64_t seed);
  // Of one or several texts, in their order (data/window_order.h).
  WindowSource(std::vector<TokenSpan> texts, WindowOrder order, int64_t context, int64_t batch);
  const Batch& batch(int64_t pass) override;

 private:
  std::vector<TokenSpan> texts_;
  WindowOrder order_;
  Batch batch_;
};

// Each sequence of the batch reads its own part of the text with carried state; at the end of the text it
// continues at the beginning. Throws Error unless the text has more than `context` tokens.
class CarriedSource : public BatchSource {
 public:
  CarriedSource(TokenSpan text, int64_t context, int64_t batch);
  const Batch& batch(int64_t pass) override;

 private:
  TokenSpan text_;
  int64_t context_;
  Batch batch_;
};

}  // namespace aviary
