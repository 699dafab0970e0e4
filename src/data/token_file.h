// The .bin and .idx that RWKV-LM trains on (Megatron's MMapIndexedDataset): the tokens of all documents one
// after the other, and an index of the documents.
//   .idx: "MMIDIDX\0\0", u64 version 1, u8 type (8: uint16, 4: int32), u64 number n of sequences, u64 number
//   of document entries (n + 1), i32 tokens of each sequence [n], i64 position of each in the .bin in bytes
//   [n], i64 first sequence of each document [n + 1]: 0 .. n. Little-endian. Each document is one sequence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/token_span.h"

namespace aviary {

enum class TokenType : uint8_t { int32 = 4, uint16 = 8 };
constexpr int64_t bytes_of(TokenType type) { return type == TokenType::uint16 ? 2 : 4; }

// PATH.bin and PATH.idx of a path that ends in .bin, .idx or neither.
struct TokenPaths {
  explicit TokenPaths(const std::filesystem::path& path);
  std::filesystem::path bin, idx;
};
// Whether the path ends in .bin or .idx and both files exist, so that it names such a pair.
bool names_token_file(const std::filesystem::path& path);

// Such a pair of files, mapped. Documents may lie anywhere in the .bin, in any order.
class TokenFile {
 public:
  // Throws Error for files that are no such pair: a wrong header, a type other than uint16 and int32, an
  // index that is cut off or points outside of the .bin, sequences without tokens.
  explicit TokenFile(const std::filesystem::path& path);

  int64_t documents() const { return static_cast<int64_t>(sizes_.size()); }
  int64_t tokens() const { return tokens_; }            // of all documents
  int64_t flat_tokens() const { return flat_tokens_; }  // of the .bin
  TokenType type() const { return type_; }
  std::string name() const { return paths_.bin.string(); }

  int64_t size_of(int64_t document) const { return sizes_[static_cast<size_t>(document)]; }
  // Where a document begins in the .bin, in tokens.
  int64_t start_of(int64_t document) const { return starts_[static_cast<size_t>(document)]; }
  // The whole .bin, which is what RWKV-LM reads: documents are not respected. Valid as long as the file, also
  // when that is moved.
  TokenSpan flat() const;
  // The bytes of both files.
  std::span<const std::byte> bin_bytes() const { return bin_.bytes(); }
  std::span<const std::byte> idx_bytes() const { return idx_.bytes(); }
  // Appends tokens [from, from + count) of a document.
  void read(int64_t document, int64_t from, int64_t count, std::vector<int32_t>& tokens) const;
  // The largest token. Reads the whole file. Throws Error for a token below 0.
  int32_t largest_token() const;

 private:
  void read_index();

  TokenPaths paths_;
  MappedFile bin_, idx_;
  TokenType type_ = TokenType::uint16;
  int64_t tokens_ = 0, flat_tokens_ = 0;
  std::vector<int32_t> sizes_;
  std::vector<int64_t> starts_;  // in the .bin, in tokens
};

// Writes such a pair of files; nothing is at the path before commit().
class TokenFileWriter {
 public:
  TokenFileWriter(const std::filesystem::path& path, TokenType type);
  // Adds a document: the bytes of its tokens in the writer's type. Throws Error if it has none, or more than
  // 2^31 - 1.
  void add(std::span<const std::byte> tokens);
  void commit();

 private:
  TokenPaths paths_;
  TokenType type_;
  AtomicFile bin_, idx_;
  std::vector<std::byte> buffer_;
  std::vector<int32_t> sizes_;
};

// Appends tokens as bytes of this type. Throws Error for a token that the type cannot hold.
void append_tokens(std::span<const int32_t> tokens, TokenType type, std::vector<std::byte>& bytes);

}  // namespace aviary
