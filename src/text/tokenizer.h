// Text to token ids and back. A tokenizer is immutable, so threads may share one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Any bytes can be encoded, and decode(encode(text)) == text, with exceptions: see make_bpe_tokenizer and
  // make_characters_tokenizer.
  std::vector<int32_t> encode(std::string_view text) const;
  // Appends the tokens of `text` to `tokens`.
  virtual void encode(std::string_view text, std::vector<int32_t>& tokens) const = 0;

  // The bytes of one token, valid as long as the tokenizer; empty for ids without a token and for an end of
  // text without a spelling. Throws Error if the id is negative. Ids from vocab_size() upward are empty too:
  // models pad their vocabulary.
  virtual std::string_view bytes_of(int32_t token) const = 0;
  std::string decode(std::span<const int32_t> tokens) const;

  // The largest id + 1. A model may have more rows than that (the World models have 65536).
  virtual int32_t vocab_size() const = 0;
  // "bytes", "world", "bpe" or "characters".
  virtual std::string kind() const = 0;
  // The whole vocabulary as text, so that a checkpoint can carry its tokenizer; empty for "bytes".
  virtual std::string serialize() const = 0;
  // xxh64 of the kind and the serialized vocabulary: equal hashes mean equal tokens, regardless of how the
  // file was formatted.
  uint64_t hash() const;
  // The same as files say it: 16 hex digits.
  std::string hash_text() const;
  // The token that separates texts, if the vocabulary has one.
  virtual std::optional<int32_t> end_of_text() const = 0;
};

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

// Ids 0 to 255 are the bytes.
TokenizerPtr make_bytes_tokenizer();

// Greedy longest match over byte strings, as the RWKV "World" models use it; id 0 is the end of text and is
// not in the file. `vocabulary_text` is the content of such a file (text/vocabulary.h). Throws the errors of
// parse_vocabulary.
TokenizerPtr make_world_tokenizer(std::string_view vocabulary_text);

// Whether this is the vocabulary of the published World models, with 65529 tokens and the end of text.
bool is_published_world(const Tokenizer& tokenizer);

// Byte-level byte pair encoding as described by a tokenizer.json (text/bpe_definition.h), such as the
// GPT-NeoX 20B file. Bytes that are not part of valid UTF-8 become separate tokens. encode throws Error for a
// byte without a token (the 20B file lacks the 13 bytes that never occur in UTF-8). The round trip loses only
// what the file prescribes: normalization to form C, as in the 20B file, combines "e" and an accent into one
// character, and tokens with lstrip or rstrip consume white space. Text that spells an added token, such as
// <|endoftext|>, becomes that token. Throws the errors of parse_bpe_definition and Splitter.
TokenizerPtr make_bpe_tokenizer(std::string_view tokenizer_json);

// One token per character: `vocab_json` is an object of ids and characters, {"0": "\n", "1": " "} as the
// first RWKV trainers wrote it, or {"\n": 0, " ": 1}. encode throws Error naming the first unknown character
// or invalid byte and its position. Throws Error if the text is not such an object, if a token is not exactly
// one character, and for duplicate ids or characters.
TokenizerPtr make_characters_tokenizer(std::string_view vocab_json);

// The tokenizer described by the results of kind() and serialize(). Throws Error for an unknown kind or a bad
// vocabulary.
TokenizerPtr make_tokenizer(std::string_view kind, std::string_view serialized);

}  // namespace aviary
