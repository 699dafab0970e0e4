#include "text/tokenizer.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>

#include "base/error.h"
#include "base/quotes.h"

namespace aviary {

namespace {

class BytesTokenizer final : public Tokenizer {
 public:
  BytesTokenizer() {
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i);
  }
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    auto* first = reinterpret_cast<const uint8_t*>(text.data());
    tokens.insert(tokens.end(), first, first + text.size());
  }
  std::string_view bytes_of(int32_t token) const override {
    require(token >= 0, "bytes tokenizer: token {} is negative", token);
    return token < 256 ? std::string_view(bytes_.data() + token, 1) : std::string_view();
  }
  int32_t vocab_size() const override { return 256; }
  std::string kind() const override { return "bytes"; }
  std::string serialize() const override { return ""; }
  std::optional<int32_t> end_of_text() const override { return std::nullopt; }

 private:
  std::array<char, 256> bytes_;
};

}  // namespace

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> tokens;
  encode(text, tokens);
  return tokens;
}

std::string Tokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  for (int32_t token : tokens) text += bytes_of(token);
  return text;
}

uint64_t Tokenizer::hash() const {
  std::string content = kind() + '\n' + serialize();
  return XXH64(content.data(), content.size(), 0);
}

std::string Tokenizer::hash_text() const { return fmt::format("{:016x}", hash()); }

TokenizerPtr make_bytes_tokenizer() { return std::make_shared<BytesTokenizer>(); }

bool is_published_world(const Tokenizer& tokenizer) {
  constexpr uint64_t hash = 0x492f306f5f9150fc;
  constexpr int32_t size = 65530;
  return tokenizer.kind() == "world" && tokenizer.vocab_size() == size && tokenizer.hash() == hash;
}

TokenizerPtr make_tokenizer(std::string_view kind, std::string_view serialized) {
  if (kind == "bytes") {
    require(serialized.empty(), "tokenizer of kind \"bytes\": it needs no vocabulary, got {} bytes of one",
            serialized.size());
    return make_bytes_tokenizer();
  }
  if (kind == "bpe") return make_bpe_tokenizer(serialized);
  if (kind == "characters") return make_characters_tokenizer(serialized);
  require(kind == "world", "tokenizer: unknown kind \"{}\", expected bytes, world, bpe or characters",
          excerpt(kind));
  return make_world_tokenizer(serialized);
}

}  // namespace aviary
