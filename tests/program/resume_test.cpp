// A run that was interrupted or killed ends with the same bits as an uninterrupted one.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/random.h"
#include "program.h"

namespace aviary::program {
namespace {

class Resume : public testing::Test {
 protected:
  // Trains without interruption in a separate folder; also gives the shortest time of a run.
  void train_undisturbed(const Arguments& flags) {
    const Arguments train =
        Arguments{"train", "text.txt", "--out", "run", "--validate-every", "0"} + tiny + flags;
    command_ = train + Arguments{"--steps", std::to_string(steps_)};
    for (const TestFolder* folder : {&undisturbed_, &folder_}) write(*folder / "text.txt", prose(20'000));
    const Outcome whole = run(undisturbed_.path(), command_);
    expect_success(whole);
    const TestFolder brief;
    write(brief / "text.txt", prose(20'000));
    const Outcome short_one = run(brief.path(), train + Arguments{"--steps", "1"});
    start_up_ = short_one.seconds;
    training_ = std::max(whole.seconds - short_one.seconds, 0.01);
  }

  // The command that continues: --resume if there is a checkpoint, otherwise the one that started the run.
  Arguments next_command() const {
    if (!fs::exists(folder_ / "run/checkpoint.safetensors")) return command_;
    return {"train", "--resume", "run", "--threads", "1"};
  }

  void expect_same_file(const char* name) const {
    ASSERT_TRUE(fs::exists(undisturbed_ / name)) << name;
    EXPECT_TRUE(read(undisturbed_ / name) == read(folder_ / name)) << name << " differs";
  }

  void expect_same_run() const {
    for (const char* file : {"run/model.safetensors", "run/checkpoint.safetensors"}) expect_same_file(file);
    std::istringstream log(read(folder_ / "run/log.jsonl"));
    std::string line;
    for (int step = 1; step <= steps_; ++step) {
      ASSERT_TRUE(std::getline(log, line)) << "the log ends before step " << step;
      EXPECT_EQ(nlohmann::json::parse(line)["step"], step);
    }
    EXPECT_FALSE(std::getline(log, line)) << line;
    for (const auto& [name, content] : files_below(folder_.path()))
      EXPECT_EQ(name.find(".tmp"), std::string::npos) << name << " was left behind";
  }

  // Ctrl-C at random moments until the run is finished.
  void interrupt_and_compare(const Arguments& flags, uint64_t seed) {
    train_undisturbed(flags);
    Random random(seed);
    int interruptions = 0;
    for (int attempt = 0; attempt < 200; ++attempt) {
      Process process(folder_.path(), next_command());
      if (interruptions < 3) {
        sleep_for(random.uniform(0, start_up_ + training_ / 2));
        process.signal(SIGINT);
      }
      const Outcome outcome = process.wait();
      if (outcome.code == 0) break;
      ++interruptions;
      if (outcome.code == -SIGINT) continue;  // before training began
      ASSERT_EQ(outcome.code, 130) << outcome.err;
      EXPECT_NE(outcome.out.find("aviary train --resume run"), std::string::npos) << outcome.out;
    }
    expect_same_run();
  }

  // kill -9 at random moments, including start-up, with a checkpoint after every step.
  void kill_and_compare(int kills, uint64_t seed) {
    steps_ = std::max(steps_, 5 * kills);  // a slow machine does more than one before a kill
    train_undisturbed({"--checkpoint-every", "1"});
    Random random(seed);
    int killed = 0;
    for (int i = 0; i < kills; ++i) {
      const int64_t done = steps_logged();
      Process process(folder_.path(), next_command());
      if (random.below(3) == 0)
        sleep_for(random.uniform(0, start_up_));
      else
        wait_for_steps(process, done + random.below(std::max(2, steps_ / kills / 2)));
      sleep_for(random.uniform(0, training_ / steps_));
      process.signal(SIGKILL);
      const Outcome outcome = process.wait();
      ASSERT_TRUE(outcome.code == -SIGKILL || outcome.code == 0) << outcome.code << "\n" << outcome.err;
      killed += outcome.code == -SIGKILL;
    }
    EXPECT_GE(killed, kills / 2) << "most came too late: the run was through";
    expect_success(run(folder_.path(), next_command()));
    expect_same_run();
  }

  int64_t steps_logged() const {
    const std::string log = read(folder_ / "run/log.jsonl");
    return std::count(log.begin(), log.end(), '\n');
  }
  void wait_for_steps(const Process& process, int64_t wanted) const {
    while (!process.ended() && steps_logged() <= wanted) sleep_for(0.0005);
  }

  const TestFolder undisturbed_, folder_;
  int steps_ = 60;
  Arguments command_;
  double start_up_ = 0, training_ = 0;  // seconds
};

TEST_F(Resume, AnInterruptedRunEndsWithTheSameBits) { interrupt_and_compare({}, 1); }

TEST_F(Resume, AnInterruptedRunWithAccumulationAndDropoutEndsWithTheSameBits) {
  interrupt_and_compare({"--accumulate", "2", "--dropout", "0.1"}, 2);
}

TEST_F(Resume, AnInterruptedRunThatCarriesItsStateEndsWithTheSameBits) {
  interrupt_and_compare({"--carry-state"}, 3);
}

TEST_F(Resume, AnInterruptedRunOfRwkv4EndsWithTheSameBits) {
  interrupt_and_compare({"--model-version", "rwkv4"}, 4);
}

TEST(Diverged, ARunWithoutACheckpointDoesNotSendTheUserToOne) {
  const TestFolder folder;
  write(folder / "text.txt", prose(20'000));
  const Outcome outcome =
      run(folder.path(), {"train",           "text.txt", "--out",           "run", "--steps",          "500",
                          "--layers",        "2",        "--width",         "64",  "--vocabulary",     "256",
                          "--model-version", "rwkv4",    "--learning-rate", "10",  "--clip",           "0",
                          "--warmup",        "0",        "--precision",     "f32", "--validate-every", "0"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("training diverged"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("checkpoint"), std::string::npos) << outcome.err;
}

TEST_F(Resume, TwoThreadsTrainTheSameBitsAsOne) {
  train_undisturbed({"--accumulate", "2", "--dropout", "0.1"});
  Arguments two = command_;
  *(std::find(two.begin(), two.end(), "--threads") + 1) = "2";
  expect_success(run(folder_.path(), two));
  for (const char* file : {"run/model.safetensors", "run/checkpoint.safetensors"}) expect_same_file(file);
}

TEST_F(Resume, ARunKilledAtRandomMomentsEndsWithTheSameBits) { kill_and_compare(8, 5); }

class ResumeLong : public Resume {};

TEST_F(ResumeLong, ARunKilledFiftyTimesEndsWithTheSameBits) { kill_and_compare(50, 6); }

TEST_F(Resume, ARunKilledBeforeItsFirstCheckpointStartsAgainWithTheSameCommand) {
  train_undisturbed({});
  expect_success(run(folder_.path(), command_));
  // The files left by a kill after the settings and some steps were written.
  fs::remove(folder_ / "run/checkpoint.safetensors");
  fs::remove(folder_ / "run/model.safetensors");
  write(folder_ / "run/.aviary-12345-0.tmp", "half a checkpoint");
  expect_refusal(run(folder_.path(), {"train", "--resume", "run"}), {"run", "start it again"});
  expect_success(run(folder_.path(), command_));
  expect_same_run();
}

TEST_F(Resume, WithoutAFolderTheSameRunIsRestartedUntilItHasACheckpoint) {
  write(folder_ / "text.txt", prose(4000));
  const Arguments train = Arguments{"train", "text.txt", "--steps", "2"} + tiny;
  expect_success(run(folder_.path(), train));
  fs::remove(folder_ / "runs/text/checkpoint.safetensors");
  fs::remove(folder_ / "runs/text/model.safetensors");
  expect_success(run(folder_.path(), train));
  EXPECT_TRUE(fs::exists(folder_ / "runs/text/model.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "runs/text-2"));
  expect_success(run(folder_.path(), train));
  EXPECT_TRUE(fs::exists(folder_ / "runs/text-2/model.safetensors"));
}

TEST_F(Resume, OnlyOneProcessTrainsInAFolder) {
  write(folder_ / "text.txt", prose(4000));
  const Arguments endless = Arguments{"train", "text.txt", "--steps", "100000000"} + tiny;
  Process first(folder_.path(), endless + Arguments{"--out", "run", "--checkpoint-every", "1"});
  for (int i = 0; i < 10'000 && !fs::exists(folder_ / "run/model.safetensors"); ++i) sleep_for(0.005);
  expect_refusal(run(folder_.path(), {"train", "--resume", "run"}), {"run", "another process"});
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().code, 130);

  // Two runs started at the same time without a given folder get different folders.
  Process second(folder_.path(), endless), third(folder_.path(), endless);
  auto begun = [&](const char* name) { return fs::exists(folder_ / "runs" / name / "config.json"); };
  for (int i = 0; i < 10'000 && !(begun("text") && begun("text-2")); ++i) sleep_for(0.005);
  EXPECT_TRUE(begun("text"));
  EXPECT_TRUE(begun("text-2"));
}

TEST_F(Resume, AChangedTextIsRejected) {
  train_tiny(folder_.path(), 2);
  const auto before = files_below(folder_ / "run");
  write(folder_ / "text.txt", prose(4000, 2));
  expect_refusal(run(folder_.path(), {"train", "--resume", "run"}), {"text.txt", "changed"});
  fs::remove(folder_ / "text.txt");
  expect_refusal(run(folder_.path(), {"train", "--resume", "run"}), {"text.txt", "No such file", "--text"});
  EXPECT_EQ(files_below(folder_ / "run"), before);
}

TEST_F(Resume, ARunGoesOnWithItsTextInAnotherPlace) {
  train_tiny(folder_.path(), 2);
  const auto before = files_below(folder_ / "run");
  fs::create_directory(folder_ / "new");
  fs::rename(folder_ / "text.txt", folder_ / "new/book.txt");
  write(folder_ / "other.txt", prose(4000, 2));
  const Arguments resume = {"train", "--resume", "run", "--threads", "1", "--steps"};
  expect_refusal(run(folder_.path(), resume + Arguments{"3", "--text", "other.txt"}),
                 {"other.txt", "not the text of the run"});
  EXPECT_EQ(files_below(folder_ / "run"), before);
  expect_success(run(folder_.path(), resume + Arguments{"3", "--text", "new/book.txt"}));
  expect_success(run(folder_.path(), resume + Arguments{"4"}));  // it is remembered
  EXPECT_NE(run(folder_.path(), {"inspect", "run"}).out.find("trained for 4 steps"), std::string::npos);
}

// Ends a long run in this way, and expects it saved.
void expect_saved_after(int signal, const fs::path& folder) {
  write(folder / "text.txt", prose(4000));
  Process process(folder, Arguments{"train", "text.txt", "--out", "run", "--steps", "100000000"} + tiny);
  for (int i = 0; i < 10'000 && !fs::exists(folder / "run/log.jsonl"); ++i) sleep_for(0.005);
  process.signal(signal);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.code, 128 + signal) << outcome.err;
  EXPECT_NE(outcome.out.find("aviary train --resume run"), std::string::npos) << outcome.out;
  EXPECT_TRUE(fs::exists(folder / "run/checkpoint.safetensors"));
}

TEST_F(Resume, ARunThatIsToldToEndIsSaved) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const TestFolder folder;
    expect_saved_after(signal, folder.path());
  }
}

TEST_F(Resume, ARunWhoseTerminalIsClosedIsSaved) {
  write(folder_ / "text.txt", prose(4000));
  Terminal terminal(folder_.path(),
                    Arguments{"train", "text.txt", "--out", "run", "--steps", "100000000"} + tiny);
  for (int i = 0; i < 10'000 && !fs::exists(folder_ / "run/log.jsonl"); ++i) sleep_for(0.005);
  terminal.close();
  EXPECT_GT(terminal.wait(), 0);  // not by a signal; what it says can no longer be written
  EXPECT_TRUE(fs::exists(folder_ / "run/checkpoint.safetensors"));
}

TEST_F(Resume, ARunWhoseTokenizerIsNoLongerTheSameIsRejected) {
  write(folder_ / "text.txt", prose(20'000));
  for (const char* seed : {"a", "b"}) {
    write(folder_ / (seed + std::string(".txt")), prose(20'000, static_cast<uint64_t>(*seed)));
    expect_success(run(folder_.path(), {"vocab", "train", seed + std::string(".txt"), "--size", "300",
                                        "--out", seed + std::string(".vocabulary")}));
  }
  const Arguments compare = {"compare", "text.txt", "--versions",  "rwkv4",      "--out",    "both",
                             "--steps", "2",        "--tokenizer", "vocabulary", "--layers", "1",
                             "--width", "16",       "--context",   "16",         "--batch",  "2"};
  fs::copy_file(folder_ / "a.vocabulary", folder_ / "vocabulary");
  expect_success(run(folder_.path(), compare));
  fs::remove(folder_ / "both/rwkv4/measures.json");
  fs::remove(folder_ / "vocabulary");
  fs::copy_file(folder_ / "b.vocabulary", folder_ / "vocabulary");
  const Outcome outcome = run(folder_.path(), compare);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE((outcome.out + outcome.err).find("another tokenizer"), std::string::npos) << outcome.out;
}

TEST_F(Resume, AFolderThatIsNotARunIsRejected) {
  write(folder_ / "file", "x");
  for (const char* place : {"nowhere", ".", "file"})
    expect_refusal(run(folder_.path(), {"train", "--resume", place}),
                   {place, "not the folder of a training run"});
  write(folder_ / "config.json", "{\"version\": 3}");
  expect_refusal(run(folder_.path(), {"train", "--resume", "."}),
                 {"config.json", "the setting model is missing"});
  EXPECT_FALSE(fs::exists(folder_ / "nowhere"));
}

TEST_F(Resume, SettingsThatDifferFromThoseOfTheRunAreRejected) {
  train_tiny(folder_.path(), 2);
  const auto before = files_below(folder_.path());
  expect_refusal(run(folder_.path(), {"train", "--resume", "run", "--learning-rate", "1e-3"}),
                 {"--learning-rate"});
  expect_refusal(run(folder_.path(), {"train", "--resume", "run", "--steps", "-4"}), {"--steps"});
  EXPECT_EQ(files_below(folder_.path()), before);
}

TEST_F(Resume, AFinishedRunCanContinueForMoreSteps) {
  train_tiny(folder_.path(), 2);
  const Outcome outcome = run(folder_.path(), {"train", "--resume", "run", "--steps", "5", "--threads", "1"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("after step 2 of 5"), std::string::npos) << outcome.out;
  EXPECT_NE(run(folder_.path(), {"inspect", "run"}).out.find("trained for 5 steps"), std::string::npos);
}

TEST_F(Resume, FewerStepsThanAreDoneAreRefusedAndChangeNothing) {
  train_tiny(folder_.path(), 4);
  const auto before = files_below(folder_.path());
  for (const char* steps : {"3", "4"})
    expect_refusal(run(folder_.path(), {"train", "--resume", "run", "--steps", steps}),
                   {std::string("--steps is ") + steps, "has done 4 steps"});
  EXPECT_EQ(files_below(folder_.path()), before);
}

TEST_F(Resume, ARunWhoseOutputPipeIsClosedIsSaved) {
  write(folder_ / "text.txt", prose(4000));
  std::string command = "cd '" + folder_.path().string() + "' && '" + std::string(program_path) +
                        "' train text.txt --out run --steps 30";
  for (const std::string& flag : tiny) command += " " + flag;
  EXPECT_EQ(std::system(("(" + command + " 2>&1; echo $? > code) | true").c_str()), 0);
  const std::string code = read(folder_ / "code");
  EXPECT_TRUE(code == "1\n" || code == "0\n")
      << code;  // 0: the output was written to the pipe before the reader closed it
  EXPECT_NE(run(folder_.path(), {"inspect", "run"}).out.find("trained for 30 steps"), std::string::npos);
}

TEST_F(Resume, AnInterruptedRunWithMinutesStillEndsInTime) {
  write(folder_ / "text.txt", prose(4000));
  Process process(folder_.path(), Arguments{"train", "text.txt", "--out", "run", "--minutes", "0.02"} + tiny);
  for (int i = 0; i < 10'000 && !fs::exists(folder_ / "run/config.json"); ++i) sleep_for(0.001);
  process.signal(SIGINT);
  const Outcome first = process.wait();
  if (first.code == 130)
    expect_success(run(folder_.path(), {"train", "--resume", "run", "--threads", "1"}));
  else
    expect_success(
        run(folder_.path(), Arguments{"train", "text.txt", "--out", "run", "--minutes", "0.02"} + tiny));
}

// The number of steps is known only when the first ones have shown their speed.
TEST_F(Resume, AWarmUpLongerThanTheMinutesIsToldAndTheUsualOneFits) {
  write(folder_ / "text.txt", prose(4000));
  for (const bool given : {false, true}) {
    const std::string name = given ? "given" : "usual";
    SCOPED_TRACE(name);
    Arguments arguments = Arguments{"train", "text.txt", "--out", name, "--minutes", "0.001"} + tiny;
    if (given) arguments = arguments + Arguments{"--warmup", "10000000"};
    const Outcome outcome = run(folder_.path(), arguments);
    expect_success(outcome);
    EXPECT_EQ(outcome.out.find("note: the warm-up of 10,000,000 steps is longer") != std::string::npos, given)
        << outcome.out;
    const auto config = nlohmann::json::parse(read(folder_ / name / "config.json"));
    const int64_t warmup = config["warmup"], steps = config["steps"];
    EXPECT_EQ(warmup > steps, given) << warmup << " of " << steps;
    expect_success(run(folder_.path(),
                       {"train", "--resume", name, "--steps", std::to_string(steps + 1), "--threads", "1"}));
  }
}

TEST_F(Resume, APipeInPlaceOfAFileOfTheRunKeepsNobodyWaiting) {
  for (const char* name : {"config.json", "checkpoint.safetensors"}) {
    fs::remove_all(folder_ / "run");
    train_tiny(folder_.path(), 1);
    fs::remove(folder_ / "run" / name);
    ASSERT_EQ(::mkfifo((folder_ / "run" / name).c_str(), 0600), 0);
    Process process(folder_.path(), {"train", "--resume", "run", "--threads", "1"});
    expect_refusal(process.wait(20), {name, "pipe"});
  }
}

}  // namespace
}  // namespace aviary::program
