// aviary state, and commands that begin from a state that was kept.
#include <gtest/gtest.h>

#include "program.h"

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

TEST_F(KeptState, TheRepeatPenaltySeesTheTokensOfTheState) {
  make("the bird sang", "a.state");
  const Arguments penalty = {"--repeat-penalty", "3", "--repeat-last-n", "-1"};
  const std::string expected = generated(penalty, "the bird sang");
  EXPECT_NE(expected, generated({}, "the bird sang"));
  EXPECT_EQ(generated(penalty + Arguments{"--state", "a.state"}, ""), expected);
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

TEST_F(KeptState, ACompositionIsMadeOfTextsAndNotOfMixes) {
  make("the bird sang", "a.state");
  make("it rained", "b.state");
  expect_success(aviary({"state", "compose", "run", "a.state", "b.state", "--out", "ab.state"}));
  expect_success(
      aviary({"state", "compose", "run", "ab.state", "b.state", "a.state", "--out", "abba.state"}));
  generated({"--state", "ab.state"}, " x");
  expect_success(aviary({"state", "mix", "run", "a.state", "b.state", "--out", "mix.state"}));
  expect_refusal(aviary({"state", "compose", "run", "a.state", "mix.state", "--out", "n.state"}), {"mix"});
  expect_refusal(aviary({"state", "compose", "run", "a.state", "--out", "n.state"}), {"two or more"});
}

TEST_F(KeptState, ABankChoosesTheStateThatFitsThePrompt) {
  write(folder_ / "bird.txt", "the bird sang all day in the tree");
  write(folder_ / "rain.txt", "7 8 9 7 8 9 7 8 9 7 8 9");
  expect_success(aviary({"state", "bank", "add", "run", "bank", "bird.txt", "rain.txt"}));
  const Outcome list = aviary({"state", "bank", "list", "bank"});
  EXPECT_NE(list.out.find("the bird sang all day"), std::string::npos) << list.out;
  for (const Arguments& by : {Arguments{}, Arguments{"--by", "embedding"}}) {
    const Outcome found = aviary(Arguments{"state", "bank", "find", "run", "bank", "-p", " 7 8 9 7 8"} + by);
    expect_success(found);
    EXPECT_NE(found.out.find("bird"), std::string::npos) << found.out;
    EXPECT_NE(found.out.find("rain"), std::string::npos) << found.out;
  }
  const std::string file = aviary({"state", "bank", "find", "run", "bank", "-p", " 7 8", "-q"}).out;
  const Outcome chosen =
      aviary({"generate", "run", "--seed", "1", "-n", "20", "-p", " 7 8", "--state", "bank"});
  EXPECT_NE(chosen.err.find("bank: the state"), std::string::npos) << chosen.err;
  EXPECT_EQ(chosen.out, " 7 8" + generated({"--state", file.substr(0, file.size() - 1)}, " 7 8"));
  expect_refusal(aviary({"generate", "run", "--state", "bank"}), {"bank of states", "prompt"});
  expect_refusal(aviary({"evaluate", "run", "bird.txt", "--state", "bank"}), {"bank of states"});
  expect_refusal(aviary({"state", "bank", "add", "run", "bank", "bird.txt"}), {"bird", "already"});
  expect_refusal(aviary({"state", "bank", "remove", "bank", "sun"}), {"sun"});
  expect_success(aviary({"state", "bank", "remove", "bank", "bird", "rain"}));
  expect_refusal(aviary({"state", "bank", "find", "run", "bank", "-p", "x"}), {"no states"});
  write(folder_ / "bank/bank.sqlite",
        "no database, but a text that is longer than the header of one would be");
  expect_refusal(aviary({"state", "bank", "list", "bank"}), {"bank", "damaged"});
}

}  // namespace
}  // namespace aviary::program
