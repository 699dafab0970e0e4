#include "infer/stop_matcher.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

TEST(StopMatcher, ShowsTheTextBeforeTheStopString) {
  StopMatcher matcher({"\n\nUser:"});
  EXPECT_EQ(matcher.push("Hello"), "Hello");
  EXPECT_EQ(matcher.push(" you.\n"), " you.");
  EXPECT_EQ(matcher.push("\nUs"), "");
  EXPECT_FALSE(matcher.matched());
  EXPECT_EQ(matcher.push("er: and more"), "");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.matched_stop(), "\n\nUser:");
  EXPECT_EQ(matcher.push("again"), "");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, ReleasesAPartialMatch) {
  StopMatcher matcher({"aab"});
  EXPECT_EQ(matcher.push("aa"), "");
  EXPECT_EQ(matcher.push("a"), "a");
  EXPECT_EQ(matcher.push("c"), "aac");
  EXPECT_EQ(matcher.push("a"), "");
  EXPECT_EQ(matcher.flush(), "a");
  EXPECT_EQ(matcher.push("ab"), "ab");  // flushed text is no longer part of a match
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, TheFirstCompleteStopStringWins) {
  StopMatcher matcher({"abcd", "bc", "abc"});
  EXPECT_EQ(matcher.push("xabcd"), "x");
  EXPECT_EQ(matcher.matched_stop(), "abc");
}

TEST(StopMatcher, WithoutStopStringsEverythingPasses) {
  StopMatcher matcher;
  EXPECT_EQ(matcher.push("any\n\ntext"), "any\n\ntext");
  EXPECT_EQ(matcher.push(""), "");
}

TEST(StopMatcher, RejectsAnEmptyStopString) { EXPECT_THROW(StopMatcher({"a", ""}), Error); }

TEST(StopMatcher, TheResultDoesNotDependOnHowTheTextIsSplit) {
  Random random(9);
  auto word = [&](int64_t longest) {
    std::string text;
    for (int64_t n = 1 + random.below(longest); n > 0; --n) text += static_cast<char>('a' + random.below(2));
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops = {word(6), word(6), word(6)};
    std::string text = word(40);
    // Directly from the definition: the smallest end, and of those the longest stop string.
    size_t end = text.size() + 1, begin = text.size();
    for (const std::string& stop : stops) {
      size_t at = text.find(stop);
      if (at == std::string::npos) continue;
      if (at + stop.size() < end || (at + stop.size() == end && at < begin))
        end = at + stop.size(), begin = at;
    }
    StopMatcher matcher(stops);
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      auto length = static_cast<size_t>(random.below(4));
      shown += matcher.push(std::string_view(text).substr(at, length));
      at += length;
    }
    EXPECT_EQ(matcher.matched(), end <= text.size());
    shown += matcher.flush();
    EXPECT_EQ(shown, text.substr(0, begin))
        << text << " with " << stops[0] << ", " << stops[1] << ", " << stops[2];
  }
}

}  // namespace
}  // namespace aviary
