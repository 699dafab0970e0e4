// aviary vocab train, and Ctrl-C while a vocabulary is learned.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "base/random.h"
#include "program.h"

namespace aviary::program {
namespace {

// Words that hardly ever recur, so that learning takes long.
std::string many_words(size_t bytes) {
  Random random(5);
  std::string text;
  while (text.size() < bytes) {
    for (int64_t i = 2 + random.below(9); i > 0; --i) text += static_cast<char>('a' + random.below(26));
    text += random.below(12) == 0 ? '\n' : ' ';
  }
  return text;
}

TEST(Vocab, IsLearnedAndUsed) {
  const TestFolder folder;
  write(folder / "text.txt", prose(20000));
  const Outcome outcome =
      run(folder.path(), {"vocab", "train", "text.txt", "--size", "280", "--out", "v.txt"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("v.txt: 280 tokens"), std::string::npos) << outcome.out;
  expect_success(run(folder.path(),
                     Arguments{"train", "text.txt", "--out", "run", "--steps", "1"} + tiny_with("v.txt")));
  const std::string text = "the bird sings";
  write(folder / "in", text);
  EXPECT_EQ(run(folder.path(), {"tokenize", "--count", "--model", "run"}, folder / "in").out,
            run(folder.path(), {"tokenize", "--count", "--tokenizer", "v.txt"}, folder / "in").out);
  const Outcome large =
      run(folder.path(), {"vocab", "train", "text.txt", "--size", "60000", "--out", "w.txt"});
  expect_success(large);
  EXPECT_NE(large.out.find("too short for 60,000 tokens"), std::string::npos) << large.out;
}

TEST(Vocab, InvalidRequestsAreErrorsBeforeTheWorkStarts) {
  const TestFolder folder;
  write(folder / "text.txt", prose(4000));
  write(folder / "empty.txt", "");
  const auto before = files_below(folder.path());
  expect_refusal(run(folder.path(), {"vocab", "train", "text.txt", "--out", "none/v.txt"}), {"none/v.txt"});
  expect_refusal(run(folder.path(), {"vocab", "train", "none.txt", "--out", "v.txt"}), {"none.txt"});
  expect_refusal(run(folder.path(), {"vocab", "train", "empty.txt", "--out", "v.txt"}),
                 {"empty.txt", "empty"});
  expect_refusal(run(folder.path(), {"vocab", "train", "text.txt", "--out", "v.txt", "--size", "256"}),
                 {"--size", "257"}, 2);
  expect_refusal(run(folder.path(), {"vocab", "train", "text.txt"}), {"--out"}, 2);
  EXPECT_EQ(files_below(folder.path()), before);
}

TEST(Vocab, CtrlCStopsWithinASecondAndLeavesNothing) {
  using Clock = std::chrono::steady_clock;
  const TestFolder folder;
  write(folder / "text.txt", many_words(3'000'000));
  const auto before = files_below(folder.path());
  for (const Arguments& arguments :
       {Arguments{"vocab", "train", "text.txt", "--size", "60000", "--out", "v.txt"},
        Arguments{"train", "text.txt", "--out", "run", "--vocabulary", "60000"}}) {
    for (int delay : {200, 600, 1500}) {
      Process process(folder.path(), arguments);
      std::this_thread::sleep_for(std::chrono::milliseconds(sanitized ? 4 * delay : delay));
      const auto pressed = Clock::now();
      process.signal(SIGINT);
      const Outcome outcome = process.wait();
      EXPECT_LT(Clock::now() - pressed, std::chrono::milliseconds(sanitized ? 8000 : 1000));
      if (outcome.code != -SIGINT) {  // otherwise the signal came before the work began
        EXPECT_EQ(outcome.code, 130) << outcome.err;
        EXPECT_NE(outcome.out.find("Stopped"), std::string::npos) << outcome.out;
      }
      EXPECT_EQ(files_below(folder.path()), before);
      EXPECT_TRUE(delay < 1500 || outcome.code == 130) << "the work never began";
    }
  }
  EXPECT_FALSE(fs::exists(folder / "run"));
}

}  // namespace
}  // namespace aviary::program
