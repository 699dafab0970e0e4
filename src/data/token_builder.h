// Builds the .bin and .idx of a text corpus (data/token_file.h): tokenized on all cores, in memory that does
// not grow with the texts, only by some bytes for each document.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/text_pieces.h"
#include "data/text_statistics.h"
#include "data/token_file.h"
#include "text/tokenizer.h"

namespace aviary {

struct BuildOptions {
  PieceOptions pieces = {};
  int64_t epochs = 1;       // every document is written so many times, in another order each time
  bool shuffle = true;      // otherwise in the order of the files
  uint64_t seed = 1;        // of the order
  bool end_of_text = true;  // append the tokenizer's, if it has one, to each document
  bool near = false;        // look for near duplicates
  bool statistics = true;   // Quality of each document
  bool drop_exact = false, drop_near = false, drop_quality = false, drop_overlap = false;
  bool skip_broken = false;  // leave out broken rows and files that are no text, instead of an Error
  std::vector<std::filesystem::path> evaluation = {};  // texts that should not be in the corpus
  std::function<void(int64_t bytes)> progress = {};    // may throw to stop
};

struct BuildReport {
  int64_t files = 0, documents = 0, bytes = 0, tokens = 0;  // read; tokens with the ends of texts
  int64_t written_documents = 0, written_tokens = 0;        // in all epochs
  int64_t empty = 0, broken = 0;
  int64_t repaired_documents = 0, invalid_bytes = 0;  // each invalid sequence became U+FFFD
  int64_t exact_duplicates = 0, near_duplicates = 0;  // beyond the first; near ones that are not exact
  std::array<int64_t, quality_rules> violations{};    // documents
  int64_t outside_quality = 0;                        // documents with any violation
  int64_t overlapping = 0;  // documents that share 13 words in a row with evaluation
  int64_t dropped = 0;
  int64_t longest = 0, shortest = 0;    // tokens
  std::array<int64_t, 32> histogram{};  // documents of [2^i, 2^(i+1)) tokens
  bool has_end_of_text = false;
  TokenType type = TokenType::uint16;
  std::vector<std::string> notes = {};  // of what was skipped, at most 5
};

// Reads all documents, then writes those that stay. Tokens are uint16 if the vocabulary allows it. Throws
// Error for files that cannot be read, are no text (NUL bytes, more than a tenth invalid UTF-8, UTF-16), a
// row without "text", tokens of .npy beyond the vocabulary, and if nothing is left to write.
BuildReport build_tokens(const std::vector<std::filesystem::path>& files, const std::filesystem::path& out,
                         const Tokenizer& tokenizer, const BuildOptions& options);

}  // namespace aviary
