// How well a model predicts a text.
#pragma once

#include <functional>
#include <span>

#include "models/run.h"
#include "text/tokenizer.h"

namespace aviary {

struct Evaluation {
  int64_t tokens = 0;  // predicted ones
  int64_t bytes = 0;   // of the text, the first token's included
  double nats = 0;     // summed cross entropy

  double loss() const;           // nats per token
  double perplexity() const;     // e^loss
  double bits_per_byte() const;  // all bits over all bytes
};

// One pass over the tokens in chunks, the state carried from chunk to chunk. The first token is given, not
// predicted. Stops early when `progress`, called with the tokens done, returns false. Throws Error for fewer
// than two tokens and when the loss is not finite.
Evaluation evaluate(Runner& runner, std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                    const std::function<bool(int64_t)>& progress = {}, int64_t chunk = 512);

}  // namespace aviary
