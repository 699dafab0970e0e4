#include "bank/state_bank.h"

#include <fstream>

#include "base/error.h"
#include "support/test_folder.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

using Tokens = std::vector<int32_t>;

class Bank : public testing::Test {
 protected:
  StoredSnapshot after(const Tokens& tokens, const std::string& hash = "1234") {
    StoredSnapshot stored{.tokens = tokens,
                          .maker = {.base = {.hash = hash, .name = "m"}, .precision = "f32"}};
    stored.snapshot.state = runner_.new_state();
    const Tensor last =
        runner_.last_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), stored.snapshot.state);
    stored.snapshot.logits.assign(last.as<float>(), last.as<float>() + last.count());
    return stored;
  }
  StateBank open(StateBank::Access access = StateBank::Access::change) { return {folder_ / "bank", access}; }
  static std::string refusal(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  const TestFolder folder_;
  std::unique_ptr<Model> model_ =
      noisy_model({.version = "rwkv7", .n_layer = 2, .n_embd = 64, .vocab_size = 64});
  Runner runner_{*model_};
  const std::vector<float> east_{1, 0}, north_{0, 1};
};

TEST_F(Bank, KeepsStatesForOtherProcesses) {
  {
    StateBank bank = open();
    bank.add("songs", "The bird\nsang.", after({1, 2, 3}), east_);
    bank.add("rain", "It rained.", after({4, 5}), north_);
  }
  const std::vector<BankEntry> all = open(StateBank::Access::read).entries();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].name, "songs");
  EXPECT_EQ(all[1].beginning, "The bird sang.");
  EXPECT_EQ(all[1].tokens, 3);
  EXPECT_EQ(similarities(all, east_), (std::vector<double>{0, 1}));
  const StoredSnapshot expected = after({1, 2, 3});
  const StoredSnapshot read =
      read_snapshot(open_snapshot(all[1].file), "it",
                    std::make_shared<const StateLayout>(runner_.new_state().layout()), expected.maker);
  EXPECT_EQ(largest_difference(read.snapshot.state, expected.snapshot.state), 0);
  StateBank bank = open();
  bank.remove("rain");
  EXPECT_EQ(bank.entries().size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(all[0].file));
}

TEST_F(Bank, WhatIsNotOfItIsRefused) {
  EXPECT_NE(refusal([&] { open(StateBank::Access::read); }).find("is no bank of states"), std::string::npos);
  StateBank bank = open();
  bank.add("a", "x", after({1, 2}), east_);
  EXPECT_NE(refusal([&] { bank.add("a", "x", after({1}), east_); }).find("has a state 'a' already"),
            std::string::npos);
  EXPECT_NE(refusal([&] { bank.add("b", "x", after({1}, "5678"), east_); }).find("with other numbers"),
            std::string::npos);
  EXPECT_NE(refusal([&] { bank.require_made_by(after({1}, "5678").maker); }).find("with other numbers"),
            std::string::npos);
  EXPECT_NE(refusal([&] { bank.add("", "x", after({1}), east_); }).find("name of a state"),
            std::string::npos);
  EXPECT_NE(refusal([&] { bank.remove("c"); }).find("has no state 'c'"), std::string::npos);
  StoredSnapshot mix = after({1});
  mix.snapshot.logits.clear();
  EXPECT_NE(refusal([&] { bank.add("d", "x", mix, east_); }).find("logits"), std::string::npos);
  // A bank that has become empty is of any model again.
  bank.remove("a");
  bank.add("b", "x", after({1}, "5678"), east_);
}

// Every page of the file in turn; and other files in its place.
TEST_F(Bank, ADamagedDatabaseIsRefusedInOneSentence) {
  {
    StateBank bank = open();
    for (int i = 0; i < 40; ++i) bank.add("state " + std::to_string(i), "x", after({i + 1}), east_);
  }
  const std::filesystem::path file = folder_ / "bank" / "bank.sqlite";
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const auto read_with = [&](const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
    return refusal([&] { ASSERT_EQ(open(StateBank::Access::read).entries().size(), 40u); });
  };
  EXPECT_EQ(read_with(bytes), "");
  for (size_t page = 0; page + 4096 <= bytes.size(); page += 4096) {
    std::string damaged = bytes;
    for (size_t i = 0; i < 4096; ++i) damaged[page + i] = static_cast<char>(i * 37 + 11);
    const std::string said = read_with(damaged);
    EXPECT_NE(said.find("damaged"), std::string::npos) << page << ": " << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
  EXPECT_NE(read_with(bytes.substr(0, bytes.size() / 2)), "");
  EXPECT_NE(read_with("no database at all, but a text that is longer than any header"), "");
  EXPECT_NE(read_with(""), "");
  std::string flipped = bytes;  // within a name: SQLite does not notice
  flipped[flipped.find("state 17") + 7] = '9';
  EXPECT_NE(read_with(flipped).find("damaged"), std::string::npos);
}

// A text goes on as it began: after its own first half a second half is likelier than after another one.
TEST_F(Bank, TheLikelihoodIsThatOfReadingTheQuestionAfterTheText) {
  const std::vector<StoredSnapshot> states = {after({1, 2, 3}), after({40, 41}), after({1})};
  Tokens question;
  for (int32_t i = 0; i < 150; ++i) question.push_back((7 * i) % 64);
  const std::vector<double> all = log_likelihoods(runner_, states, question);
  for (size_t i = 0; i < states.size(); ++i) {
    Tokens whole = states[i].tokens;
    const auto before = std::ssize(whole);
    whole.insert(whole.end(), question.begin(), question.end());
    State state = runner_.new_state();
    Tokens targets(static_cast<size_t>(before) - 1, -1);
    targets.insert(targets.end(), question.begin(), question.end());
    targets.push_back(-1);
    const double loss = runner_.loss(whole, targets, Sequences::uniform(1, std::ssize(whole)), state);
    EXPECT_NEAR(all[i], -loss, 1e-4) << i;
  }
}

}  // namespace
}  // namespace aviary
