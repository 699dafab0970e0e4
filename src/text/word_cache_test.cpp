#include "text/word_cache.h"

#include <gtest/gtest.h>

namespace aviary {
namespace {

std::vector<int32_t> cached_tokens(int32_t i) {
  return std::vector<int32_t>(static_cast<size_t>(i % 5 + 1), i);
}

TEST(WordCache, KeepsRecentlyAddedWords) {
  WordCache cache;
  EXPECT_TRUE(cache.find("word").empty());
  EXPECT_TRUE(cache.find("").empty());
  for (int32_t i = 0; i < 300'000; ++i) {  // more than it can hold
    const std::string word = "word" + std::to_string(i);
    EXPECT_TRUE(cache.find(word).empty());
    cache.add(word, cached_tokens(i));
    for (int32_t back : {i, i - i % 1000}) {
      const auto found = cache.find("word" + std::to_string(back));
      if (found.empty()) continue;
      ASSERT_EQ(std::vector<int32_t>(found.begin(), found.end()), cached_tokens(back));
    }
    ASSERT_FALSE(cache.find(word).empty());
  }
}

TEST(WordCache, DoesNotKeepLongWords) {
  WordCache cache;
  const std::string longest(WordCache::longest_word, 'a');
  cache.add(longest, cached_tokens(4));
  cache.add(longest + "a", cached_tokens(4));
  EXPECT_EQ(cache.find(longest).size(), 5u);
  EXPECT_TRUE(cache.find(longest + "a").empty());
}

}  // namespace
}  // namespace aviary
