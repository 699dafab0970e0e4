// What a command reads is never what it writes.
#include <gtest/gtest.h>

#include "program.h"

namespace aviary::program {
namespace {

class Outputs : public testing::Test {
 protected:
  Outputs() { train_tiny(folder_.path(), 2); }

  // The command is refused, with these words, and nothing changes.
  void expect_kept(const Arguments& command, const std::vector<std::string>& words) {
    const auto before = files_below(folder_.path());
    expect_refusal(run(folder_.path(), command), words);
    EXPECT_EQ(files_below(folder_.path()), before);
  }

  const TestFolder folder_;
};

TEST_F(Outputs, AVocabularyDoesNotReplaceItsText) {
  fs::create_hard_link(folder_ / "text.txt", folder_ / "hard.txt");
  fs::create_symlink("text.txt", folder_ / "link.txt");
  for (const char* out : {"text.txt", "./text.txt", "hard.txt", "link.txt"})
    expect_kept({"vocab", "train", "text.txt", "--size", "300", "--out", out},
                {out, "read by the same command"});
}

TEST_F(Outputs, ALinkToItselfIsNoFolderForARun) {
  fs::create_symlink("circle", folder_ / "circle");
  for (const Arguments& command : {Arguments{"train", "text.txt", "--steps", "1", "--out", "circle"} + tiny,
                                   {"train", "--resume", "circle"}})
    expect_refusal(run(folder_.path(), command), {"aviary: circle", ": cannot be accessed: "});
}

TEST_F(Outputs, LogitsDoNotReplaceAFileOfTheRun) {
  write(folder_ / "vocabulary.json", "{\"0\": \"a\", \"1\": \"b\"}");
  for (const char* out :
       {"run/model.safetensors", "run/checkpoint.safetensors", "run/config.json", "run/log.jsonl"})
    expect_kept({"logits", "run", "--tokens", "1", "--raw", out}, {out, "another file"});
  expect_kept({"logits", "run", "--tokens", "1", "--tokenizer", "vocabulary.json", "--force", "--raw",
               "vocabulary.json"},
              {"vocabulary.json", "read by the same command"});
  expect_success(run(folder_.path(), {"logits", "run", "--tokens", "1", "--raw", "run/logits.f32"}));
}

TEST_F(Outputs, AComparisonDoesNotReplaceItsText) {
  fs::create_directories(folder_ / "c");
  for (const char* name : {"c/vocabulary.txt", "c/loss.csv"}) {
    write(folder_ / name, prose(4000));
    expect_kept({"compare", name, "--versions", "rwkv4", "--out", "c", "--vocabulary", "300", "--steps", "1"},
                {"c"});
  }
}

TEST_F(Outputs, PreparedTextsDoNotReplaceTheirSource) {
  fs::create_directories(folder_ / "d");
  write(folder_ / "d/train.txt", "novels");
  expect_kept({"data", "austen", "d/train.txt", "--out", "d"}, {"d/train.txt", "read by the same command"});
}

}  // namespace
}  // namespace aviary::program
