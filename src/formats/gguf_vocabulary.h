// The vocabularies in GGUF files that llama.cpp calls "rwkv": one string per id, bytes that do not print
// written as \xff, \n, \r or \t, and the greedy longest match of the World tokenizer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/bytes.h"
#include "text/tokenizer.h"

namespace aviary::gguf {

// The numbers that stand in tokenizer.ggml.token_type.
enum class TokenType : int32_t { normal = 1, control = 3, unused = 5 };

struct Token {
  std::string text;  // escaped
  TokenType type = TokenType::normal;
};

// One token for each of the model's `vocab_size` ids. What a text must never become, the end of text and ids
// without a token, gets a name behind a zero byte; without a tokenizer (null) these are all ids. Throws Error
// when the tokenizer has more tokens.
std::vector<Token> tokens_of(const Tokenizer* tokenizer, int64_t vocab_size);

// What make_tokenizer takes; the kind is empty when the tokens are of neither kind.
struct Vocabulary {
  std::string kind, lines;
};
// `types` holds an int32 for each token, or nothing. Throws Error, beginning with `where`, for a token whose
// escapes have no meaning.
Vocabulary vocabulary_of(std::span<const std::string_view> tokens, Bytes types, std::string_view where);

}  // namespace aviary::gguf
