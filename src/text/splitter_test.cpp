#include "text/splitter.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

using Strings = std::vector<std::string>;

constexpr const char* gpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* gpt4 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Strings split_pieces(const std::vector<SplitRule>& rules, std::string_view text) {
  Strings pieces;
  Splitter(rules).split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

std::string splitter_complaint(const std::string& pattern) {
  try {
    Splitter splitter({{pattern}});
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Splitter, SplitsLikeGpt2) {
  EXPECT_EQ(split_pieces({{gpt2}}, "I'm 42  years,\n\n na\u00efve!"),
            (Strings{"I", "'m", " 42", " ", " years", ",", "\n\n", " na\u00efve", "!"}));
  EXPECT_EQ(split_pieces({{gpt2}}, "a   \n"), (Strings{"a", "   \n"}));
  EXPECT_EQ(split_pieces({{gpt2}}, ""), Strings{});
}

TEST(Splitter, KeepsOrDropsTheTextBetweenMatches) {
  using Keep = SplitRule::Keep;
  EXPECT_EQ(split_pieces({{"\\d"}}, "a12b"), (Strings{"a", "1", "2", "b"}));
  EXPECT_EQ(split_pieces({{"\\d", Keep::only_matches}}, "a12b"), (Strings{"1", "2"}));
  EXPECT_EQ(split_pieces({{"\\d", Keep::only_gaps}}, "a12b"), (Strings{"a", "b"}));
}

TEST(Splitter, AppliesEachRuleToThePiecesOfThePreviousRule) {
  EXPECT_EQ(split_pieces({{"\\p{N}"}, {gpt2}}, "x12 y"), (Strings{"x", "1", "2", " y"}));
  EXPECT_EQ(split_pieces({}, "x 12"), (Strings{"x 12"}));
}

TEST(Splitter, SpacesAreThoseOfUnicode) {
  EXPECT_EQ(split_pieces({{"\\s+"}},
                         "a\u00a0\u3000b\u180e"
                         "c\x1c"),
            (Strings{"a", "\u00a0\u3000",
                     "b\u180e"
                     "c\x1c"}));
  EXPECT_EQ(split_pieces({{"[^\\s]+"}}, "a\u0085b"), (Strings{"a", "\u0085", "b"}));
}

TEST(Splitter, ReadsThePatternsInUse) {
  for (
      const char* pattern :
      {gpt2, gpt4,
       R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+)",
       R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)",
       "[0-9][0-9][0-9]", "[\u4e00-\u9fa5\u3040-\u30ff]+"})
    EXPECT_EQ(splitter_complaint(pattern), "");
}

TEST(Splitter, RejectsInvalidAndAmbiguousPatterns) {
  for (const auto& [pattern, part] : std::initializer_list<std::pair<std::string, std::string>>{
           {"(a", "parenthesis"},
           {"a*", "empty text"},
           {"|a", "empty text"},
           {"", "empty text"},
           {"\\w+", "\\w+"},
           {"\\h", "\\h"},
           {"a\\", "\\"},
           {"\\p{Han}", "\\p{H"},
           {"\\pL", "\\pL"},
           {"^a", "^"},
           {"a$", "$"},
           {"[a[b]]", "[ in a set"},
           {"[\\d&&[^5]]", "&& in a set"},
           {"[]a]", "begins with ]"},
           {"\\p{N}{1,3}+", "}+"},
           {"a{,3}b", "{,"},
           {"(?<name>a)", "(?<"},
           {"(?R)a", "(?R"},
           {"(*UTF)a", "(*U"},
           {"(a)\\1", "\\1"},
           {"a{2,1}", "split pattern"},
           {"\xff", "split pattern"},
           {std::string(250, '(') + std::string(250, ')'), "empty text"},
           {std::string(300, '(') + "a" + std::string(300, ')'), "parenthes"},
           {std::string(5000, 'a'), "4096"}}) {
    EXPECT_NE(splitter_complaint(pattern).find(part), std::string::npos)
        << pattern << " gave: " << splitter_complaint(pattern);
  }
}

TEST(Splitter, AbortsAPatternThatTakesTooLong) {
  const Splitter splitter({{"(?:a|aa)+[^a]"}});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(splitter.split(std::string(100, 'a'), [](std::string_view) {}), Error);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Splitter, LongRunsAreFast) {
  for (const char* pattern : {gpt2, gpt4, R"([\p{Lu}\p{Lo}]*[\p{Ll}\p{Lo}]+|\p{Lu}+|[\s.1]+)"}) {
    for (char c : {'a', 'A', ' ', '.'}) {
      const std::string text(1'000'000, c);
      EXPECT_LE(split_pieces({{pattern}}, text).size(), 2u) << pattern;
    }
  }
}

TEST(Splitter, PiecesTogetherAreTheText) {
  constexpr std::string_view parts[] = {"a",      "'s",     " ",      "\n", "7",
                                        "\u00e9", "\u4f60", "\u00a0", "!",  "\u0301"};
  Random random(3);
  const Splitter splitter({{"\\p{N}"}, {gpt2}});
  for (int round = 0; round < 2000; ++round) {
    std::string text, joined;
    for (int64_t i = random.below(20); i >= 0; --i) text += parts[random.below(10)];
    splitter.split(text, [&](std::string_view piece) {
      EXPECT_FALSE(piece.empty());
      joined += piece;
    });
    ASSERT_EQ(joined, text);
  }
}

}  // namespace
}  // namespace aviary
