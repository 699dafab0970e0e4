// Documents of many files, read from the front in pieces of bounded size: texts, rows of JSON lines, and
// RWKV-4's .npy of tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/byte_stream.h"

namespace aviary {

// A part of a document; together its pieces are the document.
struct TextPiece {
  enum class Kind : uint8_t { text, row, tokens } kind = Kind::text;
  std::string bytes;  // the text, or the line of JSON; of .npy: int32 tokens
  bool last = true;   // of its document
  int32_t file = 0;   // number of the file
  int64_t line = 0;   // of a row, from 1
};

struct PieceOptions {
  std::string separator = {};        // between the documents of a text; empty: each file is one
  int64_t piece = int64_t{1} << 20;  // most bytes of a piece of text
  int64_t longest_row = int64_t{64} << 20;
};

// The files that are meant by paths: folders stand for the files in them and below, sorted by name, without
// hidden ones. Throws Error for a path that does not exist, and if there are no files.
std::vector<std::filesystem::path> files_of(const std::vector<std::string>& paths);

class PieceReader {
 public:
  PieceReader(std::vector<std::filesystem::path> files, PieceOptions options);
  ~PieceReader();

  // False at the end of the last file. Throws Error beginning with the name of the file.
  bool next(TextPiece& piece);
  // "FILE" or "FILE:LINE".
  std::string where(const TextPiece& piece) const;
  int64_t files_done() const { return file_; }

 private:
  void open();
  bool fill(size_t wanted);
  bool next_text(TextPiece& piece);
  bool next_row(TextPiece& piece);
  bool next_tokens(TextPiece& piece);
  void read_npy_header();
  std::string_view rest() const { return std::string_view(buffer_).substr(at_); }

  std::vector<std::filesystem::path> files_;
  PieceOptions options_;
  std::unique_ptr<ByteStream> stream_;
  TextPiece::Kind kind_ = TextPiece::Kind::text;
  std::string buffer_;  // what was read and not yet given out, from at_ on
  size_t at_ = 0;
  bool ended_ = false;  // the stream
  bool begun_ = false;  // the document whose next piece comes
  int32_t file_ = 0;    // of the next file to open
  int64_t line_ = 0;
  int64_t tokens_left_ = 0;
  int token_bytes_ = 0;
  bool token_signed_ = false;
};

}  // namespace aviary
