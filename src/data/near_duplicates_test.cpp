#include "data/near_duplicates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"

namespace aviary {
namespace {

using Words = std::vector<uint64_t>;

NearKey key_of(const Words& words) {
  MinHash hash;
  for (const uint64_t word : words) hash.add_word(word);
  return hash.finish();
}

Words random_words(Random& random, int64_t count) {
  Words words;
  for (int64_t i = 0; i < count; ++i) words.push_back(random.next());
  return words;
}

// The exact share of five-word runs that both have.
double jaccard(const Words& a, const Words& b) {
  auto runs = [](const Words& words) {
    std::set<Words> result;
    for (size_t i = 0; i + 5 <= words.size(); ++i) result.emplace(words.begin() + i, words.begin() + i + 5);
    return result;
  };
  const std::set<Words> of_a = runs(a), of_b = runs(b);
  size_t both = 0;
  for (const Words& run : of_a) both += of_b.contains(run);
  return static_cast<double>(both) / static_cast<double>(of_a.size() + of_b.size() - both);
}

// A copy with some words replaced.
Words changed(Words words, Random& random, int64_t changes) {
  for (int64_t i = 0; i < changes; ++i)
    words[static_cast<size_t>(random.below(std::ssize(words)))] = random.next();
  return words;
}

TEST(NearDuplicates, NineteenOfTwentyPairsFromSimilarityEightTenthsOnAreFound) {
  Random random(11);
  std::vector<NearKey> keys;
  std::vector<double> similarities;
  for (int pair = 0; pair < 4000; ++pair) {
    const Words first = random_words(random, 40 + random.below(600));
    const Words second = changed(first, random, random.below(1 + std::ssize(first) / 30));
    similarities.push_back(jaccard(first, second));
    keys.push_back(key_of(first));
    keys.push_back(key_of(second));
  }
  const std::vector<uint32_t> groups = near_groups(keys);
  int found = 0, all = 0, hardest = 0, hardest_found = 0;
  for (size_t i = 0; i < similarities.size(); ++i) {
    if (similarities[i] < 0.8) continue;
    const bool joined = groups[2 * i + 1] == 2 * i;
    ++all, found += joined;
    if (similarities[i] < 0.85) ++hardest, hardest_found += joined;
  }
  ASSERT_GT(all, 2000);
  ASSERT_GT(hardest, 200);
  EXPECT_GE(found, all * 95 / 100);
  EXPECT_GE(hardest_found, hardest * 90 / 100) << hardest_found << " of " << hardest;
}

TEST(NearDuplicates, DifferentTextsStayApart) {
  Random random(12);
  std::vector<NearKey> keys;
  for (int i = 0; i < 3000; ++i) {
    const Words words = random_words(random, 20 + random.below(200));
    keys.push_back(key_of(words));
    keys.push_back(key_of(changed(words, random, std::ssize(words) / 2)));
  }
  keys.push_back(NearKey());  // two texts without words
  keys.push_back(NearKey());
  const std::vector<uint32_t> groups = near_groups(keys);
  int joined = 0;
  for (uint32_t i = 0; i < groups.size(); ++i) joined += groups[i] != i;
  EXPECT_LE(joined, 3);
}

TEST(NearDuplicates, SimilarityIsTheShareOfCommonRuns) {
  Random random(13);
  const Words words = random_words(random, 2000);
  for (const int64_t changes : {0, 20, 60, 200}) {
    const Words other = changed(words, random, changes);
    EXPECT_NEAR(key_of(words).similarity(key_of(other)), jaccard(words, other), 0.12) << changes;
  }
  EXPECT_EQ(key_of({1, 2}).similarity(key_of({1, 2})), 1);
  EXPECT_LT(key_of({1, 2}).similarity(key_of({1, 3})), 0.1);
}

TEST(NearDuplicates, PartsOfATextGiveNearlyItsKey) {
  Random random(14);
  const Words words = random_words(random, 900);
  MinHash first, second;
  for (size_t i = 0; i < words.size(); ++i) (i < 450 ? first : second).add_word(words[i]);
  first.merge(second);
  EXPECT_GT(first.finish().similarity(key_of(words)), 0.97);
}

}  // namespace
}  // namespace aviary
