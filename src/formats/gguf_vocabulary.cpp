#include "formats/gguf_vocabulary.h"

#include <charconv>
#include <cstring>

#include "base/error.h"
#include "text/vocabulary.h"

namespace aviary::gguf {
namespace {

std::string escaped(std::string_view bytes) {
  std::string text;
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\')
      text += "\\\\";
    else if (c == '\n')
      text += "\\n";
    else if (c == '\r')
      text += "\\r";
    else if (c == '\t')
      text += "\\t";
    else if (byte < 0x20 || byte >= 0x7f)
      text += fmt::format("\\x{:02x}", byte);
    else
      text += c;
  }
  return text;
}

// Reads one escape after its backslash; a backslash before any other character stands for that character.
char take_escape(std::string_view& rest, std::string_view text, std::string_view where) {
  auto demand = [&](bool condition) {
    if (condition) return;
    fail("{}: the token {} of the vocabulary ends inside an escape or has a bad one", where, in_quotes(text));
  };
  demand(!rest.empty());
  const char c = rest[0];
  rest.remove_prefix(1);
  if (c == 'n') return '\n';
  if (c == 'r') return '\r';
  if (c == 't') return '\t';
  if (c != 'x') return c;
  uint8_t byte = 0;
  demand(rest.size() >= 2);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + 2, byte, 16);
  demand(error == std::errc() && end == rest.data() + 2);
  rest.remove_prefix(2);
  return static_cast<char>(byte);
}

std::string unescaped(std::string_view text, std::string_view where) {
  if (text.find('\\') == std::string_view::npos) return std::string(text);
  std::string bytes;
  for (std::string_view rest = text; !rest.empty();) {
    const char c = rest[0];
    rest.remove_prefix(1);
    bytes += c == '\\' ? take_escape(rest, text, where) : c;
  }
  return bytes;
}

bool is_byte(std::string_view bytes, size_t value) {
  return bytes.size() == 1 && static_cast<unsigned char>(bytes[0]) == value;
}

}  // namespace

std::vector<Token> tokens_of(const Tokenizer* tokenizer, int64_t vocab_size) {
  require(!tokenizer || tokenizer->vocab_size() <= vocab_size,
          "the tokenizer has {} tokens, but the model only {}: not the one it was trained with",
          tokenizer ? tokenizer->vocab_size() : 0, vocab_size);
  std::vector<Token> tokens(static_cast<size_t>(vocab_size));
  for (int64_t id = 0; id < vocab_size; ++id) {
    Token& token = tokens[static_cast<size_t>(id)];
    const std::string_view bytes = tokenizer ? tokenizer->bytes_of(static_cast<int32_t>(id)) : "";
    if (!bytes.empty())
      token.text = escaped(bytes);
    else if (tokenizer && tokenizer->end_of_text() == id)
      token = {"\\x00<s>", TokenType::control};
    else
      token = {fmt::format("\\x00[PAD{}]", id), TokenType::unused};
  }
  return tokens;
}

Vocabulary vocabulary_of(std::span<const std::string_view> tokens, Bytes types, std::string_view where) {
  // llama.cpp's converter makes id 0 the end of text even for a vocabulary of bytes.
  auto is_text = [&](size_t id) {
    if (types.empty()) return id != 0;
    int32_t type = 0;
    std::memcpy(&type, &types[id * sizeof(type)], sizeof(type));
    return type == static_cast<int32_t>(TokenType::normal);
  };
  require(types.empty() || types.size() == tokens.size() * sizeof(int32_t),
          "{}: the vocabulary has {} tokens, but types for {}", where, tokens.size(),
          types.size() / sizeof(int32_t));
  Vocabulary vocabulary;
  bool all_bytes = tokens.size() >= 256;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!is_text(id)) {
      all_bytes = all_bytes && (id == 0 || id >= 256);
      continue;
    }
    const std::string bytes = unescaped(tokens[id], where);
    all_bytes = all_bytes && id < 256 && is_byte(bytes, id);
    if (id == 0 && !all_bytes) return {};
    if (id != 0) vocabulary.lines += vocabulary_line(static_cast<int32_t>(id), bytes);
  }
  if (all_bytes) return {"bytes", ""};
  if (!vocabulary.lines.empty()) vocabulary.kind = "world";
  return vocabulary;
}

}  // namespace aviary::gguf
