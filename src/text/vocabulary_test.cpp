#include "text/vocabulary.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

std::string all_bytes() {
  std::string text;
  for (int byte = 0; byte < 256; ++byte)
    text += vocabulary_line(byte + 1, std::string(1, static_cast<char>(byte)));
  return text;
}

// The bytes of the token given by this literal and length.
std::string literal(const std::string& source, size_t length) {
  return parse_vocabulary(all_bytes() + "257 " + source + " " + std::to_string(length) + "\n").back().bytes;
}

std::string vocabulary_complaint(const std::string& more) {
  try {
    parse_vocabulary(all_bytes() + more);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Vocabulary, LiteralsMeanWhatTheyMeanInPython) {
  EXPECT_EQ(literal(R"(' the')", 4), " the");
  EXPECT_EQ(literal(R"("it's")", 4), "it's");
  EXPECT_EQ(literal(R"('\t\n\r\\\'\"')", 6), "\t\n\r\\'\"");
  EXPECT_EQ(literal(R"('\xe4x')", 3), "\xc3\xa4x");  // in a str, \x is a code point
  EXPECT_EQ(literal(R"(b'\xe4x')", 2), "\xe4x");     // in bytes, a byte
  EXPECT_EQ(literal(R"('\u4f60\U0001f600')", 7), "\xe4\xbd\xa0\xf0\x9f\x98\x80");
  EXPECT_EQ(literal("'\xe4\xbd\xa0'", 3), "\xe4\xbd\xa0");
  EXPECT_EQ(literal(R"('  ')", 2), "  ");
  EXPECT_EQ(literal(R"(b"\x00'")", 2), std::string("\0'", 2));
}

TEST(Vocabulary, MayHaveGapsAnyOrderAndWindowsLineEnds) {
  auto entries = parse_vocabulary("900 'abc' 3\r\n" + all_bytes() + "300 'ab' 2");
  ASSERT_EQ(entries.size(), 258u);
  EXPECT_EQ(entries[256].bytes, "ab");
  EXPECT_EQ(entries[257].id, 900);
}

TEST(Vocabulary, ErrorsNameTheLineAndTheReason) {
  using testing::PrintToString;
  struct Case {
    std::string line, part;
  };
  for (const Case& c : std::vector<Case>{
           {"257 'ab' 3", "line 257: token 257 has 2 bytes, but its length is given as 3"},
           {"5 'ab' 2", "line 257: id 5 was given before, in line 5"},
           {"257 'a' 1", "line 257: token 257 has the same bytes as the token of line 98"},
           {"0 'ab' 2", "0 is the end of text"},
           {"99999999 'ab' 2", "expected 1 to"},
           {"99999999999999999999 'ab' 2", "expected a whole number"},
           {"-1 'ab' 2", "expected a whole number"},
           {"257 'ab' x", "the length is \"x\""},
           {"257 'ab'", "not of the form"},
           {"", "not of the form"},
           {"257 ab 2", "expected a literal in quotes"},
           {"257 'ab\" 2", "expected a literal in quotes"},
           {"257 ' 1", "expected a literal in quotes"},
           {"257 b 1", "expected a literal in quotes"},
           {"257 '' 0", "0 bytes, expected 1 to"},
           {"257 'a'b' 3", "needs a backslash"},
           {"257 'ab\\' 3", "ends inside an escape"},
           {"257 '\\q' 1", "unknown escape; use \\x.. for a byte or \\u.... for a character, got '\\q'"},
           {"257 '\\012' 1", "unknown escape"},
           {"257 '\\x4' 1", "too few hexadecimal digits"},
           {"257 '\\u12' 1", "too few hexadecimal digits"},
           {"257 '\\ud800' 3", "U+D800 cannot be encoded"},
           {"257 '\\U00110000' 3", "cannot be encoded"},
           {"257 b'\\u1234' 3", "unknown escape"},
           {"257 b'\xc3\xa4' 2", "bytes literals contain only ASCII"},
           {"257 'a\xff' 2", "not valid UTF-8"},
           {"257 '" + std::string(2000, 'a') + "' 2000", "expected 1 to 1024"}}) {
    std::string what = vocabulary_complaint(c.line + "\n");
    EXPECT_NE(what.find(c.part), std::string::npos) << PrintToString(c.line) << " gave: " << what;
  }
}

TEST(Vocabulary, AMissingByteIsReported) {
  std::string text = all_bytes();
  text.erase(text.find("98 'a' 1\n"), 9);
  try {
    parse_vocabulary(text);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("1 of the 256 single bytes have no token (missing: 0x61)"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(parse_vocabulary(""), Error);
}

TEST(Vocabulary, SurvivesWritingAndReading) {
  Random random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string token;
    for (int64_t i = random.below(6); i >= -1; --i) {
      constexpr std::string_view parts[] = {"a",    "'",        "\"",           "\\", "\n",
                                            "\x7f", "\xc2\x85", "\xe4\xbd\xa0", " "};
      int64_t which = random.below(12);
      if (which < 9)
        token += parts[which];
      else
        token += static_cast<char>(random.below(256));
    }
    std::string line = vocabulary_line(257, token);
    ASSERT_EQ(line.find('\n'), line.size() - 1) << line;
    if (token.size() == 1) continue;
    ASSERT_EQ(parse_vocabulary(all_bytes() + line).back().bytes, token) << line;
  }
}

}  // namespace
}  // namespace aviary
