#include "data/corpus.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/utf8.h"

namespace aviary {
namespace {

std::string repeated_text(std::string_view part, int times) {
  std::string text;
  while (times-- > 0) text += part;
  return text;
}

TEST(SplitText, SplitsAtAParagraphOrElseALineOrElseAWord) {
  std::string words = repeated_text("word ", 40);  // 200 bytes
  std::string paragraphs = words + "\nline\n\nnext " + words;
  SplitText split = split_text(paragraphs, 208);
  EXPECT_TRUE(split.train.ends_with("line\n\n"));
  EXPECT_TRUE(split.validation.starts_with("next word"));
  std::string lines = words + "\nnext " + words;
  split = split_text(lines, 206);
  EXPECT_TRUE(split.train.ends_with("\n"));
  EXPECT_TRUE(split.validation.starts_with("next word"));
  split = split_text(words, 50);
  EXPECT_TRUE(split.train.ends_with("word"));
  EXPECT_TRUE(split.validation.starts_with(" word"));
}

TEST(SplitText, NeverSplitsACharacterAndLosesNothing) {
  std::string text = repeated_text("\u4f60", 100);
  for (int64_t bytes = 0; bytes < 300; ++bytes) {
    SplitText split = split_text(text, bytes);
    EXPECT_TRUE(is_utf8(split.train));
    EXPECT_EQ(std::string(split.train) + std::string(split.validation), text);
    EXPECT_LE(static_cast<int64_t>(split.validation.size()), bytes);
  }
  EXPECT_THROW(split_text(text, 300), Error);
  EXPECT_THROW(split_text("", 0), Error);
}

TEST(SplitText, TakesATenthButAtMost200000Bytes) {
  EXPECT_EQ(split_text(std::string(1000, 'a')).validation.size(), 100u);
  EXPECT_EQ(split_text(std::string(5'000'000, 'a')).validation.size(), 200'000u);
}

TEST(Corpus, HasBothPartsAsTokens) {
  auto bytes = make_bytes_tokenizer();
  std::string text = repeated_text("a line\n", 100);
  Corpus corpus(text, *bytes);
  EXPECT_EQ(corpus.train_bytes + corpus.validation_bytes, 700);
  EXPECT_EQ(corpus.train_bytes, 637);
  EXPECT_EQ(bytes->decode(corpus.train) + bytes->decode(corpus.validation), text);
  EXPECT_TRUE(Corpus(text, *bytes, 0).validation.empty());
}

}  // namespace
}  // namespace aviary
