// aviary state, and commands that begin from a state that was kept.
#include <gtest/gtest.h>

#include "documents.h"
#include "program.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

class KeptState : public testing::Test {
 protected:
  KeptState() { train_tiny(folder_.path(), 2); }
  Outcome aviary(const Arguments& arguments) const { return run(folder_.path(), arguments); }
  void make(const std::string& text, const std::string& out, const Arguments& more = {}) const {
    expect_success(aviary(Arguments{"state", "make", "run", "-p", text, "--out", out} + more));
  }
  // The text after the prompt.
  std::string generated(const Arguments& flags, const std::string& prompt) const {
    const Outcome outcome =
        aviary(Arguments{"generate", "run", "-q", "--seed", "1", "-n", "20", "-p", prompt} + flags);
    expect_success(outcome);
    return outcome.out.substr(prompt.size());
  }

  const TestFolder folder_;
};

TEST_F(KeptState, ATextGoesOnInAnotherProcessWithTheSameBits) {
  make("the bird sang", "a.state");
  make(" all day", "b.state", {"--state", "a.state"});
  const auto logits = [&](const Arguments& flags, const std::string& out) {
    expect_success(aviary(Arguments{"logits", "run", "--raw", out} + flags));
    return read(folder_ / out);
  };
  // The tokens of both texts apart.
  const std::string whole = logits({"--prompt", "x", "--state", "b.state"}, "1.raw");
  make("x", "c.state", {"--state", "b.state"});
  EXPECT_EQ(whole.size(), logits({"--prompt", "x", "--state", "a.state"}, "2.raw").size());
  EXPECT_NE(whole, read(folder_ / "2.raw"));
  EXPECT_EQ(generated({"--state", "a.state"}, " all day"), generated({"--state", "b.state"}, ""));
  EXPECT_EQ(generated({"--state", "a.state"}, ""), generated({}, "the bird sang"));
}

TEST_F(KeptState, InfoTellsWhatTheFileIsOf) {
  make("the bird sang", "a.state", {"--name", "song"});
  const Outcome info = aviary({"state", "info", "a.state"});
  expect_success(info);
  for (const char* word : {"song", "model.safetensors", "rwkv7", "read"})
    EXPECT_NE(info.out.find(word), std::string::npos) << info.out;
}

TEST_F(KeptState, AMixOfOneStateGoesOnAsThatState) {
  make("the bird sang", "a.state");
  make("it rained", "b.state");
  expect_success(aviary({"state", "mix", "run", "a.state,1", "--out", "one.state"}));
  EXPECT_EQ(generated({"--state", "one.state"}, " x"), generated({"--state", "a.state"}, " x"));
  expect_success(aviary({"state", "mix", "run", "a.state,0.5", "b.state", "--mean", "--out", "two.state"}));
  generated({"--state", "two.state"}, " x");
}

TEST_F(KeptState, WhatCannotBeUsedIsRefusedWithTheReason) {
  make("the bird sang", "a.state");
  expect_refusal(aviary({"state", "make", "run", "--out", "n.state"}), {"--prompt"});
  expect_refusal(aviary({"state", "info", "run/model.safetensors"}), {"no state"});
  expect_refusal(aviary({"state", "mix", "run", "a.state,x", "--out", "n.state"}), {"FILE,WEIGHT"});
  expect_refusal(aviary({"state", "mix", "run", "a.state,0", "--out", "n.state"}), {"weight"});
  expect_refusal(aviary({"state", "make", "run", "-p", "x", "--state", "a.state", "--out", "a.state"}),
                 {"a.state"});
  std::string bytes = read(folder_ / "a.state");
  bytes[bytes.size() - 3] ^= 1;
  write(folder_ / "bad.state", bytes);
  expect_refusal(aviary({"generate", "run", "--state", "bad.state"}), {"bad.state", "damaged"});
  fs::remove_all(folder_ / "run");
  train_tiny(folder_.path(), 3);
  expect_refusal(aviary({"generate", "run", "--state", "a.state"}), {"a.state", "made with"});
}

// Every command of the page runs, on a model and texts with the names that it uses.
TEST_F(KeptState, TheCommandsOfTheDocumentRun) {
  fs::create_directory(folder_ / "runs");
  fs::rename(folder_ / "run", folder_ / "runs/austen");
  write(folder_ / "chapter.txt", "The bird sang all day. It rained.\n");
  int commands = 0;
  for (const std::string& line : commands_in(read(repository() / "docs/states.md"))) {
    if (line.starts_with("serve")) continue;
    SCOPED_TRACE(line);
    expect_success(aviary(words_of(line)));
    ++commands;
  }
  EXPECT_GE(commands, 5);
}

}  // namespace
}  // namespace aviary::program
