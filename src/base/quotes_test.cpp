#include "base/quotes.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary {
namespace {

using namespace std::string_literals;

TEST(Quotes, NamesFromFilesStayOnOneLine) {
  EXPECT_EQ(in_quotes("emb.weight"), "'emb.weight'");
  EXPECT_EQ(in_quotes("a\nb\x7f"), "'a\\nb\\x7f'");
  EXPECT_EQ(in_quotes(std::string(100, 'x')), "'" + std::string(80, 'x') + "...'");
  EXPECT_EQ(in_quotes(std::string(79, 'x') + "\u9dfa" + "more"), "'" + std::string(79, 'x') + "...'");
}

TEST(Quotes, NothingThatATerminalObeysRemains) {
  EXPECT_EQ(printable("th\u00e9 \u9dfa \U0001f426 \\ 'a'"), "th\u00e9 \u9dfa \U0001f426 \\ 'a'");
  EXPECT_EQ(printable("\x1b[31mred\a\tbell\r\0"s), "\\x1b[31mred\\x07\\x09bell\\x0d\\x00");
  EXPECT_EQ(printable("\u009b31m"), "\\xc2\\x9b31m");  // CSI, a control character of Unicode
  EXPECT_EQ(printable("\u202etxt.\u2069"), "\\xe2\\x80\\xaetxt.\\xe2\\x81\\xa9");  // from right to left
  EXPECT_EQ(printable("a\u2028b"), "a\\xe2\\x80\\xa8b");
}

TEST(Quotes, BytesThatAreNotUtf8AreShownAsNumbers) {
  for (const char* bytes :
       {"\x9b", "\xff", "\xc3", "\xc0\x8a", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x80"})
    EXPECT_EQ(printable(bytes).find_first_not_of("\\x0123456789abcdef"), std::string::npos)
        << printable(bytes);
}

TEST(Quotes, WhatIsPrintableStaysAsItIs) {
  const std::string once = printable("a\n\x1b\\n\xff");
  EXPECT_EQ(printable(once), once);
}

TEST(Errors, AMessageHasNoControlCharactersWhateverItQuotes) {
  try {
    fail("{}: tensor {} is odd", "a\nb.pth", "\x1b]0;title\a");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a\\nb.pth: tensor \\x1b]0;title\\x07 is odd");
  }
}

TEST(Quotes, AShellReadsAWordAsItIs) {
  EXPECT_EQ(for_shell("runs/my-book_2.txt"), "runs/my-book_2.txt");
  EXPECT_EQ(for_shell(""), "''");
  EXPECT_EQ(for_shell("my dir"), "'my dir'");
  EXPECT_EQ(for_shell("$HOME `x` \"y\" !"), "'$HOME `x` \"y\" !'");
  EXPECT_EQ(for_shell("it's"), "'it'\\''s'");
  EXPECT_EQ(for_shell("a\nb\x1b'\\"), "$'a\\nb\\x1b\\'\\\\'");
  EXPECT_EQ(for_shell("~/x"), "'~/x'");
  EXPECT_EQ(path_for_shell("-out"), "./-out");
  EXPECT_EQ(path_for_shell("-my out"), "'./-my out'");
}

TEST(Quotes, TextForATerminalAndItsBeginningHaveNoControlCharacters) {
  EXPECT_EQ(printable("a\n\t\x7f\u4f60\xff\u009b"), "a\\n\\x09\\x7f\u4f60\\xff\\xc2\\x9b");
  EXPECT_EQ(for_terminal("a\n\t\x1b[2J\r\u4f60\xff\u009b"), "a\n\t\\x1b[2J\\x0d\u4f60\\xff\\xc2\\x9b");
  EXPECT_EQ(for_terminal(""), "");
  EXPECT_EQ(excerpt("abc"), "abc");
  EXPECT_EQ(excerpt(std::string(39, 'a') + "\u4f60 and more"), std::string(39, 'a') + "...");
  EXPECT_EQ(excerpt(std::string(41, '\xff')).size(), 40u * 4 + 3);
}

}  // namespace
}  // namespace aviary
