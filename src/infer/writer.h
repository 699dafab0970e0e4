// One text being written: logits go in, pieces of text come out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "infer/constraint.h"
#include "infer/sampler.h"
#include "infer/stop_matcher.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace aviary {

struct WriterOptions {
  int64_t tokens = 200;  // at most; 0: none
  SamplerOptions sampling = {};
  std::vector<std::string> stop = {};
  bool stop_at_end_of_text = true;
};

// Why a text ended: its limit of tokens, a stop string, the end-of-text token; its reader wanted no more, or
// an error.
enum class TextEnd : uint8_t { none, length, stop, end_of_text, canceled, failed };

// Knows no model: whoever runs one pushes the logits of each next token and feeds the model the token that
// was chosen. The same options and the same logits give the same text. Can be moved, and is not for two
// threads at once.
class Writer {
 public:
  // The tokenizer must live as long. Throws Error when an option cannot be.
  Writer(const Tokenizer& tokenizer, WriterOptions options, std::unique_ptr<Constraint> constraint = nullptr);

  struct Piece {
    int32_t token = 0;  // the chosen one; the end of text, too
    // What can be shown now: whole UTF-8 characters, no part of a stop string; may be empty.
    std::string text = {};
  };
  // Chooses the next token by its logits [V], which the constraint masks in place. Only while !ended().
  // Throws Error when no token can be chosen (see Sampler); the text is as before then, but must not go on.
  Piece push(std::span<float> logits);

  bool ended() const { return end_ != TextEnd::none; }
  TextEnd end() const { return end_; }
  // Ends the text from outside. What was held back for a character or a stop string is not shown.
  void finish(TextEnd end) { end_ = end; }
  // Tokens chosen so far, without the end of text.
  int64_t tokens() const { return tokens_; }

 private:
  // The text that was held back, for a text that ends here.
  std::string held_back();

  const Tokenizer* tokenizer_;
  Sampler sampler_;
  StopMatcher stop_;
  Utf8Stream characters_;
  std::unique_ptr<Constraint> constraint_;
  int64_t limit_ = 0, tokens_ = 0;
  bool stop_at_end_of_text_ = true;
  TextEnd end_ = TextEnd::none;
};

}  // namespace aviary
