// Which tokens a grammar allows next, computed once per configuration of the grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/configurations.h"
#include "grammar/grammar.h"
#include "grammar/token_trie.h"

namespace aviary {

struct TokenMask {
  std::vector<uint64_t> bits;  // one per token of the vocabulary
  bool may_end = false;        // the text may end here
  bool any = false;            // at least one bit is set

  bool allows(int32_t token) const {
    return (bits[static_cast<size_t>(token) / 64] >> (static_cast<size_t>(token) % 64) & 1) != 0;
  }
};

// The masks of one grammar for one vocabulary, to be shared by all texts that are written with them. May be
// used by several threads.
class TokenMasks {
 public:
  // Where a text is in the grammar. A value.
  class Position {
    friend class TokenMasks;
    std::shared_ptr<grammar::Configurations> in_;
    int32_t configuration_ = 0;
  };

  TokenMasks(Grammar::Ptr grammar, TokenTrie::Ptr trie);

  const TokenTrie& trie() const { return *trie_; }
  Position start();
  // A token is allowed if some text of the grammar begins with its bytes here. Throws Error for a grammar
  // that is too ambiguous here.
  std::shared_ptr<const TokenMask> mask(Position& position);
  // Moves over the bytes. False, and the position is as before, if the grammar does not allow them.
  bool advance(Position& position, std::string_view bytes);
  bool may_end(const Position& position) const;
  // The text may end, and nothing can follow.
  bool is_complete(const Position& position) const;

  // The tokens that must come next: the canonical tokens of the bytes that every continuation begins with, at
  // most `most` of them. A token is left out if a longer one may take its place, depending on what follows
  // these bytes; then the choice is the model's.
  std::vector<int32_t> forced(const Position& position, size_t most);

  struct Counts {
    int64_t masks = 0, computed = 0;  // asked for, and not known before
    int64_t configurations = 0;
  };
  Counts counts() const;

 private:
  void refresh(Position& position);
  std::shared_ptr<const TokenMask> compute(int32_t configuration);
  // Marks the tokens of these nodes that are allowed; whether there is one.
  bool walk(std::span<const TokenTrie::Node> nodes, int32_t configuration, uint16_t depth, TokenMask* mask);
  // The configuration after any one plain character; `mixed` if it depends on the character, `wall` if none
  // may follow.
  int32_t after_plain_character(int32_t configuration);
  int32_t compute_after_plain_character(int32_t configuration);
  // So many plain characters may follow, whichever they are, and then none; nothing if this cannot be said.
  std::optional<size_t> plain_characters(int32_t configuration);
  bool any_plain_text_may_follow(int32_t configuration);
  std::vector<int32_t> canonical_tokens(const std::string& text, int32_t after);

  const Grammar::Ptr grammar_;
  const TokenTrie::Ptr trie_;
  mutable std::mutex mutex_;  // guards what follows, and every Configurations made here
  std::shared_ptr<grammar::Configurations> configurations_;
  std::unordered_map<int32_t, std::shared_ptr<const TokenMask>> masks_;
  std::vector<int32_t> keys_;         // by configuration: the one whose mask it has; -1: unknown
  std::vector<int32_t> after_plain_;  // by configuration
  std::vector<int32_t> path_;         // of a walk: the configuration by depth
  Counts counts_;
};

}  // namespace aviary
