// Learns a vocabulary from a text, for the greedy longest match of the World tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace aviary {

struct VocabularyOptions {
  // A longer text is read in evenly spread parts of this many bytes in all; less of a text whose pieces
  // between spaces and punctuation hardly ever recur, once there are 4 MB of different ones.
  int64_t sample_bytes = int64_t{32} << 20;
  // How often tokens that the greedy match seldom uses are replaced by better ones; 0 is plain byte pair
  // encoding.
  int rounds = 3;
  // Called several times a second with the share of the work that is done, 0 to 1. Where it returns false,
  // the training stops.
  std::function<bool(double)> progress = {};
};

// Returns a vocabulary in the World format (text/vocabulary.h): ids 1 to 256 are the bytes, then up to
// vocab_size - 257 learned tokens, the most used first (id 0 is the end of text). A short text has fewer
// tokens worth learning; vocab_size() of the tokenizer made from the result tells the real size. Tokens are
// pieces of one word with at most one space in front, runs of punctuation, of newlines or of spaces; they
// never cut a UTF-8 character, never hold digits and never join unlike things. The same input gives the same
// result; it is empty when options.progress stopped the training. Throws Error unless 257 <= vocab_size <=
// 65536.
std::string train_vocabulary(std::string_view text, int32_t vocab_size,
                             const VocabularyOptions& options = {});

}  // namespace aviary
