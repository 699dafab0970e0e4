#include "text/added_tokens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace aviary {
namespace {

using Strings = std::vector<std::string>;

// The parts, tokens as <id>.
Strings cut(const AddedTokens& tokens, std::string_view text) {
  Strings parts;
  tokens.cut(text, [&](std::string_view rest, std::optional<int32_t> token) {
    parts.push_back(token ? fmt::format("<{}>", *token) : std::string(rest));
  });
  return parts;
}

TEST(AddedTokens, AreFoundAnywhere) {
  const AddedTokens tokens({{0, "<|end|>"}, {5, "X"}});
  EXPECT_EQ(cut(tokens, "<|end|>a<|end|><|end|>bX"), (Strings{"<0>", "a", "<0>", "<0>", "b", "<5>"}));
  EXPECT_EQ(cut(tokens, "<|end|"), (Strings{"<|end|"}));
  EXPECT_EQ(cut(tokens, "X"), (Strings{"<5>"}));
  EXPECT_EQ(cut(tokens, ""), Strings{});
  EXPECT_EQ(cut(AddedTokens({}), "a<|end|>"), (Strings{"a<|end|>"}));
}

TEST(AddedTokens, TheLeftmostAndThenTheLongestWins) {
  const AddedTokens tokens({{2, "  "}, {3, "   "}, {9, "ab"}, {8, "abcd"}, {7, "bc"}});
  EXPECT_EQ(cut(tokens, "x     y"), (Strings{"x", "<3>", "<2>", "y"}));
  EXPECT_EQ(cut(tokens, "x    y"), (Strings{"x", "<3>", " y"}));
  EXPECT_EQ(cut(tokens, "abcx"), (Strings{"<9>", "cx"}));
  EXPECT_EQ(cut(tokens, "abcdx"), (Strings{"<8>", "x"}));
}

TEST(AddedTokens, MayConsumeTheWhiteSpaceAroundThem) {
  const AddedTokens tokens({{1, "<l>", false, true, false}, {2, "<r>", false, false, true}, {3, " "}});
  EXPECT_EQ(cut(tokens, "a\u3000\n<l>b"), (Strings{"a", "<1>", "b"}));
  EXPECT_EQ(cut(tokens, "a<r>\t\u00a0b"), (Strings{"a", "<2>", "b"}));
  EXPECT_EQ(cut(tokens, "<r> \t<l>"), (Strings{"<2>", "<1>"}));
  EXPECT_EQ(cut(tokens, "\t<l>\t"), (Strings{"<1>", "\t"}));
}

TEST(AddedTokens, AgreeWithAPlainSearch) {
  Random random(12);
  auto letters = [&](int64_t count) {
    std::string text;
    while (count-- > 0) text += static_cast<char>('a' + random.below(2));
    return text;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<AddedToken> list;
    for (int32_t i = 0; i < 4; ++i) list.push_back({i, letters(1 + random.below(4))});
    const std::string text = letters(30);
    Strings expected;
    std::string rest;
    for (size_t at = 0; at < text.size();) {
      const AddedToken* best = nullptr;
      for (const AddedToken& token : list)
        if (text.compare(at, token.content.size(), token.content) == 0 &&
            (best == nullptr || token.content.size() > best->content.size()))
          best = &token;
      if (best == nullptr) {
        rest += text[at++];
        continue;
      }
      if (!rest.empty()) expected.push_back(std::exchange(rest, ""));
      expected.push_back(fmt::format("<{}>", best->id));
      at += best->content.size();
    }
    if (!rest.empty()) expected.push_back(rest);
    ASSERT_EQ(cut(AddedTokens(list), text), expected) << text;
  }
}

}  // namespace
}  // namespace aviary
