#include "text/word_cache.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cassert>

namespace aviary {

namespace {

constexpr size_t most_words = size_t{1} << 16;

}  // namespace

size_t WordCache::Hash::operator()(std::string_view word) const {
  return XXH3_64bits(word.data(), word.size());
}

std::span<const int32_t> WordCache::find(std::string_view word) const {
  if (word.size() > longest_word) return {};
  const auto found = words_.find(word);
  if (found == words_.end()) return {};
  return std::span(tokens_).subspan(found->second.begin, found->second.count);
}

void WordCache::add(std::string_view word, std::span<const int32_t> tokens) {
  assert(!tokens.empty());
  if (word.size() > longest_word) return;
  if (words_.size() == most_words) words_.clear(), tokens_.clear();
  words_.emplace(word, Tokens{static_cast<uint32_t>(tokens_.size()), static_cast<uint32_t>(tokens.size())});
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

}  // namespace aviary
