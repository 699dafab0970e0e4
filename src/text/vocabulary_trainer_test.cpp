#include "text/vocabulary_trainer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

namespace aviary {
namespace {

// Sentences of made-up words with frequencies distributed as in a natural language.
std::string made_up_text(int64_t bytes, uint64_t seed) {
  Random random(seed);
  std::vector<std::string> words;
  for (int i = 0; i < 800; ++i) {
    std::string word;
    for (int64_t syllables = 1 + random.below(4); syllables > 0; --syllables) {
      word += "bdfgklmnprst"[random.below(12)];
      word += "aeiou"[random.below(5)];
    }
    words.push_back(word);
  }
  std::string text;
  while (static_cast<int64_t>(text.size()) < bytes) {
    double u = random.uniform();
    text += words[static_cast<size_t>(799 * u * u * u)];
    text += random.below(12) == 0 ? ".\n\n" : " ";
  }
  return text;
}

size_t tokens_of(const std::string& text, int32_t size, int rounds) {
  return make_world_tokenizer(train_vocabulary(text, size, {.rounds = rounds}))->encode(text).size();
}

TEST(VocabularyTrainer, LearnsAsManyTokensAsRequestedAndUsesThem) {
  std::string text = made_up_text(200000, 1);
  auto tokenizer = make_world_tokenizer(train_vocabulary(text, 600));
  EXPECT_EQ(tokenizer->vocab_size(), 600);
  auto ids = tokenizer->encode(text);
  EXPECT_EQ(tokenizer->decode(ids), text);
  EXPECT_LT(ids.size() * 3, text.size());
}

TEST(VocabularyTrainer, TheLaterRoundsSaveTokensForTheLongestMatch) {
  std::string text = made_up_text(200000, 2);
  size_t plain = tokens_of(text, 700, 0), better = tokens_of(text, 700, 3);
  EXPECT_LT(static_cast<double>(better), 0.99 * static_cast<double>(plain));
}

TEST(VocabularyTrainer, IsDeterministic) {
  std::string text = made_up_text(50000, 3);
  EXPECT_EQ(train_vocabulary(text, 500), train_vocabulary(text, 500));
}

TEST(VocabularyTrainer, AShortTextHasFewerTokens) {
  auto tokenizer = make_world_tokenizer(train_vocabulary("to be or not to be, to be", 4096));
  EXPECT_GT(tokenizer->vocab_size(), 257);
  EXPECT_LT(tokenizer->vocab_size(), 270);
  EXPECT_EQ(tokenizer->encode(" to be").size(), 2u);
  EXPECT_EQ(make_world_tokenizer(train_vocabulary("", 4096))->vocab_size(), 257);
  EXPECT_EQ(make_world_tokenizer(train_vocabulary("aaaa aaaa", 257))->vocab_size(), 257);
}

TEST(VocabularyTrainer, TokensStayInsideWordsAndCharacters) {
  std::string text;
  Random random(4);
  for (int i = 0; i < 3000; ++i) {
    constexpr std::string_view parts[] = {"\u4f60\u597d", "\u4e16\u754c", "\uff0c",   " caf\u00e9",
                                          " 1984",        "\n\n",         "\xff\xfe", " don't"};
    text += parts[random.below(8)];
  }
  auto tokenizer = make_world_tokenizer(train_vocabulary(text, 400));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  std::vector<std::string> learned;
  for (int32_t id = 257; id < tokenizer->vocab_size(); ++id) learned.emplace_back(tokenizer->bytes_of(id));
  for (const std::string& token : learned) {
    EXPECT_TRUE(is_utf8(token)) << testing::PrintToString(token);
    EXPECT_EQ(token.find_first_of("0123456789"), std::string::npos) << token;
    EXPECT_EQ(token.find(' ', 1), std::string::npos) << token;
    EXPECT_TRUE(token.find('\n') == std::string::npos || token == "\n\n" ||
                token.find_first_not_of('\n') == std::string::npos);
  }
  EXPECT_EQ(tokenizer->encode("\u4f60\u597d").size(), 1u);
}

TEST(VocabularyTrainer, ReadsALongTextInParts) {
  // The one word "zebra" is frequent only at the very end, which a sample has to see.
  std::string text = made_up_text(400000, 5);
  for (int i = 0; i < 3000; ++i) text += " zebra";
  auto tokenizer = make_world_tokenizer(train_vocabulary(text, 500, {.sample_bytes = 64000}));
  EXPECT_EQ(tokenizer->encode(" zebra").size(), 1u);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(VocabularyTrainer, ReportsGrowingProgress) {
  double last = 0;
  train_vocabulary(made_up_text(50000, 6), 700, {.progress = [&](double done) {
                     EXPECT_GE(done, last);
                     last = done;
                     return true;
                   }});
  EXPECT_EQ(last, 1.0);
}

TEST(VocabularyTrainer, StopsWheneverItIsAskedTo) {
  const std::string text = made_up_text(20000, 7);
  int calls = 0;
  train_vocabulary(text, 400, {.progress = [&](double) { return ++calls > 0; }});
  EXPECT_GT(calls, 20);
  for (int last = 1; last <= calls; ++last) {
    int left = last;
    EXPECT_EQ(train_vocabulary(text, 400, {.progress = [&](double) { return --left > 0; }}), "");
    EXPECT_EQ(left, 0);
  }
}

TEST(VocabularyTrainer, RejectsInvalidSizes) {
  EXPECT_THROW(train_vocabulary("text", 256), Error);
  EXPECT_THROW(train_vocabulary("text", 65537), Error);
}

}  // namespace
}  // namespace aviary
