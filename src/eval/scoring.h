// How likely a model finds given continuations of given texts.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/run.h"
#include "text/tokenizer.h"

namespace aviary {

// Tokens that are read, and tokens after them that are scored. Neither is empty.
struct Continuation {
  std::vector<int32_t> context, target;
};

// As lm-evaluation-harness divides texts: white space at the end of the context belongs to the target, both
// are tokenized as one text, and the context's own number of tokens is cut off. Of an empty context, or with
// `begin`, the context begins with that token. Throws Error for a context without tokens, and for an empty
// target.
Continuation joined(std::string_view context, std::string_view target, const Tokenizer& tokenizer,
                    std::optional<int32_t> begin);
// Both parts tokenized by themselves, after the token `begin`.
Continuation apart(std::string_view context, std::string_view target, const Tokenizer& tokenizer,
                   std::optional<int32_t> begin);

struct Score {
  double log_likelihood = 0;  // of the whole target, nats
  int64_t tokens = 0,
          right = 0;  // of the target; of them, those that are the likeliest (of equal ones the first)
  bool greedy() const { return right == tokens; }
};

// One score for each continuation; several are read at once. `progress` gets the number that is done; false:
// stop early, with fewer scores. Throws Error if a likelihood is not finite.
std::vector<Score> score(Runner& runner, std::span<const Continuation> continuations,
                         const std::function<bool(int64_t)>& progress = {});

}  // namespace aviary
