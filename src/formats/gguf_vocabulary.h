// The vocabularies in GGUF files that llama.cpp calls "rwkv": one string per id, with unprintable bytes
// escaped as \xff, \n, \r or \t, for the greedy longest match of the World tokenizer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/bytes.h"
#include "text/tokenizer.h"

namespace aviary::gguf {

// The values of tokenizer.ggml.token_type.
enum class TokenType : int32_t { normal = 1, control = 3, unused = 5 };

struct Token {
  std::string text;  // escaped
  TokenType type = TokenType::normal;
};

// One token for each of the model's `vocab_size` ids. Ids that no text may produce (the end of text, and ids
// without a token; without a tokenizer (null), all ids) get a name that begins with a zero byte. Throws Error
// if the tokenizer has more tokens.
std::vector<Token> tokens_of(const Tokenizer* tokenizer, int64_t vocab_size);

// The arguments of make_tokenizer; the kind is empty if the tokens are of neither kind.
struct Vocabulary {
  std::string kind, lines;
};
// `types` contains an int32 for each token, or is empty. Throws Error, beginning with `where`, for a token
// with invalid escapes.
Vocabulary vocabulary_of(std::span<const std::string_view> tokens, Bytes types, std::string_view where);

}  // namespace aviary::gguf
