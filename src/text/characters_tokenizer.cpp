// One token per character, as in the first RWKV trainers: a vocab.json gives the character of each id.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace aviary {

namespace {

using Json = nlohmann::json;

VocabularyEntry entry_of(int64_t id, const std::string& character) {
  require(id >= 0 && id <= max_vocabulary_id, "vocab.json: \"{}\" has id {}, expected 0 to {}",
          excerpt(character), id, max_vocabulary_id);
  const Utf8Step step = utf8_step(character);
  require(step.kind == Utf8Kind::character && step.length == std::ssize(character),
          "vocab.json: token {} is \"{}\", expected one character (a vocabulary of words and their parts "
          "needs its tokenizer.json)",
          id, excerpt(character));
  return {static_cast<int32_t>(id), character};
}

int64_t number_of(const std::string& key) {
  int64_t id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  require(error == std::errc() && end == key.data() + key.size() && id >= 0,
          "vocab.json: the key \"{}\" is not an id, expected {{\"0\": \"a\", ...}} or {{\"a\": 0, ...}}",
          excerpt(key));
  return id;
}

// Characters by id, from {"0": "a"} or {"a": 0}.
std::vector<VocabularyEntry> parse_characters(std::string_view text) {
  const Json json = parse_json(text, "vocab.json");
  require(json.is_object() && !json.empty(), "vocab.json: expected an object of characters and ids");
  std::vector<VocabularyEntry> entries;
  for (const auto& [key, value] : json.items()) {
    require(value.is_string() || value.is_number_unsigned(),
            "vocab.json: \"{}\" is {}, expected a character or an id", excerpt(key), value.type_name());
    if (value.is_string())
      entries.push_back(entry_of(number_of(key), value.get<std::string>()));
    else
      entries.push_back(
          entry_of(static_cast<int64_t>(std::min(value.get<uint64_t>(), uint64_t{1} << 62)), key));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (size_t i = 1; i < entries.size(); ++i)
    require(entries[i].id != entries[i - 1].id, "vocab.json: id {} is given twice", entries[i].id);
  return entries;
}

class CharactersTokenizer final : public Tokenizer {
 public:
  explicit CharactersTokenizer(const std::vector<VocabularyEntry>& entries)
      : characters_(static_cast<size_t>(entries.back().id) + 1) {
    for (const VocabularyEntry& entry : entries) {
      const uint32_t code_point = utf8_code_point(entry.bytes);
      if (code_point >= token_of_.size()) token_of_.resize(code_point + 1, -1);
      int32_t& token = token_of_[code_point];
      require(token < 0, "vocab.json: \"{}\" has the ids {} and {}", printable(entry.bytes), token, entry.id);
      token = entry.id;
      characters_[static_cast<size_t>(entry.id)] = entry.bytes;
    }
  }

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    for (size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_step(text.substr(at));
      const std::string_view piece = text.substr(at, static_cast<size_t>(step.length));
      const uint32_t code_point = step.kind == Utf8Kind::character ? utf8_code_point(piece) : none;
      if (code_point >= token_of_.size() || token_of_[code_point] < 0) refuse(text, at, piece);
      tokens.push_back(token_of_[code_point]);
      at += piece.size();
    }
  }
  std::string_view bytes_of(int32_t token) const override {
    require(token >= 0, "characters tokenizer: token {} is negative", token);
    return token < vocab_size() ? std::string_view(characters_[static_cast<size_t>(token)])
                                : std::string_view();
  }
  int32_t vocab_size() const override { return static_cast<int32_t>(characters_.size()); }
  std::string kind() const override { return "characters"; }
  std::string serialize() const override {
    std::string lines;
    for (size_t id = 0; id < characters_.size(); ++id)
      if (!characters_[id].empty())
        lines += fmt::format("{}\n\"{}\":{}", lines.empty() ? "" : ",", id, Json(characters_[id]).dump());
    return "{" + lines + "\n}\n";
  }
  std::optional<int32_t> end_of_text() const override { return std::nullopt; }

 private:
  static constexpr uint32_t none = 0x110000;  // above all code points

  [[noreturn]] static void refuse(std::string_view text, size_t at, std::string_view piece) {
    const std::string_view before = text.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t line_begin = before.rfind('\n') + 1;  // 0 when there is none
    const auto column =
        1 + std::count_if(before.begin() + static_cast<std::ptrdiff_t>(line_begin), before.end(),
                          [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; });
    fail(
        "characters tokenizer: \"{}\" in line {}, column {} of the text is not in this vocabulary; take it "
        "out or replace it",
        printable(piece), line, column);
  }

  std::vector<std::string> characters_;  // by id
  std::vector<int32_t> token_of_;        // of each code point, or -1
};

}  // namespace

TokenizerPtr make_characters_tokenizer(std::string_view vocab_json) {
  return std::make_shared<CharactersTokenizer>(parse_characters(vocab_json));
}

}  // namespace aviary
