#include "data/text_statistics.h"

#include <algorithm>

namespace aviary {
namespace detail {
namespace {

std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> result{};
  for (const char c : {' ', '\t', '\r', '\v', '\f'}) result[static_cast<uint8_t>(c)] = space;
  result['\n'] = newline;
  for (int c = 'a'; c <= 'z'; ++c) result[static_cast<size_t>(c)] = letter;
  for (int c = 'A'; c <= 'Z'; ++c) result[static_cast<size_t>(c)] = letter;
  for (int c = '0'; c <= '9'; ++c) result[static_cast<size_t>(c)] = digit;
  for (size_t c = 128; c < 256; ++c) result[c] = (c & 0xc0) == 0x80 ? high | continued : high;
  return result;
}

}  // namespace

const std::array<uint8_t, 256> classes = make_classes();

}  // namespace detail

namespace {

const std::array<uint64_t, 8> stop_words = [] {
  std::array<uint64_t, 8> hashes{};
  size_t i = 0;
  for (const std::string_view word : {"the", "be", "to", "of", "and", "that", "have", "with"})
    hashes[i++] = detail::hash_of_word(word.data(), word.size());
  return hashes;
}();

}  // namespace

const char* name_of(Quality rule) {
  constexpr const char* names[] = {"50 to 100,000 words",
                                   "words of 3 to 10 characters in the mean",
                                   "at most one # or ... for ten words",
                                   "at most 90 % of the lines begin with a bullet",
                                   "at most 30 % of the lines end with an ellipsis",
                                   "at least 80 % of the words have a letter",
                                   "at least two of: the be to of and that have with",
                                   "at most 30 % of the lines occurred before"};
  return names[static_cast<size_t>(rule)];
}

void TextStatistics::end_word() {
  if (word_characters_ == 0) return;
  ++words_;
  ++line_words_;
  characters_ += word_characters_;
  with_letter_ += letter_;
  letter_ = false;
  word_characters_ = 0;
}

void TextStatistics::note_stop_word(uint64_t hash) {
  for (size_t i = 0; i < stop_words.size(); ++i)
    if (hash == stop_words[i]) stop_words_ |= static_cast<uint8_t>(1u << i);
}

void TextStatistics::end_line() {
  if (line_words_ > 0) {
    ++lines_;
    bullets_ += bullet_;
    ellipses_ += line_ends_in_ellipsis_;
    line_hashes_.push_back(line_);
  }
  line_ = 0;
  line_words_ = dots_ = 0;
  bullet_ = line_ends_in_ellipsis_ = false;
}

void TextStatistics::merge(const TextStatistics& other) {
  words_ += other.words_;
  characters_ += other.characters_;
  with_letter_ += other.with_letter_;
  symbols_ += other.symbols_;
  stop_words_ |= other.stop_words_;
  lines_ += other.lines_;
  bullets_ += other.bullets_;
  ellipses_ += other.ellipses_;
  line_hashes_.insert(line_hashes_.end(), other.line_hashes_.begin(), other.line_hashes_.end());
}

std::array<bool, quality_rules> TextStatistics::violations() const {
  std::vector<uint64_t> hashes = line_hashes_;
  std::sort(hashes.begin(), hashes.end());
  const int64_t repeated = lines_ - (std::unique(hashes.begin(), hashes.end()) - hashes.begin());
  int stops = 0;
  for (uint8_t left = stop_words_; left != 0; left &= static_cast<uint8_t>(left - 1)) ++stops;
  const auto words = static_cast<double>(words_), lines = static_cast<double>(lines_);
  std::array<bool, quality_rules> result{};
  auto set = [&](Quality rule, bool violated) { result[static_cast<size_t>(rule)] = violated; };
  set(Quality::words, words_ < 50 || words_ > 100'000);
  if (words_ == 0) return result;
  const double length = static_cast<double>(characters_) / words;
  set(Quality::word_length, length < 3 || length > 10);
  set(Quality::symbols, static_cast<double>(symbols_) > 0.1 * words);
  set(Quality::bullets, static_cast<double>(bullets_) > 0.9 * lines);
  set(Quality::ellipses, static_cast<double>(ellipses_) > 0.3 * lines);
  set(Quality::letters, static_cast<double>(with_letter_) < 0.8 * words);
  set(Quality::stop_words, stops < 2);
  set(Quality::repeated_lines, static_cast<double>(repeated) > 0.3 * lines);
  return result;
}

}  // namespace aviary
