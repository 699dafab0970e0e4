#include "text/pair_merger.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace aviary {
namespace {

using Word = std::vector<std::string>;
using Words = std::vector<std::pair<Word, int64_t>>;

// One step of byte pair encoding that recounts everything: the most frequent pair, then the oldest symbols.
std::string slow_step(Words& words, std::vector<std::string>& symbols) {
  auto age = [&](const std::string& symbol) {
    return std::find(symbols.begin(), symbols.end(), symbol) - symbols.begin();
  };
  std::map<std::pair<int64_t, int64_t>, int64_t> counts;
  for (auto& [word, count] : words)
    for (size_t i = 1; i < word.size(); ++i) counts[{age(word[i - 1]), age(word[i])}] += count;
  auto best = counts.begin();
  for (auto pair = counts.begin(); pair != counts.end(); ++pair)
    if (pair->second > best->second) best = pair;
  if (counts.empty() || best->second < 2) return "";
  std::string left = symbols[static_cast<size_t>(best->first.first)],
              right = symbols[static_cast<size_t>(best->first.second)];
  for (auto& [word, count] : words) {
    Word joined;
    for (size_t i = 0; i < word.size(); ++i) {
      bool here = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
      joined.push_back(here ? left + right : word[i]);
      i += here;
    }
    word = joined;
  }
  bool known = age(left + right) < static_cast<int64_t>(symbols.size());
  if (!known) symbols.push_back(left + right);
  return known ? slow_step(words, symbols) : left + right;
}

TEST(PairMerger, MakesTheSameTokensAsRecountingAfterEveryStep) {
  Random random(2);
  for (int round = 0; round < 40; ++round) {
    PairMerger merger;
    Words words;
    std::vector<std::string> symbols;
    for (int byte = 0; byte < 256; ++byte) symbols.emplace_back(1, static_cast<char>(byte));
    for (int w = 0; w < 30; ++w) {
      Word word;
      std::vector<int32_t> ids;
      int64_t length = 1 + random.below(9), count = 1 + random.below(4);
      while (length-- > 0) {
        ids.push_back('a' + static_cast<int32_t>(random.below(3)));
        word.emplace_back(1, static_cast<char>(ids.back()));
      }
      merger.add_word(ids, count);
      words.emplace_back(word, count);
    }
    for (int step = 0;; ++step) {
      std::string expected = slow_step(words, symbols);
      ASSERT_EQ(merger.next_token(), expected) << "round " << round << ", step " << step;
      if (expected.empty()) break;
    }
  }
}

TEST(PairMerger, ACharacterWithoutATokenIsWorthItsBytes) {
  PairMerger merger;
  int32_t ni = merger.symbol("\xe4\xbd\xa0", false);
  merger.add_word({ni, 'a'}, 4);  // a token for "ni" saves 2 * 10, for "ni a" 3 * 4, for "bc" 11
  merger.add_word({ni}, 6);
  merger.add_word({'b', 'c'}, 11);
  EXPECT_EQ(merger.next_token(), "\xe4\xbd\xa0");
  EXPECT_EQ(merger.next_token(), "bc");
  EXPECT_EQ(merger.next_token(),
            "\xe4\xbd\xa0"
            "a");
  EXPECT_EQ(merger.next_token(), "");
}

TEST(PairMerger, MakesNoTokenForPairsThatOccurOnce) {
  PairMerger merger;
  merger.add_word({'a', 'b', 'c'}, 1);
  EXPECT_EQ(merger.next_token(), "");
}

}  // namespace
}  // namespace aviary
