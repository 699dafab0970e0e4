// Text to token ids and back. A tokenizer never changes after it is made, so threads may share one.
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

  // Any bytes have tokens and decode(encode(text)) == text, with exceptions: see make_bpe_tokenizer and
  // make_characters_tokenizer.
  std::vector<int32_t> encode(std::string_view text) const;
  // Appends the tokens of `text` to `tokens`.
  virtual void encode(std::string_view text, std::vector<int32_t>& tokens) const = 0;

  // The bytes of one token, valid as long as the tokenizer; empty for ids without a token and for the end of
  // text where it has no spelling. Throws Error when the id is negative. Ids from vocab_size() up are empty
  // too: models pad their vocabulary.
  virtual std::string_view bytes_of(int32_t token) const = 0;
  std::string decode(std::span<const int32_t> tokens) const;

  // The largest id + 1. A model may have more rows than that (the World models have 65536).
  virtual int32_t vocab_size() const = 0;
  // "bytes", "world", "bpe" or "characters".
  virtual std::string kind() const = 0;
  // The whole vocabulary as text, so that a checkpoint can carry its tokenizer; empty for "bytes".
  virtual std::string serialize() const = 0;
  // xxh64 of the kind and the serialized vocabulary: equal hashes mean equal tokens, however the file was
  // spelled.
  uint64_t hash() const;
  // The token that separates texts, when the vocabulary has one.
  virtual std::optional<int32_t> end_of_text() const = 0;
};

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

// Ids 0 to 255 are the bytes.
TokenizerPtr make_bytes_tokenizer();

// Greedy longest match over byte strings, as the RWKV "World" models use it; id 0 is the end of text and is
// not in the file. `vocabulary_text` is the content of such a file (text/vocabulary.h). Throws Error as
// parse_vocabulary does.
TokenizerPtr make_world_tokenizer(std::string_view vocabulary_text);

// Byte-level byte pair encoding as a tokenizer.json describes it (text/bpe_definition.h): the GPT-NeoX 20B
// file and those of its kind. Bytes outside of UTF-8 become tokens of their own. encode throws Error for a
// byte that the file has no token for (the 20B file lacks the 13 that no UTF-8 text has). What a text loses
// on the round trip is what the file asks for: normalization to form C, as in the 20B file, makes one
// character of "e" and an accent, and tokens with lstrip or rstrip take white space away. A text that spells
// an added token, as <|endoftext|>, is that token. Throws Error as parse_bpe_definition and Splitter do.
TokenizerPtr make_bpe_tokenizer(std::string_view tokenizer_json);

// One token per character: `vocab_json` is an object of ids and characters, {"0": "\n", "1": " "} as the
// first RWKV trainers wrote it, or {"\n": 0, " ": 1}. encode throws Error that names the first character, or
// byte outside of UTF-8, that is not among them, and its place. Throws Error for what is no such object, a
// token that is not one character, and ids or characters that come twice.
TokenizerPtr make_characters_tokenizer(std::string_view vocab_json);

// The tokenizer that kind() and serialize() described. Throws Error for an unknown kind or a bad vocabulary.
TokenizerPtr make_tokenizer(std::string_view kind, std::string_view serialized);

}  // namespace aviary
