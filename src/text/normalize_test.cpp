#include "text/normalize.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <vector>

#include "base/random.h"
#include "base/utf8.h"

namespace aviary {
namespace {

std::string nfc(std::string_view text) {
  std::string buffer;
  return std::string(to_nfc(text, buffer));
}

// The result of utf8proc for the whole text.
std::string expected_nfc(const std::string& text) {
  utf8proc_uint8_t* result = nullptr;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             std::ssize(text), &result, options);
  EXPECT_GE(size, 0);
  std::string normalized(reinterpret_cast<char*>(result), static_cast<size_t>(size));
  std::free(result);
  return normalized;
}

std::string utf8(uint32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

TEST(Normalize, CombinesLettersWithTheirAccents) {
  EXPECT_EQ(nfc("e\u0301 a\u0308 x"), "\u00e9 \u00e4 x");
  EXPECT_EQ(nfc("\u304b\u3099"), "\u304c");
  EXPECT_EQ(nfc("\u1112\u1161\u11ab"), "\ud55c");
  EXPECT_EQ(nfc("\u212b"), "\u00c5");
  EXPECT_EQ(nfc("e\u0301\u0323"), "\u1eb9\u0301");  // the dot below comes first
  EXPECT_EQ(nfc("\u0301"), "\u0301");
  EXPECT_EQ(nfc(""), "");
}

TEST(Normalize, DoesNotCopyTextInFormC) {
  std::string buffer;
  const std::string text = "caf\u00e9 \u4f60\u597d \u3053\u3093 \uac00";
  EXPECT_EQ(to_nfc(text, buffer).data(), text.data());
}

TEST(Normalize, AgreesWithTheLibraryOnEveryCharacterAmongOthers) {
  // A letter that combines with accents, a Korean syllable that combines with a final consonant, and an
  // accent.
  for (uint32_t c = 1; c < 0x30000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    const std::string text = fmt::format("e{0}\uac00{0}\u0302\u30ab{0}", utf8(c));
    ASSERT_EQ(nfc(text), expected_nfc(text)) << std::hex << c;
  }
}

TEST(Normalize, AgreesWithTheLibraryOnRandomRunsOfAccents) {
  constexpr uint32_t parts[] = {'e',    'o',    0x301,  0x323,  0x344,  0xf73, 0xf71, 0x304b, 0x3099,
                                0x1100, 0x1161, 0x11a8, 0xac00, 0x1eb9, 0x3b1, 0x345, 0x313,  0x4f60};
  Random random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (int64_t i = random.below(12); i >= 0; --i)
      text += utf8(parts[random.below(static_cast<int64_t>(std::size(parts)))]);
    ASSERT_EQ(nfc(text), expected_nfc(text)) << testing::PrintToString(text);
  }
}

TEST(Normalize, AMillionAccentsInTheWrongOrderAreFast) {
  std::string text = "e";
  for (int i = 0; i < 500'000; ++i) text += "\u0301\u0323";
  const std::string normalized = nfc(text);
  EXPECT_TRUE(normalized.starts_with("\u1eb9\u0323\u0323"));
  EXPECT_TRUE(normalized.ends_with("\u0301\u0301"));
}

}  // namespace
}  // namespace aviary
