// Learns a vocabulary from a text, for the greedy longest match of the World tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace aviary {

struct VocabularyOptions {
  // Of a longer text, evenly spaced parts of this total size are read; less if there are more than 4 MB of
  // distinct pieces (between spaces and punctuation), as in texts whose pieces hardly ever recur.
  int64_t sample_bytes = int64_t{32} << 20;
  // How often tokens that the greedy match seldom uses are replaced by better ones; 0 is plain byte pair
  // encoding.
  int rounds = 3;
  // Called several times a second with the completed share of the work, 0 to 1. If it returns false, training
  // stops.
  std::function<bool(double)> progress = {};
};

// Returns a vocabulary in the World format (text/vocabulary.h): ids 1 to 256 are the bytes, then up to
// vocab_size - 257 learned tokens, the most used first (id 0 is the end of text). A short text has fewer
// tokens worth learning; vocab_size() of the tokenizer made from the result is the actual size. Tokens are
// parts of one word with at most one preceding space, or runs of punctuation, newlines or spaces; they never
// split a UTF-8 character, never contain digits and never mix these kinds. The same input gives the same
// result. The result is empty if options.progress stopped the training. Throws Error unless 257 <= vocab_size
// <= 65536.
std::string train_vocabulary(std::string_view text, int32_t vocab_size,
                             const VocabularyOptions& options = {});

}  // namespace aviary
