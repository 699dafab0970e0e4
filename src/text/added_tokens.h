// Tokens that a tokenizer.json names beside its vocabulary, as <|endoftext|>: they are looked for before the
// text is cut into words.
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
  bool special = false;                 // a mark for programs, as the end of a text; encoded like the others
  bool lstrip = false, rstrip = false;  // takes the white space before it or after it away from the text
  bool normalized = false;              // looked for after normalization

  bool operator==(const AddedToken&) const = default;
};

class AddedTokens {
 public:
  // Contents are not empty; of equal ones the first counts.
  explicit AddedTokens(const std::vector<AddedToken>& tokens);

  // Cuts `text`, valid UTF-8, into tokens and what lies between them: where several begin, the longest one.
  // Calls `part` for each in order with the text and the token, one of which is empty.
  using Part = std::function<void(std::string_view, std::optional<int32_t>)>;
  void cut(std::string_view text, const Part& part) const;

 private:
  struct Match {
    size_t begin = 0, end = 0;
    const AddedToken* token = nullptr;
  };
  std::optional<Match> find(std::string_view text, size_t from) const;

  std::vector<AddedToken> tokens_;
  // The tree of the contents: a node's child by node * 256 + byte (the root is 0), and the token that ends in
  // a node, or -1.
  std::unordered_map<uint64_t, uint32_t> children_;
  std::vector<int32_t> token_of_node_{-1};
  std::bitset<65536> begins_;  // can a token begin with these two bytes?
};

}  // namespace aviary
