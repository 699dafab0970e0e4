#include "grammar/regex.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary::grammar {
namespace {

Dfa whole(std::string_view text) {
  Work work;
  return dfa_of_regex(text, Match::whole, work);
}
Dfa within(std::string_view text) {
  Work work;
  return dfa_of_regex(text, Match::within, work);
}
std::string regex_error(std::string_view text) {
  try {
    whole(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Regex, AWholeTextMatches) {
  const Dfa dfa = whole("(ab|c)+d?[0-9]{2,3}");
  for (const char* text : {"ab12", "cc123", "abcd99"}) EXPECT_TRUE(dfa.matches(text)) << text;
  for (const char* text : {"", "12", "ab1", "ab1234", "xab12", "ab12x"})
    EXPECT_FALSE(dfa.matches(text)) << text;
}

TEST(Regex, APatternIsSearchedUnlessItIsAnchored) {
  EXPECT_TRUE(within("b").matches("abc"));
  EXPECT_FALSE(within("^b").matches("abc"));
  EXPECT_TRUE(within("^a|c$").matches("abb"));
  EXPECT_TRUE(within("^a|c$").matches("bbc"));
  EXPECT_FALSE(within("^a|c$").matches("bab"));
  EXPECT_TRUE(within("^$").matches(""));
  EXPECT_FALSE(within("^$").matches("a"));
  EXPECT_TRUE(within("").matches("anything"));
  EXPECT_TRUE(within("(^a)?b").matches("xb"));
  EXPECT_FALSE(within("a^b").matches("ab"));
}

TEST(Regex, CharactersAreThoseOfUnicode) {
  EXPECT_TRUE(whole("^.$").matches("€"));
  EXPECT_TRUE(whole("[α-ω]{3}").matches("λογ"));
  EXPECT_FALSE(whole("[α-ω]{3}").matches("log"));
  EXPECT_TRUE(whole(R"(\u{1F600}\uD83D\uDE00)").matches("😀😀"));
  EXPECT_TRUE(whole("[^a]").matches("\xf0\x9f\x98\x80"));
  EXPECT_FALSE(whole("[^a]").matches("\xff"));
  EXPECT_FALSE(whole(".").matches("\xed\xa0\x80")) << "a surrogate";
  EXPECT_TRUE(whole(R"([\w.-]+\s\S\d\D)").matches("a.b-c x1y"));
  EXPECT_TRUE(whole(R"(\x41\cJ\t\/\.)").matches("A\n\t/."));
}

TEST(Regex, WhatIsNotSupportedIsNamed) {
  for (const char* text :
       {"(?=a)", "(?!a)", "(?<=a)b", R"(\bword)", R"((a)\1)", R"(\p{L})", "(?i)a", R"(\u{D800})"})
    EXPECT_NE(regex_error(text).find("not supported"), std::string::npos)
        << text << ": " << regex_error(text);
  for (const char* text : {"(", ")", "[a", "a{2", "a{3,1}", "*", "a**", "[b-a]", "a\\", "x{,2}"})
    EXPECT_NE(regex_error(text).find("regular expression '"), std::string::npos)
        << text << ": " << regex_error(text);
}

TEST(Regex, NoExpressionTakesLong) {
  EXPECT_TRUE(whole("(a+)+").matches(std::string(1000, 'a')));
  EXPECT_FALSE(whole("(a|a)*b").matches(std::string(1000, 'a')));
  EXPECT_NE(regex_error("(a|b)*a(a|b){30}").find("more than"), std::string::npos);
  EXPECT_NE(regex_error("((a{1000}){1000}){1000}").find("large"), std::string::npos);
}

TEST(Dfa, TextsAreCombined) {
  Work work;
  const Dfa letters = whole("[a-z]+"), b = within("b");
  const Dfa both = combine(letters, b, Combine::both, work),
            either = combine(letters, b, Combine::either, work),
            without = combine(letters, b, Combine::first_only, work);
  EXPECT_TRUE(both.matches("abc") && !both.matches("ac") && !both.matches("b1"));
  EXPECT_TRUE(either.matches("ac") && either.matches("b1") && !either.matches("1"));
  EXPECT_TRUE(without.matches("ac") && !without.matches("abc") && !without.matches("1"));
  EXPECT_TRUE(combine(whole("a+"), whole("b+"), Combine::both, work).empty());
  EXPECT_TRUE(dfa_of_lengths(2, 3, work).matches("€😀") && !dfa_of_lengths(2, 3, work).matches("€"));
}

}  // namespace
}  // namespace aviary::grammar
