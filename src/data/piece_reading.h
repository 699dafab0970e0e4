// What is found out about one piece of a document, on any thread (data/token_builder.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/near_duplicates.h"
#include "data/overlap.h"
#include "data/token_builder.h"

namespace aviary {

struct PieceResult {
  std::vector<std::byte> tokens;
  int64_t bytes = 0, invalid_bytes = 0;
  std::pair<uint64_t, uint64_t> hash{};  // of the text
  // Of a piece that is a whole document, what follows from the next two, which then are empty.
  NearKey near;
  std::array<bool, quality_rules> violations{};
  std::unique_ptr<TextStatistics> statistics;
  std::unique_ptr<MinHash> words;
  int64_t overlaps = 0;
  std::string error;  // one sentence; the piece is unusable
};

class PieceWork {
 public:
  PieceWork(const Tokenizer& tokenizer, const BuildOptions& options, TokenType type, const Overlap& overlap)
      : tokenizer_(tokenizer), options_(options), type_(type), overlap_(overlap) {}
  // whole: the piece is a document.
  PieceResult operator()(const TextPiece& piece, const std::string& where, bool whole) const;

 private:
  void read_text(std::string_view text, const std::string& where, bool row, bool whole,
                 PieceResult& result) const;
  void read_words(std::string_view text, bool whole, PieceResult& result) const;
  void read_tokens(const TextPiece& piece, const std::string& where, PieceResult& result) const;

  const Tokenizer& tokenizer_;
  const BuildOptions& options_;
  TokenType type_;
  const Overlap& overlap_;
};

}  // namespace aviary
