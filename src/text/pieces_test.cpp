#include "text/pieces.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"

namespace aviary {
namespace {

std::vector<std::string> pieces_of(std::string_view text) {
  Pieces pieces(text);
  std::vector<std::string> all;
  for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) all.emplace_back(piece);
  return all;
}
using Strings = std::vector<std::string>;

TEST(Pieces, AreWordsWithTheirSpacePunctuationNewlinesAndDigits) {
  EXPECT_EQ(pieces_of("The cat's, \"no\"--12\n\nend"),
            (Strings{"The", " cat", "'s", ",", " \"", "no", "\"--", "1", "2", "\n\n", "end"}));
  EXPECT_EQ(pieces_of("a  b\t c 7"), (Strings{"a", "  ", "b", "\t ", "c", " ", "7"}));
  EXPECT_EQ(pieces_of("x ' y"), (Strings{"x", " '", " y"}));
}

TEST(Pieces, NeverSplitACharacterAndSeparateChinesePunctuation) {
  EXPECT_EQ(pieces_of("na\u00efve \u4f60\u597d\uff0c\u201cja\u201d"),
            (Strings{"na\u00efve", " \u4f60\u597d", "\uff0c\u201c", "ja", "\u201d"}));
  EXPECT_EQ(pieces_of("a\xff\xe4z"), (Strings{"a", "\xff", "\xe4", "z"}));
}

TEST(Pieces, HaveAtMost24Characters) {
  EXPECT_EQ(pieces_of(std::string(50, 'a')), (Strings{std::string(24, 'a'), std::string(24, 'a'), "aa"}));
}

TEST(Pieces, TogetherAreTheText) {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    std::string text, joined;
    for (int64_t i = random.below(100); i >= 0; --i) text += static_cast<char>(random.below(256));
    for (const std::string& piece : pieces_of(text)) joined += piece;
    ASSERT_EQ(joined, text) << testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace aviary
