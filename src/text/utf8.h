// UTF-8 where bytes come from a model: characters may be cut in two by tokens, and need not be valid at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace aviary {

enum class Utf8Kind : uint8_t { character, invalid, incomplete };

// What the front of a text is: a whole character, bytes that can never become one, or the beginning of one
// that only more bytes can decide. `length` is the number of bytes, at least 1 unless the text is empty.
// Invalid bytes are cut as Unicode recommends (chapter 3.9): the longest beginning of a character at a time.
struct Utf8Step {
  Utf8Kind kind = Utf8Kind::incomplete;
  int32_t length = 0;
};
Utf8Step utf8_step(std::string_view text);

// Code point of one whole character, as found by utf8_step.
uint32_t utf8_code_point(std::string_view character);
// The UTF-8 form of a code point that is no surrogate and at most U+10FFFF.
void append_utf8(std::string& text, uint32_t code_point);

// Converts UTF-16, whose first two bytes are the byte order mark FF FE or FE FF. Throws Error for half a
// character and half a code unit.
std::string utf8_of_utf16(std::string_view bytes);

// Number of bytes at the front of `text` that are whole characters.
size_t valid_utf8_length(std::string_view text);
bool is_utf8(std::string_view text);
// Number of bytes of `text` that are no part of a whole character.
int64_t count_invalid_utf8(std::string_view text);

// What Unicode counts as white space, or as control characters.
bool is_white_space(uint32_t code_point);
bool is_control(uint32_t code_point);

// As one line that can be shown: control characters and bytes that are no part of a character become \n or
// \x.. .
std::string escaped(std::string_view bytes);
// The same of the front of `bytes`, for the sentence of an error.
std::string excerpt(std::string_view bytes);

// Makes printable text of bytes that arrive in pieces: holds back an unfinished character until the rest of
// it comes, and replaces what can never be a character by U+FFFD. The output does not depend on how the bytes
// were cut.
class Utf8Stream {
 public:
  // The whole characters that are complete with these bytes.
  std::string push(std::string_view bytes);
  // Ends the stream: an unfinished character becomes one U+FFFD. The stream can then be used again.
  std::string flush();

 private:
  std::string pending_;
};

}  // namespace aviary
