// How options are read: one value per use, seeds, escapes, named tokens; command lines that can be pasted.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "program.h"

namespace aviary::program {
namespace {

class OptionsOfGenerate : public testing::Test {
 protected:
  OptionsOfGenerate() { train_tiny(folder_.path(), 10); }

  Outcome generate(const Arguments& flags) {
    const Outcome outcome =
        run(folder_.path(), Arguments{"generate", "run", "--threads", "1", "--quiet"} + flags);
    expect_success(outcome);
    return outcome;
  }

  const TestFolder folder_;
};

TEST_F(OptionsOfGenerate, ARepeatableOptionTakesOneValuePerUse) {
  fs::create_directories(folder_ / "runs/newest");
  fs::copy_file(folder_ / "run/model.safetensors", folder_ / "other.safetensors");
  rewrite_tensors(folder_ / "other.safetensors", [](auto& tensors, auto&) {
    for (EditableTensor& tensor : tensors)
      if (tensor.name == "head.weight") tensor.data.assign(tensor.data.size(), '\0');
  });
  fs::copy_file(folder_ / "other.safetensors", folder_ / "runs/newest/model.safetensors");
  const Arguments flags = {"--tokens", "30", "--seed", "1", "--quiet", "--threads", "1"};
  const std::string right = run(folder_.path(), Arguments{"generate", "run", "--stop", "END"} + flags).out,
                    newest = run(folder_.path(), Arguments{"generate", "--stop", "END"} + flags).out;
  ASSERT_NE(right, newest);
  for (const char* option : {"--stop", "--ban"})
    EXPECT_EQ(run(folder_.path(), Arguments{"generate", option, "\x01", "run"} + flags).out,
              run(folder_.path(), Arguments{"generate", "run", option, "\x01"} + flags).out)
        << option;
  EXPECT_EQ(run(folder_.path(), {"logits", "--tokens", "104,101", "run"}).out,
            run(folder_.path(), {"logits", "run", "--tokens", "104,101"}).out);
  expect_refusal(run(folder_.path(), {"verify", "--golden", "a", "b"}), {"--golden", "model"});
}

TEST_F(OptionsOfGenerate, AnEmptyValueIsAValue) {
  EXPECT_EQ(generate({"--prompt=", "--tokens", "0"}).out, "\n");
  EXPECT_EQ(generate({"--prompt", "--top-k=", "--tokens", "0"}).out, "--top-k=\n");
  expect_refusal(run(folder_.path(), {"generate", "run", "--seed=", "--quiet"}), {"--seed: ''"}, 2);
}

TEST_F(OptionsOfGenerate, ASeedCanBeDrawnAndIsPrinted) {
  const Arguments flags = {"generate", "run", "--tokens", "30", "--threads", "1", "--seed"};
  std::string before;
  for (const char* random : {"random", "-1"}) {
    const Outcome outcome = run(folder_.path(), flags + Arguments{random});
    expect_success(outcome);
    const size_t at = outcome.err.find("[seed ");
    ASSERT_EQ(at, 0u) << outcome.err;
    const std::string seed = outcome.err.substr(6, outcome.err.find(']') - 6);
    EXPECT_EQ(run(folder_.path(), flags + Arguments{seed}).out, outcome.out) << seed;
    EXPECT_NE(seed, before);
    before = seed;
  }
  EXPECT_EQ(run(folder_.path(), flags + Arguments{"010"}).out,
            run(folder_.path(), flags + Arguments{"10"}).out);
  const Outcome train =
      run(folder_.path(),
          Arguments{"train", "text.txt", "--out", "drawn", "--steps", "1", "--seed", "random"} + tiny);
  expect_success(train);
  const std::string seed = train.err.substr(6, train.err.find(']') - 6);
  EXPECT_NE(read(folder_ / "drawn/config.json").find("\"seed\": " + seed), std::string::npos) << train.err;
}

TEST_F(OptionsOfGenerate, EscapesAreReadWhereTheyAreAskedFor) {
  EXPECT_EQ(generate({"--prompt", "a\\n\\x62", "--tokens", "0"}).out, "a\\n\\x62\n");
  EXPECT_EQ(generate({"--prompt", "a\\n\\x62", "--tokens", "0", "--escape"}).out, "a\nb\n");
  const Arguments flags = {"--tokens", "60", "--seed", "3", "--top-k", "40"};
  const std::string text = generate(flags).out, stop = text.substr(20, 1);
  const std::string escape = fmt::format("\\x{:02x}", static_cast<unsigned char>(stop[0]));
  if (static_cast<unsigned char>(stop[0]) < 0x80) {
    EXPECT_EQ(generate(flags + Arguments{"--stop", escape, "-e"}).out,
              text.substr(0, text.find(stop)) + "\n");
  }
  EXPECT_EQ(run(folder_.path(), {"tokenize", "--model", "run", "--ids", "--text", "a\\n", "--escape"}).out,
            "97 10\n");
  EXPECT_EQ(run(folder_.path(), {"logits", "run", "--prompt", "a\\n", "--escape"}).out,
            run(folder_.path(), {"logits", "run", "--tokens", "97,10"}).out);
}

TEST_F(OptionsOfGenerate, TokensCanBeBannedFavoredAndExempted) {
  const Arguments flags = {"--tokens", "40", "--seed", "5", "--temperature", "0"};
  const std::string text = generate(flags).out, first = text.substr(0, 1);
  EXPECT_EQ(generate(flags + Arguments{"--ban", first}).out.find(first), std::string::npos);
  EXPECT_EQ(generate(flags + Arguments{"--ban", std::to_string(static_cast<unsigned char>(first[0]))}).out,
            generate(flags + Arguments{"--ban", first}).out);
  EXPECT_EQ(generate(flags + Arguments{"--bias", "120,121=50", "--bias", "z=60"}).out,
            std::string(40, 'z') + "\n");
  EXPECT_EQ(generate(flags + Arguments{"--bias", "\\x7a=60", "--escape"}).out, std::string(40, 'z') + "\n");
  const Arguments penalized = flags + Arguments{"--bias", "z=60", "--frequency-penalty", "20"};
  EXPECT_NE(generate(penalized).out, std::string(40, 'z') + "\n");
  EXPECT_EQ(generate(penalized + Arguments{"--exempt", "z"}).out, std::string(40, 'z') + "\n");
}

TEST_F(OptionsOfGenerate, TheEndOfTextCanBeIgnored) {
  write(folder_ / "text.txt", prose(4000));
  expect_success(
      run(folder_.path(), {"vocab", "train", "text.txt", "--size", "300", "--out", "vocabulary.txt"}));
  expect_success(run(folder_.path(), Arguments{"train", "text.txt", "--out", "world", "--steps", "1"} +
                                         tiny_with("vocabulary.txt")));
  const Arguments flags = {"generate", "world",  "--threads", "1",   "--tokens", "7", "--temperature", "0",
                           "--bias",   "0=1000", "--prompt",  "the", "--seed",   "1"};
  EXPECT_NE(run(folder_.path(), flags).err.find("text: 0 tokens"), std::string::npos);
  EXPECT_NE(run(folder_.path(), flags + Arguments{"--ignore-end-of-text"}).err.find("text: 7 tokens"),
            std::string::npos);
}

TEST_F(OptionsOfGenerate, ATextThatIsInterruptedEndsWithTheSameCodeInEveryForm) {
  const Arguments endless = {"generate", "run", "--tokens", "100000000", "--threads", "1"};
  for (const Arguments& form : {Arguments{}, Arguments{"--quiet"}}) {
    int code = -SIGINT;  // before the model was there
    for (int tenths = 2; code == -SIGINT && tenths < 100; tenths *= 2) {
      Process process(folder_.path(), endless + form);
      std::this_thread::sleep_for(std::chrono::milliseconds(100 * tenths));
      process.signal(SIGINT);
      code = process.wait().code;
    }
    EXPECT_EQ(code, 130);
  }
}

TEST(ACharacterVocabulary, WithoutALineBreakWritesATextWithoutAPrompt) {
  const TestFolder folder;
  std::string text;
  for (size_t i = 0; i < 2000; ++i) text += "ACGT"[(i * i / 7 + i) % 4];
  write(folder / "text.txt", text);
  write(folder / "vocab.json", R"({"A": 0, "C": 1, "G": 2, "T": 3})");
  expect_success(run(folder.path(), Arguments{"train", "text.txt", "--out", "run", "--steps", "2"} +
                                        tiny_with("vocab.json")));
  const Outcome outcome =
      run(folder.path(), {"generate", "run", "--tokens", "20", "--quiet", "--threads", "1"});
  expect_success(outcome);
  EXPECT_EQ(outcome.out.size(), 21u) << outcome.out;
}

// Runs the last command that was printed, as a shell does; its output is in the file `printed`.
int run_printed_command(const fs::path& folder, const std::string& out) {
  const size_t at = out.rfind("\n  aviary ");
  if (at == std::string::npos) return -1;
  write(folder / "script", std::string("aviary() { '") + program_path +
                               "' \"$@\" --threads 1 > printed; }\n" + out.substr(at + 1));
  return std::system(("cd '" + folder.string() + "' && bash script").c_str());
}

TEST(PrintedCommands, CanBePasted) {
  const TestFolder folder;
  write(folder / "text.txt", prose(4000));
  const std::string out = "my $dir's", prompt = "it's\n$HOME";
  const Outcome done =
      run(folder.path(),
          Arguments{"train", "text.txt", "--out", out, "--steps", "2", "--sample-prompt", prompt} + tiny);
  expect_success(done);
  EXPECT_EQ(run_printed_command(folder.path(), done.out), 0) << done.out;
  EXPECT_EQ(read(folder / "printed").substr(0, prompt.size()), prompt);
  const Outcome again = run(folder.path(), {"train", "text.txt", "--out", out});
  expect_refusal(again, {"aviary train --resume 'my $dir'\\''s'"});
}

}  // namespace
}  // namespace aviary::program
