// What a model remembers of made sequences: copying, and associative recall (Arora and others 2023).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "eval/scoring.h"

namespace aviary {

enum class MemoryTask : uint8_t {
  copy,   // so many random tokens, then the same again, of which all but the first are to be predicted
  recall  // pairs of a key and a value, then one of the keys: its value is to be predicted
};

struct MemoryLength {
  int64_t tokens = 0;   // that are to be remembered: of the first copy, or of all pairs
  double accuracy = 0;  // share of tokens that are the likeliest
  double loss = 0;      // nats per token
};

// Lengths 8, 16, 32, ... up to `longest`, each with so many sequences. Tokens are drawn evenly from those of
// the vocabulary that have bytes; keys differ. Throws Error for a vocabulary with fewer tokens than keys.
// `progress` gets the number of sequences that are done; false: stop early.
std::vector<MemoryLength> remember(Runner& runner, const Tokenizer& tokenizer, MemoryTask task,
                                   int64_t longest, int64_t sequences, uint64_t seed,
                                   const std::function<bool(int64_t)>& progress = {});

}  // namespace aviary
