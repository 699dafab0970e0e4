// One text being generated: logits go in, pieces of text come out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "infer/constraint.h"
#include "infer/sampler.h"
#include "infer/stop_matcher.h"
#include "text/tokenizer.h"

namespace aviary {

struct WriterOptions {
  int64_t tokens = 200;  // maximum number; 0: none
  SamplerOptions sampling = {};
  std::vector<std::string> stop = {};
  bool stop_at_end_of_text = true;
  bool exact_bytes = false;  // the bytes of the tokens, also where they are no UTF-8
  // Report the probability of each chosen token, and of this many most probable ones; -1: do not.
  int64_t alternatives = -1;
};

// A token and the natural logarithm of its probability.
struct ScoredToken {
  int32_t token = 0;
  double logprob = 0;
};

// The `count` most probable tokens, the most probable first (of equal ones that with the smaller id).
std::vector<ScoredToken> most_probable(std::span<const float> logits, int64_t count);
// The logarithm of the probability of a token.
double logprob_of(std::span<const float> logits, int32_t token);

// Why a text ended: limit of tokens, stop string, end-of-text token (or a constraint that allows nothing
// more), canceled by its reader, or an error.
enum class TextEnd : uint8_t { none, length, stop, end_of_text, canceled, failed };

// Independent of the model: the caller pushes the logits for each next token and feeds the chosen token to
// the model. The same options and the same logits give the same text. Can be moved; must not be used by two
// threads at once.
class Writer {
 public:
  // The tokenizer must outlive it. Throws Error for an invalid option.
  Writer(const Tokenizer& tokenizer, WriterOptions options, std::unique_ptr<Constraint> constraint = nullptr);

  struct Piece {
    int32_t token = 0;  // the chosen one, possibly the end of text
    // The text that can be shown now: complete UTF-8 characters (unless exact_bytes), no part of a stop
    // string; may be empty.
    std::string text = {};
    // If asked for: by the logits as the model gave them, before constraint, bias, penalties and filters.
    double logprob = 0;
    std::vector<ScoredToken> alternatives = {};
  };
  // Chooses the next token from its logits [V], which the constraint masks in place. Only while !ended().
  // Throws Error if no token can be chosen (see Sampler); the text is unchanged then, but must not be
  // continued.
  Piece push(std::span<float> logits);
  // Whether the constraint permits one token alone, which push_forced() takes without logits: the token that
  // push() would choose, and all that follows is the same. Not where probabilities are to be reported.
  bool is_forced();
  Piece push_forced();

  bool ended() const { return end_ != TextEnd::none; }
  TextEnd end() const { return end_; }
  // Ends the text from outside. Text held back for a character or a stop string is not shown.
  void finish(TextEnd end) { end_ = end; }
  // Number of tokens chosen so far, without the end of text.
  int64_t tokens() const { return tokens_; }
  // The stop string that ended the text; empty if none did.
  std::string_view matched_stop() const { return stop_.matched_stop(); }

 private:
  // Appends the token of the piece to the text.
  void take(Piece& piece);
  // The text held back, for a text that ends here.
  std::string held_back();

  const Tokenizer* tokenizer_;
  Sampler sampler_;
  StopMatcher stop_;
  Utf8Stream characters_;
  std::unique_ptr<Constraint> constraint_;
  int64_t limit_ = 0, tokens_ = 0, alternatives_ = -1;
  bool stop_at_end_of_text_ = true, exact_bytes_ = false;
  TextEnd end_ = TextEnd::none;
};

}  // namespace aviary
