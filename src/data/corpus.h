// A text as training data: split, converted to tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace aviary {

struct SplitText {
  std::string_view train, validation;
};

// Splits off the end of a text for validation: `validation_bytes` (0: nothing) or, if negative, a tenth of
// the text but at most 200,000 bytes. The split is moved forward, by at most half of the validation text, to
// the next paragraph ("\n\n"), or else line, word or character, so that no unit is divided between training
// and validation. Throws Error if nothing is left to train on.
SplitText split_text(std::string_view text, int64_t validation_bytes = -1);

// How far it is in `text` to where the next paragraph ("\n\n") begins, or else line or word; nothing if none
// of them begins.
std::optional<size_t> next_unit(std::string_view text);

// A text as tokens, ready for training.
struct Corpus {
  std::vector<int32_t> train, validation;
  int64_t train_bytes = 0, validation_bytes = 0;

  Corpus(const SplitText& text, const Tokenizer& tokenizer);
  // The text as split_text() splits it.
  Corpus(std::string_view text, const Tokenizer& tokenizer, int64_t validation_bytes = -1)
      : Corpus(split_text(text, validation_bytes), tokenizer) {}
};

}  // namespace aviary
