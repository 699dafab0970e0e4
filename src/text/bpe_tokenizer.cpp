// Byte-level byte pair encoding: added tokens are extracted, the text between them is normalized and split
// into words, and the bytes of each word are merged into tokens.
#include <algorithm>
#include <array>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "base/utf8.h"
#include "text/bpe_definition.h"
#include "text/byte_alphabet.h"
#include "text/normalize.h"
#include "text/tokenizer.h"
#include "text/word_cache.h"

namespace aviary {

namespace {

// The added tokens to search for before normalization, or those after it, in normalized spelling.
std::vector<AddedToken> added_tokens(const BpeDefinition& definition, bool normalized) {
  std::vector<AddedToken> tokens;
  std::string buffer;
  for (AddedToken token : definition.added) {
    if (token.normalized != normalized) continue;
    if (normalized && definition.nfc) token.content = std::string(to_nfc(token.content, buffer));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// -1 where a byte has none.
std::array<int32_t, 256> tokens_of_bytes(const BpeDefinition& definition) {
  std::array<int32_t, 256> tokens;
  tokens.fill(-1);
  for (const auto& token : definition.tokens)
    if (auto bytes = from_byte_alphabet(token.spelling); bytes && bytes->size() == 1)
      tokens[static_cast<uint8_t>(bytes->front())] = token.id;
  return tokens;
}

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeDefinition definition)
      : definition_(std::move(definition)),
        early_(added_tokens(definition_, false)),
        late_(added_tokens(definition_, true)),
        splitter_(definition_.splits),
        byte_tokens_(tokens_of_bytes(definition_)),
        lacks_bytes_(std::count(byte_tokens_.begin(), byte_tokens_.end(), -1) > 0),
        encoder_(byte_tokens_, definition_.merges) {
    for (const auto& token : definition_.tokens) {
      std::optional<std::string> bytes = from_byte_alphabet(token.spelling);
      if (bytes && definition_.ignore_merges) whole_words_[*bytes] = token.id;
      set_bytes(token.id, bytes.value_or(token.spelling));
    }
    for (const AddedToken& token : definition_.added) set_bytes(token.id, token.content);
    for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"})
      for (const AddedToken& token : definition_.added)
        if (token.content == name && !end_of_text_) end_of_text_ = token.id;
  }

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    std::unique_lock lock(cache_mutex_, std::try_to_lock);  // if in use, start with an empty one
    std::optional<WordCache> own;
    Encoding encoding{tokens, lock.owns_lock() ? cache_ : own.emplace(), {}};
    while (!text.empty()) {
      const size_t valid = valid_utf8_length(text);
      encode_valid(text.substr(0, valid), encoding);
      text.remove_prefix(valid);
      const auto invalid = static_cast<size_t>(utf8_step(text).length);
      for (char byte : text.substr(0, invalid)) {
        require_tokens(std::string_view(&byte, 1));
        tokens.push_back(byte_tokens_[static_cast<uint8_t>(byte)]);
      }
      text.remove_prefix(invalid);
    }
  }
  std::string_view bytes_of(int32_t token) const override {
    require(token >= 0, "bpe tokenizer: token {} is negative", token);
    return token < vocab_size() ? std::string_view(bytes_[static_cast<size_t>(token)]) : std::string_view();
  }
  int32_t vocab_size() const override { return static_cast<int32_t>(bytes_.size()); }
  std::string kind() const override { return "bpe"; }
  std::string serialize() const override { return write_bpe_definition(definition_); }
  std::optional<int32_t> end_of_text() const override { return end_of_text_; }

 private:
  // One call of encode.
  struct Encoding {
    std::vector<int32_t>& tokens;
    WordCache& cache;
    BytePairEncoder::Workspace workspace;
  };

  void set_bytes(int32_t id, const std::string& bytes) {
    if (id >= vocab_size()) bytes_.resize(static_cast<size_t>(id) + 1);
    bytes_[static_cast<size_t>(id)] = bytes;
  }

  void encode_valid(std::string_view text, Encoding& encoding) const {
    std::string buffer;
    early_.cut(text, [&](std::string_view rest, std::optional<int32_t> token) {
      if (token) return encoding.tokens.push_back(*token);
      if (definition_.nfc) rest = to_nfc(rest, buffer);
      late_.cut(rest, [&](std::string_view words, std::optional<int32_t> late_token) {
        if (late_token) return encoding.tokens.push_back(*late_token);
        splitter_.split(words, [&](std::string_view word) { encode_word(word, encoding); });
      });
    });
  }

  void encode_word(std::string_view word, Encoding& encoding) const {
    std::vector<int32_t>& tokens = encoding.tokens;
    const std::span<const int32_t> cached = encoding.cache.find(word);
    if (!cached.empty()) {
      tokens.insert(tokens.end(), cached.begin(), cached.end());
      return;
    }
    const size_t begin = tokens.size();
    if (const auto whole = whole_words_.find(std::string(word)); whole != whole_words_.end()) {
      tokens.push_back(whole->second);
    } else {
      if (lacks_bytes_) require_tokens(word);
      encoder_.encode(word, tokens, encoding.workspace);
    }
    encoding.cache.add(word, std::span(tokens).subspan(begin));
  }

  void require_tokens(std::string_view bytes) const {
    for (char byte : bytes)
      require(byte_tokens_[static_cast<uint8_t>(byte)] >= 0,
              "bpe tokenizer: the text has \"{}\", but this vocabulary has no token for the byte 0x{:02x}",
              excerpt(bytes), static_cast<uint8_t>(byte));
  }

  BpeDefinition definition_;
  AddedTokens early_, late_;
  Splitter splitter_;
  std::array<int32_t, 256> byte_tokens_;
  bool lacks_bytes_;
  BytePairEncoder encoder_;
  std::unordered_map<std::string, int32_t> whole_words_;  // with ignore_merges
  std::vector<std::string> bytes_;                        // by id
  std::optional<int32_t> end_of_text_;
  mutable std::mutex cache_mutex_;
  mutable WordCache cache_;
};

}  // namespace

TokenizerPtr make_bpe_tokenizer(std::string_view tokenizer_json) {
  return std::make_shared<BpeTokenizer>(parse_bpe_definition(tokenizer_json));
}

}  // namespace aviary
