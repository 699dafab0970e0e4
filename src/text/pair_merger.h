// Byte pair encoding over a table of words, used by the vocabulary trainer.
#pragma once

#include <cstdint>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace aviary {

// Repeatedly merges the pair of neighboring symbols, over all weighted words, that saves the most tokens. A
// symbol is a token, or a multi-byte character that has no token yet and therefore costs as many tokens as it
// has bytes; making it a token is a choice like merging two symbols.
class PairMerger {
 public:
  PairMerger();

  // The index of the symbol with these bytes. If it is new, `token` says whether it becomes a token.
  int32_t symbol(std::string_view bytes, bool is_token);
  // Adds a word, given as symbols, that occurs `count` times.
  void add_word(const std::vector<int32_t>& symbols, int64_t count);

  // Creates the best new token and returns its bytes; empty if none would save at least two tokens.
  std::string next_token();

 private:
  static constexpr int32_t alone = -1;  // as `right`: the choice to make the symbol `left` a token

  struct Symbol {
    std::string bytes;
    bool is_token = false;
    int64_t count = 0;  // maintained only while the symbol is not a token
  };
  struct Pair {
    int64_t count = 0;
    int64_t pushed_at = -1;  // the step in which it last entered the heap
    std::vector<uint32_t> words;
  };
  struct Choice {
    int64_t gain;
    int32_t left, right;
    bool operator<(const Choice& other) const {  // largest gain first, then the oldest symbols
      if (gain != other.gain) return gain < other.gain;
      return std::pair(left, right) > std::pair(other.left, other.right);
    }
  };
  struct Word {
    size_t begin, end;  // in symbols_of_words_
    int64_t count;
  };

  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  int64_t cost(int32_t symbol) const;
  int64_t gain(int32_t left, int32_t right) const;
  void push(int32_t left, int32_t right);
  void push_everything();
  void add_pair(int32_t left, int32_t right, uint32_t word);
  void remove_pair(int32_t left, int32_t right, uint32_t word);
  void join(int32_t left, int32_t right, int32_t joined);
  void join_in_word(uint32_t word, int32_t left, int32_t right, int32_t joined);

  std::vector<Symbol> symbols_;
  std::unordered_map<std::string, int32_t> symbol_of_bytes_;
  std::vector<Word> words_;
  std::vector<int32_t> symbols_of_words_;
  std::unordered_map<uint64_t, Pair> pairs_;
  std::vector<std::pair<int32_t, int32_t>> touched_;  // pairs whose count grew in this step
  std::priority_queue<Choice> heap_;
  int64_t step_ = 0;
  bool started_ = false;
};

}  // namespace aviary
