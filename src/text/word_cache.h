// Remembers the tokens of words, since texts repeat theirs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

class WordCache {
 public:
  // Room for these words only; longer ones hardly ever come again.
  static constexpr size_t longest_word = 64;

  // The tokens of a word that was added, else nothing; valid until the next add().
  std::span<const int32_t> find(std::string_view word) const;
  // A word that is not there, and its tokens: at least one. Begins anew when there are too many.
  void add(std::string_view word, std::span<const int32_t> tokens);

 private:
  struct Entry {
    uint64_t hash = 0;
    uint32_t word = 0, tokens = 0;              // where they begin
    uint32_t word_length = 0, token_count = 0;  // no tokens: a free place
  };
  size_t place_of(std::string_view word, uint64_t hash) const;
  void resize(size_t places);

  std::vector<Entry> entries_ = std::vector<Entry>(1024);  // by hash; at least half of them are free
  size_t count_ = 0;
  std::string words_;
  std::vector<int32_t> tokens_;
};

}  // namespace aviary
