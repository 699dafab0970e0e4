// Cuts a text into the words that byte pair encoding joins bytes in, by the regular expressions of a
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
  // What lies between matches is a piece like the matches; with `only_matches` it is dropped from the text,
  // with `only_gaps` the matches are.
  enum class Keep : uint8_t { everything, only_matches, only_gaps } keep = Keep::everything;
};

class Splitter {
 public:
  // Each rule cuts the pieces of the rule before it; without rules a text is one piece. Throws Error for a
  // pattern that is not one, that may match the empty text, or that holds a construct which the regular
  // expressions of other programs read in another way (translate_pattern).
  explicit Splitter(const std::vector<SplitRule>& rules);
  ~Splitter();

  // The pieces of `text`, valid UTF-8, in order; none is empty. Throws Error when a pattern needs more than
  // ten million steps at one place, as a hostile one may.
  void split(std::string_view text, const std::function<void(std::string_view)>& piece) const;

 private:
  struct Rule;
  void split(std::string_view text, size_t rule, const std::function<void(std::string_view)>& piece) const;

  std::vector<Rule> rules_;
};

// The pattern as PCRE2 reads it, with the meaning that it has in the program whose files these are (its
// regular expressions are Oniguruma's). Only what both are known to read alike is allowed: characters, sets
// without sets inside, \p{..} and \P{..} with a general category, \s \S \d \D \r \n \t, escaped punctuation,
// alternatives, repeats (also possessive, but not {..}+), groups, (?i:..), look-ahead and look-behind. Throws
// Error that names anything else.
std::string translate_pattern(std::string_view pattern);

}  // namespace aviary
