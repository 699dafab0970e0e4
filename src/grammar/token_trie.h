// The tokens of a vocabulary as a trie of their bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "grammar/dfa.h"
#include "text/tokenizer.h"

namespace aviary {

// Built once per tokenizer; immutable, threads may share one.
class TokenTrie {
 public:
  using Ptr = std::shared_ptr<const TokenTrie>;

  // A node of the trie, laid out in depth-first order: children follow their parent.
  struct Node {
    int32_t token = -1;  // the first one whose bytes end here; -1: none
    int32_t size = 1;    // nodes of the subtree, with this one
    uint16_t depth = 0;  // bytes up to here, at least 1
    uint8_t byte = 0;
  };

  // Tokens without bytes and the end of text are left out. The tokenizer must outlive it.
  explicit TokenTrie(const Tokenizer& tokenizer);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  int32_t vocab_size() const { return vocab_size_; }
  std::span<const Node> nodes() const { return nodes_; }
  // The next token with the same bytes as this one; -1: none.
  int32_t next_equal(int32_t token) const { return next_equal_[static_cast<size_t>(token)]; }
  int32_t longest() const { return longest_; }

  // Plain tokens are whole characters that stand for themselves in a string of JSON: no control character,
  // quote or backslash. Most tokens are plain; wherever any such text may follow, all of them are allowed.
  const grammar::Dfa& plain_text() const { return plain_text_; }
  // Bits of the plain tokens of up to so many characters.
  std::span<const uint64_t> plain_tokens(size_t characters) const {
    return plain_tokens_[std::min(characters, plain_tokens_.size() - 1)];
  }
  std::span<const Node> other_nodes() const { return other_nodes_; }  // the trie of the other tokens

  // The longest token that the text begins with; -1: none.
  int32_t longest_prefix(std::string_view text) const;
  // The nodes of the tokens that begin with this text and are longer.
  std::span<const Node> below(std::string_view text) const;

 private:
  static std::vector<Node> build(const std::vector<std::pair<std::string_view, int32_t>>& tokens);
  void add_plain(int32_t token, std::string_view bytes);
  // The child of the range of nodes with this byte, as an index; or the end.
  size_t find_child(size_t begin, size_t end, uint8_t byte) const;

  const Tokenizer& tokenizer_;
  int32_t vocab_size_ = 0, longest_ = 0;
  std::vector<Node> nodes_, other_nodes_;
  std::vector<int32_t> next_equal_;
  grammar::Dfa plain_text_;
  std::vector<std::vector<uint64_t>> plain_tokens_;  // by their largest number of characters
};

}  // namespace aviary
