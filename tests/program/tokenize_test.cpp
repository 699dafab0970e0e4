// aviary tokenize and detokenize: every kind of tokenizer file, any bytes, and invalid input.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "program.h"

namespace aviary::program {
namespace {

using Json = nlohmann::json;

// {"a": 0, "b": 1, "ab": 2} and spaces.
std::string tokenizer_json() {
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  return Json{{"version", "1.0"},
              {"pre_tokenizer", bytes},
              {"decoder", bytes},
              {"added_tokens", {{{"id", 9}, {"content", "  "}}}},
              {"model", {{"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}, {"\u0120", 3}}}, {"merges", {"a b"}}}}}
      .dump();
}

class Tokenize : public testing::Test {
 protected:
  Tokenize() {
    write(folder_ / "text.txt", prose(20000));
    expect_success(
        run(folder_.path(), {"vocab", "train", "text.txt", "--size", "300", "--out", "world.txt"}));
    write(folder_ / "tokenizer.json", tokenizer_json());
    write(folder_ / "vocab.json", std::string("\xff\xfe{\0\"\0"
                                              "0\0\"\0:\0\"\0a\0\"\0,\0\"\0"
                                              "1\0\"\0:\0\"\0`O\"\0}\0",
                                              36));
  }
  // For a text from standard input.
  Outcome tokenize(const std::string& text, const Arguments& flags) {
    write(folder_ / "in", text);
    return run(folder_.path(), Arguments{"tokenize"} + flags, folder_ / "in");
  }
  Outcome detokenize(const std::string& ids, const Arguments& flags) {
    write(folder_ / "in", ids);
    return run(folder_.path(), Arguments{"detokenize"} + flags, folder_ / "in");
  }

  const TestFolder folder_;
};

TEST_F(Tokenize, EveryKindOfTokenizerFileIsAccepted) {
  for (const auto& [file, text, ids] :
       std::initializer_list<std::array<const char*, 3>>{{"bytes", "ab", "97 98\n"},
                                                         {"tokenizer.json", "aab   b", "0 2 9 3 1\n"},
                                                         {"vocab.json", "a\u4f60", "0 1\n"}}) {
    const Outcome outcome = tokenize(text, {"--ids", "--tokenizer", file});
    expect_success(outcome);
    EXPECT_EQ(outcome.out, ids) << file;
    const Outcome back = detokenize(ids, {"--tokenizer", file});
    expect_success(back);
    EXPECT_EQ(back.out, text);
  }
}

TEST_F(Tokenize, AnyBytesSurviveTheRoundTrip) {
  Random random(3);
  std::string bytes = prose(5000);
  for (int i = 0; i < 5000; ++i) bytes += static_cast<char>(random.below(256));
  write(folder_ / "binary", bytes);
  for (const char* tokenizer : {"bytes", "world.txt"}) {
    const Outcome ids =
        run(folder_.path(), {"tokenize", "binary", "--bytes", "--ids", "--tokenizer", tokenizer});
    expect_success(ids);
    const Outcome back = detokenize(ids.out, {"--tokenizer", tokenizer});
    expect_success(back);
    EXPECT_TRUE(back.out == bytes) << tokenizer;
  }
}

TEST_F(Tokenize, TheSameTokensAreShownInFourWays) {
  const Arguments bytes = {"--bytes", "--tokenizer", "bytes"};
  EXPECT_EQ(tokenize("a\n\xff", bytes).out, "     97  \"a\"\n     10  \"\\n\"\n    255  \"\\xff\"\n");
  EXPECT_EQ(tokenize("a\n\xff", bytes + Arguments{"--ids"}).out, "97 10 255\n");
  EXPECT_EQ(tokenize("a\n\xff", bytes + Arguments{"--count"}).out, "3\n");
  const Json json = Json::parse(tokenize("a\n\xff", bytes + Arguments{"--json"}).out);
  EXPECT_EQ(json, (Json{{"count", 3}, {"tokens", {97, 10, 255}}}));
  const std::string many = tokenize(prose(100'000), bytes + Arguments{"--json"}).out;
  EXPECT_EQ(Json::parse(many)["tokens"].size(), 100'000u);
}

TEST_F(Tokenize, ADashIsStandardInputAndNoBytesAreNoTokens) {
  EXPECT_EQ(tokenize("ab", {"-", "--ids", "--tokenizer", "bytes"}).out, "97 98\n");
  EXPECT_EQ(tokenize("", {"--bytes", "--tokenizer", "bytes"}).out, "");
  EXPECT_EQ(tokenize("", {"--bytes", "--tokenizer", "bytes", "--ids"}).out, "\n");
  EXPECT_EQ(tokenize("", {"--bytes", "--tokenizer", "bytes", "--count"}).out, "0\n");
  EXPECT_EQ(Json::parse(tokenize("", {"--bytes", "--tokenizer", "bytes", "--json"}).out),
            (Json{{"count", 0}, {"tokens", Json::array()}}));
  const Outcome nothing = detokenize("", {"--tokenizer", "bytes"});
  expect_success(nothing);
  EXPECT_EQ(nothing.out, "");
}

TEST_F(Tokenize, ATextMayBeGivenOnTheCommandLine) {
  EXPECT_EQ(run(folder_.path(), {"tokenize", "--text", "hi", "--ids", "--tokenizer", "bytes"}).out,
            "104 105\n");
  EXPECT_EQ(run(folder_.path(), {"tokenize", "--text", "", "--ids", "--tokenizer", "bytes"}).out, "\n");
  expect_refusal(run(folder_.path(), {"tokenize", "text.txt", "--text", "hi", "--tokenizer", "bytes"}),
                 {"--text", "file"}, 2);
}

TEST_F(Tokenize, IdsComeFromTheCommandLineOrTheInputInAnyNotation) {
  EXPECT_EQ(run(folder_.path(), {"detokenize", "104", "105", "0", "--tokenizer", "bytes"}).out,
            std::string("hi\0", 3));
  EXPECT_EQ(run(folder_.path(), {"detokenize", "[104, 105]", "--tokenizer", "bytes"}).out, "hi");
  EXPECT_EQ(detokenize("[104,\n105]\t106\r\n", {"--tokenizer", "bytes"}).out, "hij");
}

TEST_F(Tokenize, InvalidTokensAreRejected) {
  for (const auto& [ids, word] :
       std::initializer_list<std::pair<const char*, const char*>>{{"1 2 x", "\"x\""},
                                                                  {"12x", "\"12x\""},
                                                                  {"1.5", "\"1.5\""},
                                                                  {"0x10", "\"0x10\""},
                                                                  {"-1", "-1"},
                                                                  {"256", "0 to 255"},
                                                                  {"99999999999999999999999", "0 to 255"},
                                                                  {"\xff", "\\xff"},
                                                                  {"{\"tokens\": [1]}", "tokens"}})
    expect_refusal(detokenize(ids, {"--tokenizer", "bytes"}), {"detokenize", word, "the input"});
  expect_refusal(run(folder_.path(), {"detokenize", "7000", "--tokenizer", "world.txt"}),
                 {"7000", "command line"});
}

TEST_F(Tokenize, MissingAndUnrelatedFilesAreRejected) {
  expect_refusal(run(folder_.path(), {"tokenize", "none.txt", "--tokenizer", "bytes"}),
                 {"none.txt", "No such file", "--text"});
  expect_refusal(run(folder_.path(), {"tokenize", ".", "--tokenizer", "bytes"}), {"folder"});
  expect_refusal(tokenize("a", {"--tokenizer", "none.json"}), {"none.json", "No such file"});
  expect_refusal(tokenize("a", {"--tokenizer", "."}), {"folder"});
  expect_refusal(tokenize("a", {"--tokenizer", "text.txt"}), {"text.txt", "this is not a tokenizer file"});
  expect_refusal(tokenize("a", {}), {"--tokenizer FILE", "no run below runs/"});
  expect_refusal(tokenize("a", {"--model", "world.txt"}), {"world.txt"});
  expect_refusal(tokenize("a", {"--ids", "--json", "--tokenizer", "bytes"}), {"--ids", "--json"}, 2);
}

TEST_F(Tokenize, ACharacterMissingInTheVocabularyIsReported) {
  expect_refusal(tokenize("aa\u4f60 z", {"--tokenizer", "vocab.json"}), {"\" \"", "line 1, column 4"});
  expect_refusal(tokenize("abc", {"--tokenizer", "tokenizer.json"}), {"0x63"});
}

TEST_F(Tokenize, TheTokenizerOfAModelIsUsedAndMustMatch) {
  train_tiny(folder_.path(), 1);
  EXPECT_EQ(tokenize("ab", {"--model", "run", "--ids"}).out, "97 98\n");
  EXPECT_EQ(tokenize("ab", {"--tokenizer", "run/model.safetensors", "--ids"}).out, "97 98\n");
  EXPECT_EQ(tokenize("ab", {"--tokenizer", "run", "--ids"}).out, "97 98\n");
  expect_refusal(tokenize("ab", {"--model", "run", "--tokenizer", "world.txt"}),
                 {"run/model.safetensors", "the model only 256", "not the one it was trained with"});
  expect_refusal(run(folder_.path(), {"generate", "run", "--tokenizer", "world.txt"}),
                 {"run/model.safetensors", "the model only 256"});
}

TEST_F(Tokenize, ATokenizerThatIsNotTheModelsIsRefusedUnlessForced) {
  train_tiny(folder_.path(), 1);
  write(folder_ / "in", "ab");
  for (const Arguments& command :
       {Arguments{"tokenize", "in", "--ids", "--model", "run"},
        Arguments{"detokenize", "1", "--model", "run"}, Arguments{"evaluate", "run", "in"},
        Arguments{"generate", "run", "-n", "3", "-p", "ab"}, Arguments{"logits", "run", "-p", "ab"},
        Arguments{"bench", "run", "--seconds", "0.01", "--rounds", "1"},
        Arguments{"convert", "run", "new.safetensors"}}) {
    SCOPED_TRACE(command[0]);
    expect_refusal(run(folder_.path(), command + Arguments{"--tokenizer", "tokenizer.json"}),
                   {"run/model.safetensors", "another tokenizer than tokenizer.json", "--force"});
    EXPECT_FALSE(fs::exists(folder_ / "new.safetensors"));
    expect_success(run(folder_.path(), command + Arguments{"--tokenizer", "bytes"}));
    fs::remove(folder_ / "new.safetensors");
    if (command[0] != "evaluate")  // "ab" is one token, which nothing predicts
      expect_success(run(folder_.path(), command + Arguments{"--tokenizer", "tokenizer.json", "--force"}));
    fs::remove(folder_ / "new.safetensors");
  }
}

TEST_F(Tokenize, ATokenizerIsTakenFromTheFolderOfARun) {
  expect_success(run(folder_.path(), Arguments{"train", "text.txt", "--out", "run", "--steps", "1"} +
                                         tiny_with("world.txt")));
  expect_success(run(folder_.path(), {"convert", "run", "bare.pth"}));
  const Outcome outcome = run(folder_.path(), {"evaluate", "bare.pth", "text.txt", "--tokenizer", "run"});
  expect_success(outcome);
  EXPECT_EQ(outcome.out, run(folder_.path(), {"evaluate", "run", "text.txt"}).out);
  expect_success(run(folder_.path(),
                     Arguments{"train", "text.txt", "--out", "again", "--steps", "1"} + tiny_with("run")));
}

TEST_F(Tokenize, AModelCanContainATokenizerJson) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += i % 3 == 0 ? "ab " : i % 5 == 0 ? "ba  " : "a";
  write(folder_ / "ab.txt", text);
  expect_success(run(folder_.path(), Arguments{"train", "ab.txt", "--out", "run", "--steps", "2"} +
                                         tiny_with("tokenizer.json")));
  EXPECT_EQ(tokenize("aab   b", {"--model", "run", "--ids"}).out, "0 2 9 3 1\n");
  expect_success(run(folder_.path(), {"train", "--resume", "run", "--steps", "3"}));
  expect_success(run(folder_.path(), {"generate", "run", "--prompt", "ab", "--tokens", "5"}));
}

TEST_F(Tokenize, AClosedOutputPipeEndsTheProgram) {
  write(folder_ / "text.txt", prose(1'000'000));
  const std::string command = "cd '" + folder_.path().string() + "' && exec '" + std::string(program_path) +
                              "' tokenize text.txt --tokenizer bytes";
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  EXPECT_EQ(std::fgetc(pipe), ' ');
  const int status = ::pclose(pipe);
  EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGPIPE : WEXITSTATUS(status) == 1) << status;
}

}  // namespace
}  // namespace aviary::program
