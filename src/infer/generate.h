// Generates text with a model: the prompt is read in chunks, then tokens are generated one by one.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "infer/writer.h"
#include "models/run.h"
#include "text/tokenizer.h"

namespace aviary {

struct GenerateOptions {
  int64_t tokens = 200;  // maximum number; generation may stop earlier
  SamplerOptions sampling = {};
  std::vector<std::string> stop = {};
  bool stop_at_end_of_text = true;
  bool exact_bytes = false;           // the bytes of the tokens, also where they are no UTF-8
  std::vector<int32_t> before = {};   // tokens to read before all others: of the text that `start` is of
  std::optional<int32_t> begin = {};  // a token to read before the prompt
  int64_t draft = 0;  // maximum number of tokens guessed ahead from the text so far; does not change the text
  const State* start = nullptr;    // before the prompt; null: the initial state
  std::vector<int32_t> read = {};  // tokens that `start` has read, for the repeat penalty
  std::vector<float> logits = {};  // [V] after `start`, if known: then an empty prompt is replaced by nothing
  std::function<bool()> go_on = {};  // called before every step, also while reading the prompt; false stops
};

struct Generation {
  int64_t prompt_tokens = 0, tokens = 0;
  int64_t guessed = 0, guessed_right = 0;  // tokens
  double prompt_seconds = 0, seconds = 0;
  std::string text;
  TextEnd end = TextEnd::none;  // canceled: `show` or `go_on` returned false
};

// Reads tokens into the state in chunks, in bounded memory; returns the logits after the last. Throws Error
// if there are no tokens.
std::vector<float> read_tokens(Runner& runner, std::span<const int32_t> tokens, State& state,
                               int64_t chunk = 256);

// Continues `prompt`; an empty one is replaced by the end-of-text token, or by a line break if there is none,
// or by the first token of a vocabulary that has neither. `show` receives the text piece by piece, complete
// UTF-8 characters only (unless exact_bytes); it returns false to stop. The text obeys the constraint, if
// any.
Generation generate(Runner& runner, const Tokenizer& tokenizer, std::string_view prompt,
                    const GenerateOptions& options, const std::function<bool(std::string_view)>& show = {},
                    std::unique_ptr<Constraint> constraint = nullptr);

}  // namespace aviary
