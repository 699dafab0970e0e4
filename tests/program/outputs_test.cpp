// What a command reads is never what it writes; an output that cannot be written is an error.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

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

// Every command whose output cannot be written says so in its last sentence, and does not go on for long.
TEST_F(Outputs, AFullDiskBehindTheOutputIsAnErrorOfEveryCommand) {
  write(folder_ / "rows.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n{\"text\": \"three\"}\n");
  std::string ids;
  for (int i = 0; i < 4000; ++i) ids += "65 ";
  write(folder_ / "ids", ids);
  const std::string tiny_flags =
      " --tokenizer bytes --layers 1 --width 16 --context 16 --batch 1 --steps 1 --threads 1";
  const std::vector<std::string> commands{
      "--help",
      "--version",
      "train --help",
      "tokenize text.txt --tokenizer bytes",
      "tokenize text.txt --tokenizer bytes --ids",
      "tokenize --text a --tokenizer bytes --json",
      "detokenize --tokenizer bytes < ids",
      "detokenize 65 --tokenizer bytes",
      "evaluate run text.txt",
      "evaluate run text.txt --json",
      "generate run -n 3 -q",
      "generate run -n 100000000 --ignore-end-of-text",
      "logits run --tokens 1",
      "inspect run",
      "inspect run --tensors --json",
      "inspect --versions",
      "verify run --length 4",
      "bench --random rwkv7:1x64 --seconds 0.01 --rounds 1",
      "vocab train text.txt --size 260 --out vocabulary",
      "convert run new.pth",
      "train text.txt --out new" + tiny_flags,
      "compare text.txt --versions rwkv4 --out comparison" + tiny_flags,
      "tune run rows.jsonl --method lora --steps 1 --out tuned --threads 1"};
  for (const std::string& command : commands) {
    SCOPED_TRACE(command);
    const std::string line = "cd '" + folder_.path().string() + "' && timeout 60 '" + program_path + "' " +
                             command + " > /dev/full 2> err; echo $? > code";
    ASSERT_EQ(std::system(line.c_str()), 0);
    EXPECT_EQ(read(folder_ / "code"), "1\n");
    const std::string errors = read(folder_ / "err");
    const size_t last = errors.rfind("aviary: ");
    ASSERT_NE(last, std::string::npos) << errors;
    EXPECT_TRUE(errors.substr(last).starts_with("aviary: the output cannot be written")) << errors;
    EXPECT_EQ(std::count(errors.begin() + static_cast<std::ptrdiff_t>(last), errors.end(), '\n'), 1)
        << errors;
  }
}

}  // namespace
}  // namespace aviary::program
