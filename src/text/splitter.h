// Splits a text into the words that byte pair encoding works on, using the regular expressions of a
// tokenizer.json.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

struct SplitRule {
  std::string pattern;
  // Both matches and the text between them become pieces; with `only_matches` the text between is dropped,
  // with `only_gaps` the matches are.
  enum class Keep : uint8_t { everything, only_matches, only_gaps } keep = Keep::everything;
};

class Splitter {
 public:
  // Each rule splits the pieces of the previous rule; without rules a text is one piece. Throws Error for a
  // pattern that is invalid, that can match the empty text, or that contains a construct with a different
  // meaning in other regular expression libraries (translate_pattern).
  explicit Splitter(const std::vector<SplitRule>& rules);
  ~Splitter();

  // The pieces of `text`, valid UTF-8, in order; none is empty. Throws Error if a pattern needs more than ten
  // million steps at one position, as a malicious one may.
  void split(std::string_view text, const std::function<void(std::string_view)>& piece) const;

 private:
  struct Rule;
  void split(std::string_view text, size_t rule, const std::function<void(std::string_view)>& piece) const;

  std::vector<Rule> rules_;
};

// The pattern translated for PCRE2, with the meaning that it has in Hugging Face's tokenizers (whose regular
// expressions are Oniguruma's). Only constructs known to have the same meaning in both are allowed:
// characters, sets without sets inside, \p{..} and \P{..} with a general category, \s \S \d \D \r \n \t,
// escaped punctuation, alternatives, repeats (also possessive, but not {..}+), groups, (?i:..), look-ahead
// and look-behind. Throws Error naming any other construct.
std::string translate_pattern(std::string_view pattern);

}  // namespace aviary
