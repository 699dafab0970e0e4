#include "text/byte_alphabet.h"

#include <gtest/gtest.h>

#include <set>

#include "base/utf8.h"

namespace aviary {
namespace {

TEST(ByteAlphabet, WritesBytesLikeGpt2) {
  EXPECT_EQ(to_byte_alphabet(" the\n"), "\u0120the\u010a");
  EXPECT_EQ(to_byte_alphabet(std::string_view("\0!~\x7f\xa0\xa1\xad\xff", 8)),
            "\u0100!~\u0121\u0142\u00a1\u0143\u00ff");
}

TEST(ByteAlphabet, EveryByteHasItsOwnCharacterAndSurvivesTheRoundTrip) {
  std::set<std::string> seen;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    const std::string character = to_byte_alphabet(bytes);
    EXPECT_EQ(utf8_step(character).length, std::ssize(character));
    EXPECT_TRUE(seen.insert(character).second);
    EXPECT_EQ(from_byte_alphabet(character), bytes);
  }
}

TEST(ByteAlphabet, ReportsCharactersOutsideIt) {
  for (const char* text : {" ", "a b", "\n", "\u0144", "\u4f60", "\xff", "a\xc4"})
    EXPECT_EQ(from_byte_alphabet(text), std::nullopt) << text;
  EXPECT_EQ(from_byte_alphabet(""), "");
}

}  // namespace
}  // namespace aviary
