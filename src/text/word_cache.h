// A cache of the tokens of words, since texts repeat their words.
#pragma once

#include <tsl/robin_map.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aviary {

class WordCache {
 public:
  // Only words up to this length are cached; longer ones hardly ever recur.
  static constexpr size_t longest_word = 64;

  // The tokens of a word that was added, otherwise nothing; valid until the next add().
  std::span<const int32_t> find(std::string_view word) const;
  // Adds a word that is not in the cache, with its tokens (at least one). When the cache is full it is
  // cleared first.
  void add(std::string_view word, std::span<const int32_t> tokens);

 private:
  struct Tokens {
    uint32_t begin, count;  // in tokens_
  };
  struct Hash {
    using is_transparent = void;  // words are looked up without creating a std::string
    size_t operator()(std::string_view word) const;
  };

  tsl::robin_map<std::string, Tokens, Hash, std::equal_to<>, std::allocator<std::pair<std::string, Tokens>>,
                 true>
      words_;
  std::vector<int32_t> tokens_;
};

}  // namespace aviary
