// Measures how well a model predicts a text.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "models/run.h"
#include "text/tokenizer.h"

namespace aviary {

// All of it is about the predicted tokens. The first token is read but not predicted, so its nats and its
// bytes count nowhere; if it is the end-of-text token, which has no bytes, all bytes of the text are
// predicted.
struct Evaluation {
  int64_t tokens = 0;  // predicted
  int64_t bytes = 0;   // of the predicted tokens
  double nats = 0;     // summed cross entropy

  double loss() const;           // nats per token
  double perplexity() const;     // e^loss
  double bits_per_byte() const;  // total bits divided by total bytes
};

struct EvaluateOptions {
  // 0: one pass, the state carried to the end. Otherwise windows of so many tokens that each start with a
  // fresh state, as in training, which is fair to models that cannot look back further than that.
  int64_t window = 0;
  const State* start = nullptr;                // before the text, or each window; null: the initial state
  std::function<bool(int64_t)> progress = {};  // gets the number of predicted tokens; false: stop early
  int64_t chunk = 512;                         // tokens read at once when the state is carried
};

// How well the model predicts each token from those before it. Throws Error for fewer than two tokens and if
// the loss is not finite.
Evaluation evaluate(Runner& runner, std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                    const EvaluateOptions& options = {});

// The mean loss at each position of a window. A model that makes use of its context predicts late tokens
// better than early ones.
struct PositionLoss {
  int64_t windows = 0;
  std::vector<double> nats;  // element t: cross entropy of the token after t + 1 given tokens

  // The mean over positions [begin, end).
  double mean(int64_t begin, int64_t end) const;
};

// Measures windows of `length` tokens, spread evenly over the text, at most `most` of them; they may overlap.
// Each is read from the state `start` (null: the initial one). The text must have more than `length` tokens.
// Stops early, with the windows done so far, if `progress`, called with their number, returns false.
PositionLoss loss_by_position(Runner& runner, std::span<const int32_t> tokens, int64_t length, int64_t most,
                              const std::function<bool(int64_t)>& progress = {},
                              const State* start = nullptr);

}  // namespace aviary
