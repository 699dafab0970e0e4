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
};

// Why a text ended: limit of tokens, stop string, end-of-text token, canceled by its reader, or an error.
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
  };
  // Chooses the next token from its logits [V], which the constraint masks in place. Only while !ended().
  // Throws Error if no token can be chosen (see Sampler); the text is unchanged then, but must not be
  // continued.
  Piece push(std::span<float> logits);

  bool ended() const { return end_ != TextEnd::none; }
  TextEnd end() const { return end_; }
  // Ends the text from outside. Text held back for a character or a stop string is not shown.
  void finish(TextEnd end) { end_ = end; }
  // Number of tokens chosen so far, without the end of text.
  int64_t tokens() const { return tokens_; }

 private:
  // The text held back, for a text that ends here.
  std::string held_back();

  const Tokenizer* tokenizer_;
  Sampler sampler_;
  StopMatcher stop_;
  Utf8Stream characters_;
  std::unique_ptr<Constraint> constraint_;
  int64_t limit_ = 0, tokens_ = 0;
  bool stop_at_end_of_text_ = true, exact_bytes_ = false;
  TextEnd end_ = TextEnd::none;
};

}  // namespace aviary
