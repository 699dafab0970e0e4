// Measures how well a model predicts a text.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "models/run.h"
#include "text/tokenizer.h"

namespace aviary {

struct Evaluation {
  int64_t tokens = 0;  // predicted ones
  int64_t bytes = 0;   // of the text, including those of the first token
  double nats = 0;     // summed cross entropy

  double loss() const;           // nats per token
  double perplexity() const;     // e^loss
  double bits_per_byte() const;  // total bits divided by total bytes
};

// One pass over the tokens in chunks; the state is carried from chunk to chunk. The first token is not
// predicted. Stops early if `progress`, called with the number of tokens done, returns false. Throws Error
// for fewer than two tokens and if the loss is not finite.
Evaluation evaluate(Runner& runner, std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                    const std::function<bool(int64_t)>& progress = {}, int64_t chunk = 512);

// The same in windows of `window` tokens that each start with a fresh state, as in training. This is fair to
// models that cannot look back further than that.
Evaluation evaluate_windows(Runner& runner, std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                            int64_t window, const std::function<bool(int64_t)>& progress = {});

// The mean loss at each position of a window. A model that makes use of its context predicts late tokens
// better than early ones.
struct PositionLoss {
  int64_t windows = 0;
  std::vector<double> nats;  // element t: cross entropy of the token after t + 1 given tokens

  // The mean over positions [begin, end).
  double mean(int64_t begin, int64_t end) const;
};

// Measures windows of `length` tokens, spread evenly over the text, at most `most` of them; they may overlap.
// The text must have more than `length` tokens. Stops early, with the windows done so far, if `progress`,
// called with their number, returns false.
PositionLoss loss_by_position(Runner& runner, std::span<const int32_t> tokens, int64_t length, int64_t most,
                              const std::function<bool(int64_t)>& progress = {});

}  // namespace aviary
