#include "data/piece_reading.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"

namespace aviary {
namespace {

// The "text" of a row.
std::string text_of_row(std::string_view line, const std::string& where) {
  const size_t valid = valid_utf8_length(line);
  require(valid == line.size(), "{}: byte {} of the line is not UTF-8", where, valid);
  const nlohmann::json row = parse_json(line, where);
  require(row.is_object() && row.contains("text") && row["text"].is_string(),
          "{}: expected an object with \"text\", a string", where);
  return row["text"].get<std::string>();
}

std::string repaired(std::string_view text) {
  Utf8Stream stream;
  std::string result = stream.push(text);
  return result + stream.flush();
}

}  // namespace

PieceResult PieceWork::operator()(const TextPiece& piece, const std::string& where, bool whole) const {
  PieceResult result;
  try {
    if (piece.kind == TextPiece::Kind::tokens)
      read_tokens(piece, where, result);
    else if (piece.kind == TextPiece::Kind::row)
      read_text(text_of_row(piece.bytes, where), where, true, whole, result);
    else
      read_text(piece.bytes, where, false, whole, result);
  } catch (const Error& error) {
    result.error = error.what();
  }
  return result;
}

void PieceWork::read_text(std::string_view text, const std::string& where, bool row, bool whole,
                          PieceResult& result) const {
  constexpr int64_t most_invalid = 10;  // percent
  const auto* nul = static_cast<const char*>(std::memchr(text.data(), 0, text.size()));
  require(row || text.empty() || nul == nullptr, "{}: has NUL bytes, so this is a binary file, not a text",
          where);
  std::string mended;
  if (valid_utf8_length(text) != text.size()) {
    result.invalid_bytes = count_invalid_utf8(text);
    require(100 * result.invalid_bytes <= most_invalid * std::ssize(text),
            "{}: {} of {} bytes are not valid UTF-8; convert the text from its encoding, for example with: "
            "iconv -f "
            "WINDOWS-1252 -t UTF-8",
            where, result.invalid_bytes, text.size());
    mended = repaired(text);
    text = mended;
  }
  result.bytes = std::ssize(text);
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  result.hash = {hash.low64, hash.high64};
  std::vector<int32_t> tokens;
  tokens.reserve(text.size() / 3);
  tokenizer_.encode(text, tokens);
  append_tokens(tokens, type_, result.tokens);
  if (options_.statistics || options_.near || !overlap_.empty()) read_words(text, whole, result);
}

void PieceWork::read_words(std::string_view text, bool whole, PieceResult& result) const {
  auto statistics = std::make_unique<TextStatistics>();
  auto words = options_.near ? std::make_unique<MinHash>() : nullptr;
  Overlap::Reader reader(overlap_);
  const auto on_word = [&](uint64_t word) {
    if (words) words->add_word(word);
    if (!overlap_.empty()) reader.add_word(word);
  };
  statistics->add(text, on_word);
  statistics->add("\n", on_word);
  result.overlaps = reader.found();
  if (whole) {
    result.violations = statistics->violations();
    if (words) result.near = words->finish();
  } else {
    result.statistics = std::move(statistics);
    result.words = std::move(words);
  }
}

void PieceWork::read_tokens(const TextPiece& piece, const std::string& where, PieceResult& result) const {
  std::vector<int32_t> tokens(piece.bytes.size() / sizeof(int32_t));
  std::memcpy(tokens.data(), piece.bytes.data(), tokens.size() * sizeof(int32_t));
  const auto largest = std::max_element(tokens.begin(), tokens.end());
  require(tokens.empty() || *largest < std::max(tokenizer_.vocab_size(), 1),
          "{}: has the token {}, but the tokenizer has {}; name the tokenizer that made the file", where,
          tokens.empty() ? 0 : *largest, tokenizer_.vocab_size());
  for (const int32_t token : tokens) result.bytes += std::ssize(tokenizer_.bytes_of(token));
  const XXH128_hash_t hash = XXH3_128bits(piece.bytes.data(), piece.bytes.size());
  result.hash = {hash.low64, hash.high64};
  append_tokens(tokens, type_, result.tokens);
}

}  // namespace aviary
