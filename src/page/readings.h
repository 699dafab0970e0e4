// What a model thinks while it reads a text: measurements for the page, of the steps that any text is read
// with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/run.h"
#include "page/memory.h"

namespace aviary {

struct TokenChance {
  int32_t token = 0;
  double probability = 0;
};

// How well a token was predicted by those before it.
struct Surprise {
  double bits = 0;                    // -log2 of its probability
  int64_t rank = 0;                   // 1: it was the most probable one
  double entropy = 0;                 // bits, of the prediction
  std::vector<TokenChance> top = {};  // the most probable tokens
};

// Of each token but the first one; the state is the one before the text, and becomes the one after it.
std::vector<Surprise> surprises(Runner& runner, std::span<const int32_t> tokens, State& state, int64_t top);

// The probabilities of all tokens.
std::vector<double> softmax(std::span<const float> logits);
// The divergence of q from p, in bits.
double divergence(std::span<const double> p, std::span<const double> q);

// The sizes of the memory of each head after each token, and how much of it the token changed.
struct Flow {
  std::vector<float> size;    // [tokens, heads]: root mean square of the numbers
  std::vector<float> change;  // [tokens, heads]: |S - S before| / |S|
};
Flow flow(Runner& runner, std::span<const int32_t> tokens, std::span<const MemoryHead> heads);

// The trace of a word: the same text is read with the word and with another in its place; `difference` is how
// far the memories are apart after each token of the rest.
struct Trace {
  std::vector<float>
      difference;  // [1 + rest, heads]: |S with - S without| / |S with|; the first: after the word
  std::vector<double> effect;  // [1 + rest]: bits by which the predictions differ
};
struct TraceTexts {
  std::span<const int32_t> before, word, other, rest;
};
Trace trace(Runner& runner, const TraceTexts& texts, std::span<const MemoryHead> heads);

// How far back predictions look: those from the last k tokens alone, compared with those from all.
struct Forgetting {
  int64_t tokens = 0;    // k
  double bits = 0;       // mean divergence
  double agreement = 0;  // share of places where the most probable token is the same
  int64_t places = 0;
};
// At `places` places of the second half of the text, for k = 1, 2, 4, ...
std::vector<Forgetting> forgetting(Runner& runner, std::span<const int32_t> tokens, int64_t places);

}  // namespace aviary
