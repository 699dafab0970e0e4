// Splits a text into pieces; no learned token may cross a boundary between them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace aviary {

// The pieces of a text: a word with the preceding space or apostrophe ("the", " the", "'s"), a run of
// punctuation with the preceding space, a run of newlines, a run of at least two spaces or tabs, one digit,
// or one byte of anything else. Concatenated, the pieces are the text; none has more than 24 characters.
// Characters beyond ASCII count as letters, except the general and the Chinese-Japanese-Korean punctuation.
class Pieces {
 public:
  explicit Pieces(std::string_view text) : rest_(text) {}
  // The next piece; empty at the end.
  std::string_view next();

 private:
  std::string_view rest_;
};

}  // namespace aviary
