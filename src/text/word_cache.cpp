#include "text/word_cache.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cassert>
#include <utility>

namespace aviary {

namespace {

constexpr size_t most_places = size_t{1} << 17;

uint64_t hash_of(std::string_view word) { return XXH3_64bits(word.data(), word.size()); }

}  // namespace

// Where the word is, or the free place where it would be.
size_t WordCache::place_of(std::string_view word, uint64_t hash) const {
  const size_t mask = entries_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Entry& entry = entries_[i];
    if (entry.token_count == 0) return i;
    if (entry.hash == hash && std::string_view(words_).substr(entry.word, entry.word_length) == word)
      return i;
  }
}

std::span<const int32_t> WordCache::find(std::string_view word) const {
  if (word.size() > longest_word) return {};
  const Entry& entry = entries_[place_of(word, hash_of(word))];
  return std::span(tokens_).subspan(entry.tokens, entry.token_count);
}

void WordCache::add(std::string_view word, std::span<const int32_t> tokens) {
  assert(!tokens.empty());
  if (word.size() > longest_word) return;
  if (2 * (count_ + 1) > entries_.size()) resize(2 * entries_.size());
  const uint64_t hash = hash_of(word);
  entries_[place_of(word, hash)] = {hash, static_cast<uint32_t>(words_.size()),
                                    static_cast<uint32_t>(tokens_.size()), static_cast<uint32_t>(word.size()),
                                    static_cast<uint32_t>(tokens.size())};
  words_ += word;
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  ++count_;
}

void WordCache::resize(size_t places) {
  std::vector<Entry> old = std::exchange(entries_, std::vector<Entry>(std::min(places, most_places)));
  if (places > most_places) {
    count_ = 0;
    words_.clear(), tokens_.clear();
    return;
  }
  for (const Entry& entry : old)
    if (entry.token_count > 0)
      entries_[place_of(std::string_view(words_).substr(entry.word, entry.word_length), entry.hash)] = entry;
}

}  // namespace aviary
