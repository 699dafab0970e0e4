// Tokens that a tokenizer.json lists in addition to its vocabulary, such as <|endoftext|>. They are searched
// for before the text is split into words.
#pragma once

#include <bitset>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace aviary {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;                 // a control token, such as the end of text; encoded like the others
  bool lstrip = false, rstrip = false;  // also consumes the white space before or after it
  bool normalized = false;              // searched for after normalization

  bool operator==(const AddedToken&) const = default;
};

class AddedTokens {
 public:
  // Contents are not empty; if two are equal, the first is used.
  explicit AddedTokens(const std::vector<AddedToken>& tokens);

  // Splits `text`, valid UTF-8, into added tokens and the text between them; where several tokens match, the
  // longest wins. Calls `part` for each piece in order, with either a text or a token; the other is empty.
  using Part = std::function<void(std::string_view, std::optional<int32_t>)>;
  void cut(std::string_view text, const Part& part) const;

 private:
  struct Match {
    size_t begin = 0, end = 0;
    const AddedToken* token = nullptr;
  };
  std::optional<Match> find(std::string_view text, size_t from) const;

  std::vector<AddedToken> tokens_;
  // A trie of the contents: the child of a node is at node * 256 + byte (the root is 0); the token that ends
  // at a node, or -1.
  std::unordered_map<uint64_t, uint32_t> children_;
  std::vector<int32_t> token_of_node_{-1};
  std::bitset<65536> begins_;  // can a token begin with these two bytes?
};

}  // namespace aviary
