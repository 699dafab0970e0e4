#include "base/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace aviary {
namespace {

TEST(Nearest, CountsInsertedMissingReplacedAndExchangedLetters) {
  EXPECT_EQ(edit_distance("train", "train"), 0);
  EXPECT_EQ(edit_distance("train", "trains"), 1);
  EXPECT_EQ(edit_distance("train", "rain"), 1);
  EXPECT_EQ(edit_distance("train", "brain"), 1);
  EXPECT_EQ(edit_distance("train", "trian"), 1);
  EXPECT_EQ(edit_distance("", "abc"), 3);
}

TEST(Nearest, FindsTheNameThatWasProbablyMeant) {
  const std::vector<std::string> names = {"train",   "generate", "evaluate",       "--temperature",
                                          "--top-p", "--top-k",  "--model-version"};
  EXPECT_EQ(nearest("trian", names), "train");
  EXPECT_EQ(nearest("genrate", names), "generate");
  EXPECT_EQ(nearest("eval", names), "evaluate");
  EXPECT_EQ(nearest("--temprature", names), "--temperature");
  EXPECT_EQ(nearest("--temp", names), "--temperature");
  EXPECT_EQ(nearest("--topk", names), "--top-k");
  EXPECT_EQ(nearest("-top-k", names), "--top-k");
  EXPECT_EQ(nearest("--model", names), "--model-version");
  EXPECT_EQ(nearest("--version", names), "--model-version");
}

TEST(Nearest, FindsNothingForAnUnrelatedWord) {
  const std::vector<std::string> names = {"train", "generate", "vocab"};
  for (const char* word : {"fly", "x", "", "--", "book.txt", "tr"})
    EXPECT_EQ(nearest(word, names), "") << word;
}

}  // namespace
}  // namespace aviary
