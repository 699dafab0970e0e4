#include "base/utf8.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

const std::string replacement = "\xef\xbf\xbd";

// The output for bytes that arrive in the given pieces.
std::string stream(const std::vector<std::string>& pieces) {
  Utf8Stream stream;
  std::string out;
  for (const std::string& piece : pieces) out += stream.push(piece);
  return out + stream.flush();
}

TEST(Utf8, EveryCodePointSurvivesTheRoundTrip) {
  for (uint32_t code = 0; code <= 0x10ffff; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string bytes;
    append_utf8(bytes, code);
    Utf8Step step = utf8_step(bytes);
    ASSERT_EQ(step.kind, Utf8Kind::character) << code;
    ASSERT_EQ(step.length, static_cast<int32_t>(bytes.size())) << code;
    ASSERT_EQ(utf8_code_point(bytes), code);
    for (size_t cut = 1; cut < bytes.size(); ++cut)
      ASSERT_EQ(utf8_step(std::string_view(bytes).substr(0, cut)).kind, Utf8Kind::incomplete) << code;
  }
}

TEST(Utf8, OverlongFormsSurrogatesAndTooLargeCodesAreInvalid) {
  for (std::string bytes : {"\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                            "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xff", "a\xffz"})
    EXPECT_FALSE(is_utf8(bytes)) << testing::PrintToString(bytes);
  EXPECT_EQ(count_invalid_utf8("a\xff\xc3\xa4\xe4\xbd"), 3);  // \xff and the unfinished \xe4\xbd
}

TEST(Utf8, TheLengthOfCompleteCharactersIsFoundAtEveryOffset) {
  for (const char* end : {"", "\xff", "\xe4\xbd", "\x80"})
    for (size_t letters = 0; letters < 40; ++letters) {
      const std::string valid = std::string(letters, 'a') + "\u4f60" + std::string(letters / 3, 'b');
      EXPECT_EQ(valid_utf8_length(valid + end), valid.size());
      EXPECT_EQ(count_invalid_utf8(valid + end + valid), static_cast<int64_t>(std::strlen(end)));
    }
}

TEST(Utf8, EscapesStandForWhatTheyMeanElsewhere) {
  EXPECT_EQ(unescaped("a\\n\\t\\r\\\\\\\"\\'\\x41\\xFF\\u4f60."), "a\n\t\r\\\"'A\xff\u4f60.");
  EXPECT_EQ(unescaped("plain \u4f60"), "plain \u4f60");
  EXPECT_EQ(unescaped("\\x00").size(), 1u);
  for (const char* text : {"\\", "a\\", "\\q", "\\x4", "\\x4g", "\\u12", "\\ud800", "\\x-1"})
    EXPECT_THROW(unescaped(text), Error) << text;
}

TEST(Utf8Stream, HoldsBackACharacterUntilItIsComplete) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xe4"), "a");
  EXPECT_EQ(stream.push("\xbd"), "");
  EXPECT_EQ(stream.push("\xa0z"), "\xe4\xbd\xa0z");
  EXPECT_EQ(stream.flush(), "");
}

TEST(Utf8Stream, ReplacesInvalidBytes) {
  EXPECT_EQ(stream({"a\xff", "b"}), "a" + replacement + "b");
  EXPECT_EQ(stream({"\xe4\xbd", "A"}), replacement + "A");
  EXPECT_EQ(stream({"\xe4\xbd"}), replacement);
  // The example of chapter 3.9 of the Unicode standard, table 3-11.
  EXPECT_EQ(stream({"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"}),
            replacement + replacement + replacement + replacement + "A");
}

TEST(Utf8Stream, TheOutputDoesNotDependOnHowTheBytesAreSplit) {
  constexpr std::string_view alphabet("a\x80\xbf\xc3\xa4\xe4\xbd\xa0\xf0\x9f\x98\x80\xed\xf4\xff", 15);
  Random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int64_t i = random.below(20); i >= 0; --i) bytes += alphabet[static_cast<size_t>(random.below(15))];
    std::string whole = stream({bytes});
    std::vector<std::string> pieces;
    for (size_t at = 0; at < bytes.size();) {
      size_t length = static_cast<size_t>(random.below(4));
      pieces.push_back(bytes.substr(at, length));
      at += length;
    }
    ASSERT_EQ(stream(pieces), whole) << testing::PrintToString(bytes);
    ASSERT_TRUE(is_utf8(whole));
    if (is_utf8(bytes)) {
      ASSERT_EQ(whole, bytes);
    }
  }
}

}  // namespace
}  // namespace aviary
