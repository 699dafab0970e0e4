#include "text/byte_pair_encoder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "base/random.h"

namespace aviary {
namespace {

using Ids = std::vector<int32_t>;
using Merges = std::vector<BytePairEncoder::Merge>;

std::array<int32_t, 256> bytes() {
  std::array<int32_t, 256> tokens;
  for (int32_t i = 0; i < 256; ++i) tokens[static_cast<size_t>(i)] = i;
  return tokens;
}

Ids encode(const Merges& merges, std::string_view word) {
  Ids ids;
  BytePairEncoder::Workspace workspace;
  BytePairEncoder(bytes(), merges).encode(word, ids, workspace);
  return ids;
}

TEST(BytePairEncoder, MergesTheLowestRankFirst) {
  const Merges merges = {{'b', 'c', 256}, {'a', 'b', 257}, {257, 256, 258}, {'a', 256, 259}};
  EXPECT_EQ(encode(merges, "abc"), Ids{259});  // "b c" is merged before "a b"
  EXPECT_EQ(encode(merges, "ab"), Ids{257});
  EXPECT_EQ(encode(merges, "abbc"), Ids{258});
  EXPECT_EQ(encode(merges, "x"), Ids{'x'});
  EXPECT_EQ(encode(merges, ""), Ids{});
}

TEST(BytePairEncoder, MergesEqualPairsFromTheLeft) {
  const Merges merges = {{'a', 'a', 256}};
  EXPECT_EQ(encode(merges, "aaaaa"), (Ids{256, 256, 'a'}));
}

TEST(BytePairEncoder, TheLastOfEqualPairsIsUsed) {
  EXPECT_EQ(encode({{'a', 'b', 256}, {'b', 'c', 257}, {'a', 'b', 256}}, "abc"), (Ids{'a', 257}));
}

// Searches the whole word before every merge.
Ids slowly(const Merges& merges, std::string_view word) {
  std::map<std::pair<int32_t, int32_t>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i) ranks[{merges[i].left, merges[i].right}] = i;
  Ids ids;
  for (char c : word) ids.push_back(static_cast<uint8_t>(c));
  for (;;) {
    size_t best = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto rank = ranks.find({ids[i], ids[i + 1]});
      if (rank != ranks.end() && rank->second < best) best = rank->second, at = i;
    }
    if (best == merges.size()) return ids;
    ids[at] = merges[best].joined;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(BytePairEncoder, AgreesWithTheDefinitionOnRandomMerges) {
  Random random(21);
  for (int round = 0; round < 200; ++round) {
    Merges merges;
    int32_t next = 256;
    for (int i = 0; i < 30; ++i) {
      auto part = [&] {
        const int64_t i = random.below(3 + next - 256);
        return static_cast<int32_t>(i < 3 ? 'a' + i : 256 + i - 3);
      };
      // Sometimes a token that exists already: "ab" + "c" and "a" + "bc" give the same one.
      const int32_t joined = random.below(4) > 0 || next == 256 ? next++ : next - 1;
      merges.push_back({part(), part(), joined});
    }
    for (int i = 0; i < 30; ++i) {
      std::string word;
      for (int64_t letters = random.below(40); letters > 0; --letters)
        word += static_cast<char>('a' + random.below(3));
      ASSERT_EQ(encode(merges, word), slowly(merges, word)) << "round " << round << ", " << word;
    }
  }
}

TEST(BytePairEncoder, AWordOfAMillionLettersIsFast) {
  const Merges merges = {{'a', 'a', 256}, {256, 256, 257}, {257, 257, 258}, {'a', 256, 259}};
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(encode(merges, std::string(1 << 20, 'a')), Ids((1 << 20) / 8, 258));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace aviary
