#include "terminal/markdown.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace aviary {
namespace {

std::string shown(const std::string& text, int columns = 40, bool styled = true) {
  MarkdownWriter writer({.columns = columns, .styled = styled});
  std::string out = writer.push(text);
  return out + writer.finish();
}

const std::string sample =
    "# Title *x*\n\nSome **bold words** and *italic* and `code*s` here.\n\n- one\n- two 2 * 3 * 4\n  1. "
    "deep\n"
    "> quoted text\n```cpp\nint a = 1; **x**\n  ``\n```\n10. ten\n**open\n\u4f60\u597d a_b_c ```x``` `y";

TEST(Markdown, BecomesStyles) {
  EXPECT_EQ(shown("# Title"), "\033[1mTitle\033[0m");
  EXPECT_EQ(shown("a **b c** d"), "a \033[1mb c\033[22m d");
  EXPECT_EQ(shown("*a b* c"), "\033[3ma b\033[23m c");
  EXPECT_EQ(shown("`a*b*`"), "\033[2ma*b*\033[22m");
  EXPECT_EQ(shown("- a\n* b\n1. c"), "\u2022 a\n\u2022 b\n1. c");
  EXPECT_EQ(shown("> a\n"), "\033[2m\u2502 a\033[0m\n");
  EXPECT_EQ(shown("```cpp\na **b**\n```\nc"), "\033[2mcpp\na **b**\n\033[0mc");
}

TEST(Markdown, WhatIsNotMarkdownStaysText) {
  for (const char* text : {"2 * 3 * 4", "a_b_c", "#tag", "-5", "1.5", "**", "-", "a * b", "3", "  indented"})
    EXPECT_EQ(shown(text), text);
}

TEST(Markdown, LinesAreBrokenAtWords) {
  EXPECT_EQ(shown("one two three", 8), "one two\nthree");
  EXPECT_EQ(shown("- one two", 7), "\u2022 one\n  two");
  EXPECT_EQ(shown("\u4f60\u4f60 \u4f60\u4f60", 8), "\u4f60\u4f60\n\u4f60\u4f60");
  EXPECT_EQ(shown("incomprehensible", 5), "incomprehensible");
  EXPECT_EQ(shown("one two three", 0), "one two three");
}

TEST(Markdown, StylesEndWithTheirLine) {
  EXPECT_EQ(shown("**a\nb"), "\033[1ma\033[0m\nb");
  EXPECT_EQ(shown("**a"), "\033[1ma\033[0m");
  EXPECT_EQ(shown("```\na"), "\033[2ma\033[0m");
}

TEST(Markdown, WithoutStylesItStaysAsItIs) {
  EXPECT_EQ(shown(sample, 0, false), sample);
  EXPECT_EQ(shown("one **two** three", 12, false), "one **two**\nthree");
}

TEST(Markdown, AModelGivesTheTerminalNoOrders) {
  EXPECT_EQ(shown("a\033[31mb").find('\033'), std::string::npos);
  MarkdownWriter exact({.columns = 0, .styled = false, .escaped = false});
  EXPECT_EQ(exact.push("a\033[31mb "), "a\033[31mb");
}

TEST(Markdown, TheOutputDoesNotDependOnTheSplit) {
  const std::string whole = shown(sample, 20);
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    MarkdownWriter writer({.columns = 20});
    std::string out;
    for (size_t at = 0; at < sample.size();) {
      size_t end = std::min(at + 1 + static_cast<size_t>(random.below(7)), sample.size());
      while (end < sample.size() && (sample[end] & 0xc0) == 0x80) ++end;
      out += writer.push(sample.substr(at, end - at));
      at = end;
    }
    ASSERT_EQ(out + writer.finish(), whole);
  }
}

TEST(Markdown, AWordIsShownWhenItIsComplete) {
  MarkdownWriter writer({.columns = 40});
  EXPECT_EQ(writer.push("On"), "");
  EXPECT_EQ(writer.push("e two"), "One");
  EXPECT_EQ(writer.push(" "), " two");
}

}  // namespace
}  // namespace aviary
