// Statistics of a document by which web texts are filtered: the rules of Gopher (Rae and others 2021,
// appendix A1.1), and the words for near duplicates and overlaps.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace aviary {

// The rules; a document is within them or not.
enum class Quality : uint8_t {
  words,          // 50 to 100,000
  word_length,    // 3 to 10 characters in the mean
  symbols,        // at most one # or ... for ten words
  bullets,        // at most 90 % of the lines begin with one
  ellipses,       // at most 30 % of the lines end with one
  letters,        // at least 80 % of the words have a letter
  stop_words,     // at least two of: the be to of and that have with
  repeated_lines  // at most 30 % of the lines occurred before
};
inline constexpr int quality_rules = 8;
// For tables: "50 to 100,000 words"
const char* name_of(Quality rule);

// Reads a text in pieces.
class TextStatistics {
 public:
  // Calls on_word(uint64_t) with the hash of every run of letters, digits and bytes above 127, in lower case
  // (ASCII). A run must not be cut by the end of a text that is followed by another.
  template <typename Use>
  void add(std::string_view text, const Use& on_word);
  // Adds what another one has read, as if it had been lines of this text.
  void merge(const TextStatistics& other);
  // Whether rule i is violated. Of a text without lines and words, only the number of words is.
  std::array<bool, quality_rules> violations() const;
  int64_t words() const { return words_; }

 private:
  void end_line();
  void end_word();
  void note_stop_word(uint64_t hash);

  int64_t words_ = 0, characters_ = 0, with_letter_ = 0, symbols_ = 0, dots_ = 0;
  uint8_t stop_words_ = 0;  // a bit for each that was seen
  int64_t lines_ = 0, bullets_ = 0, ellipses_ = 0;
  std::vector<uint64_t> line_hashes_;
  // Of the word and the line that are being read.
  uint64_t line_ = 0;
  int64_t word_characters_ = 0, line_words_ = 0;
  bool letter_ = false, bullet_ = false, line_ends_in_ellipsis_ = false;
};

namespace detail {
// How the bytes of a text are read.
enum Class : uint8_t { space = 1, newline = 2, letter = 4, digit = 8, high = 16, continued = 32 };
inline constexpr uint8_t in_word = letter | digit | high;
extern const std::array<uint8_t, 256> classes;

// Of a word of any bytes; ASCII letters count as lower case.
inline uint64_t hash_of_word(const char* word, size_t length) {
  uint64_t hash = length;
  for (; length > 0; word += 8, length -= std::min<size_t>(8, length)) {
    uint64_t part = 0;
    std::memcpy(&part, word, std::min<size_t>(8, length));
    hash = (hash ^ (part | 0x2020202020202020)) * 0x9fb21c651e98df25;
    hash ^= hash >> 32;
  }
  return hash;
}
}  // namespace detail

template <typename Use>
void TextStatistics::add(std::string_view text, const Use& on_word) {
  const char *at = text.data(), *const end = at + text.size();
  while (at < end) {
    uint8_t kind = detail::classes[static_cast<uint8_t>(*at)];
    if ((kind & detail::in_word) != 0) {
      const char* const begin = at;
      uint8_t kinds = 0;
      int64_t continued = 0;
      do {
        kinds |= kind;
        continued += kind >> 5;
        ++at;
      } while (at < end && ((kind = detail::classes[static_cast<uint8_t>(*at)]) & detail::in_word) != 0);
      const uint64_t hash = detail::hash_of_word(begin, static_cast<size_t>(at - begin));
      on_word(hash);
      line_ = (line_ ^ hash) * 0x9fb21c651e98df25;
      if (at - begin <= 4) note_stop_word(hash);
      word_characters_ += at - begin - continued;
      letter_ = letter_ || (kinds & (detail::letter | detail::high)) != 0;
      dots_ = 0;
      line_ends_in_ellipsis_ = false;
      continue;
    }
    const char c = *at++;
    if ((kind & (detail::space | detail::newline)) != 0) {
      end_word();
      if (c == '\n') end_line();
      continue;
    }
    if (line_words_ == 0 && word_characters_ == 0 && (c == '-' || c == '*')) bullet_ = true;
    if (c == '#') ++symbols_;
    dots_ = c == '.' ? dots_ + 1 : 0;
    if (dots_ == 3) ++symbols_;
    line_ends_in_ellipsis_ = dots_ >= 3;
  }
}

}  // namespace aviary
