// Byte pair encoding of one word: while any two neighbors can be merged, the pair with the lowest rank is
// merged, the leftmost if there are several.
#pragma once

#include <tsl/robin_map.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace aviary {

class BytePairEncoder {
 public:
  struct Merge {
    int32_t left = 0, right = 0, joined = 0;
  };
  // `byte_tokens` is the token of each byte; the index of a merge in `merges` is its rank. If a pair occurs
  // twice, the last is used.
  BytePairEncoder(const std::array<int32_t, 256>& byte_tokens, std::span<const Merge> merges);

  // Memory that is reused by many calls.
  struct Workspace {
    struct Symbol {
      int32_t token, previous, next;  // -1: none; a symbol that was merged into the previous one has no token
    };
    struct Choice {
      int32_t rank, at, left, right, joined;
    };
    std::vector<Symbol> symbols;
    std::vector<Choice> choices;
  };
  // Appends the tokens of `word`, in time n log n. Throws Error for words of 2^31 bytes and more.
  void encode(std::string_view word, std::vector<int32_t>& tokens, Workspace& workspace) const;

 private:
  struct Joined {
    int32_t rank, token;
  };
  struct PairHash {
    size_t operator()(uint64_t pair) const { return (pair * 0x9e3779b97f4a7c15) >> 32; }
  };

  void push(Workspace& workspace, int32_t at) const;

  std::array<int32_t, 256> byte_tokens_;
  tsl::robin_map<uint64_t, Joined, PairHash> merges_;  // key: the two tokens that are merged
};

}  // namespace aviary
