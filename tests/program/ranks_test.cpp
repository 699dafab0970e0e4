// Several processes, started by mpirun on this machine, train one run.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "program.h"

namespace aviary::program {
namespace {

// The path of mpirun; empty if it is not installed.
std::string mpirun() {
  std::istringstream folders(std::getenv("PATH") ? std::getenv("PATH") : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (fs::exists(folder + "/mpirun")) return folder + "/mpirun";
  return "";
}

// A running command of a shell, in a folder; killed if the test ends first.
class Command {
 public:
  Command(const fs::path& folder, const Arguments& words) {
    std::string line = "cd '" + folder.string() + "' && exec";
    for (const std::string& word : words) line += " '" + word + "'";
    line += " < /dev/null > '" + (captured_ / "out").string() + "' 2> '" + (captured_ / "err").string() + "'";
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    ::_exit(127);
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }

  void signal(int number) const { ::kill(pid_, number); }
  bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
  }
  // The processes that it has started and that have not ended, the eldest first.
  std::vector<pid_t> children() const {
    const std::string id = std::to_string(pid_);
    std::ifstream list("/proc/" + id + "/task/" + id + "/children");
    return {std::istream_iterator<pid_t>(list), {}};
  }
  // Waits for its end; the test fails if it takes longer than `limit` seconds.
  Outcome wait(double limit = 240) {
    const auto start = std::chrono::steady_clock::now();
    while (!ended() && std::chrono::steady_clock::now() - start < std::chrono::duration<double>(limit))
      sleep_for(0.005);
    EXPECT_TRUE(ended()) << "the command did not end within " << limit << " seconds";
    if (!ended()) signal(SIGTERM);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
            .out = read(captured_ / "out"),
            .err = read(captured_ / "err")};
  }

 private:
  TestFolder captured_;
  pid_t pid_ = -1;
};

constexpr int steps = 50;
// A model that trains in a moment; 4 workers, so that up to 4 ranks can be started.
const Arguments model = {
    "--tokenizer",    "bytes", "--layers",         "2", "--width",   "32",
    "--context",      "16",    "--batch",          "4", "--workers", "4",
    "--sample-every", "0",     "--validate-every", "0", "--steps",   std::to_string(steps)};

class Machines : public testing::Test {
 protected:
  void SetUp() override {
    if (!AVIARY_WITH_MPI || mpirun().empty())
      GTEST_SKIP() << "no MPI: install libopenmpi-dev and openmpi-bin, and configure again";
    if (sanitized) GTEST_SKIP() << "OpenMPI leaks memory when it starts";
    write(folder_ / "text.txt", prose(20'000));
  }

  // mpirun that works as root, with more processes than cores, and without a network.
  static Arguments several(int ranks) {
    return {
        mpirun(), "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "--mca", "btl", "vader,self",
        "-np",    std::to_string(ranks)};
  }
  static Arguments aviary(const Arguments& arguments) { return Arguments{program_path} + arguments; }
  // On one process without mpirun for ranks 0.
  Command start(int ranks, const Arguments& arguments) const {
    return Command(folder_.path(), ranks == 0 ? aviary(arguments) : several(ranks) + aviary(arguments));
  }
  static Arguments train(const std::string& out, const Arguments& more = {}) {
    return Arguments{"train", "text.txt", "--out", out} + model + more;
  }
  void wait_for_steps(const Command& process, const std::string& out, int64_t wanted) const {
    while (!process.ended()) {
      const fs::path log = folder_ / out / "log.jsonl";
      const std::string lines = fs::exists(log) ? read(log) : "";
      if (std::count(lines.begin(), lines.end(), '\n') >= wanted) return;
      sleep_for(0.002);
    }
  }
  // By a signal to mpirun, which passes it on at its leisure: one rank is held until that has happened.
  static void ask_to_stop(const Command& process) {
    const std::vector<pid_t> ranks = process.children();
    ASSERT_EQ(ranks.size(), 2u);
    ::kill(ranks[1], SIGSTOP);
    process.signal(SIGUSR1);
    sleep_for(1);
    ::kill(ranks[1], SIGCONT);
  }
  void expect_same_run(const std::string& out, const std::string& other) const {
    for (const char* file : {"checkpoint.safetensors", "model.safetensors"})
      EXPECT_TRUE(read(folder_ / out / file) == read(folder_ / other / file))
          << out << "/" << file << " differs";
  }
  // One sentence of ours, whatever mpirun says besides; it may ask other ranks to stop before it ends them.
  static void expect_sentence(const Outcome& outcome, const std::vector<std::string>& words) {
    EXPECT_NE(outcome.code, 0);
    std::istringstream lines(outcome.err);
    std::vector<std::string> ours;
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("aviary") && !line.starts_with("aviary: asked to stop")) ours.push_back(line);
    ASSERT_EQ(ours.size(), 1u) << outcome.err;
    for (const std::string& word : words)
      EXPECT_NE(ours.front().find(word), std::string::npos)
          << "expected \"" << word << "\" in: " << ours.front();
  }
  static void expect_ended(const std::vector<pid_t>& processes) {
    auto runs = [](pid_t process) {
      const std::string status = "/proc/" + std::to_string(process) + "/status";
      return fs::exists(status) && read(status).find("State:\tZ") == std::string::npos;
    };
    for (pid_t process : processes) {
      for (int i = 0; i < 300 && runs(process); ++i) sleep_for(0.1);
      EXPECT_FALSE(runs(process)) << process << " was left behind";
    }
  }

  // The same run on 1, 2 and 4 processes, and stopped and resumed with other numbers of them.
  void expect_same_on_all(const Arguments& flags) {
    for (const char* out : {"one", "two", "four", "resumed"}) fs::remove_all(folder_ / out);
    expect_success(start(0, train("one", flags + Arguments{"--threads", "2"})).wait());
    for (const auto& [ranks, out] : {std::pair(2, "two"), std::pair(4, "four")}) {
      const Outcome outcome = start(ranks, train(out, flags + Arguments{"--threads", "1"})).wait();
      EXPECT_EQ(outcome.code, 0) << outcome.err;
      expect_same_run("one", out);
    }
    Command stopped = start(2, train("resumed", flags));
    wait_for_steps(stopped, "resumed", 20);
    ask_to_stop(stopped);
    const Outcome outcome = stopped.wait();
    EXPECT_NE(outcome.out.find("aviary train --resume resumed"), std::string::npos)
        << outcome.out << outcome.err;
    EXPECT_EQ(start(4, {"train", "--resume", "resumed"}).wait().code, 0);
    expect_same_run("one", "resumed");
  }

  const TestFolder folder_;
};

using MachinesLong = Machines;

TEST_F(MachinesLong, AnyNumberOfProcessesTrainsTheSameRwkv7) {
  expect_same_on_all({"--precision", "f32"});
  expect_same_on_all({"--precision", "bf16", "--optimizer", "muon"});
}

TEST_F(MachinesLong, AnyNumberOfProcessesTrainsTheSameRwkv4) {
  expect_same_on_all({"--model-version", "rwkv4", "--precision", "bf16"});
  expect_same_on_all(
      {"--model-version", "rwkv4", "--precision", "f32", "--optimizer", "muon", "--rounded-sums"});
}

TEST_F(MachinesLong, AfterAKillOfAnyProcessTheRunGoesOnToTheSameBits) {
  expect_success(start(0, train("one")).wait());
  for (int rank = 0; rank < 2; ++rank) {
    const std::string out = "killed" + std::to_string(rank);
    Command process = start(2, train(out, {"--checkpoint-every", "1"}));
    wait_for_steps(process, out, 10);
    const std::vector<pid_t> ranks = process.children();
    ASSERT_EQ(ranks.size(), 2u);
    ::kill(ranks[static_cast<size_t>(rank)], SIGKILL);
    const Outcome outcome = process.wait(30);
    EXPECT_NE(outcome.code, 0);
    EXPECT_NE(outcome.err.find("rank " + std::to_string(rank)), std::string::npos) << outcome.err;
    expect_ended(ranks);
    EXPECT_EQ(start(rank == 0 ? 4 : 0, {"train", "--resume", out}).wait().code, 0);
    expect_same_run("one", out);
  }
}

TEST_F(MachinesLong, AProcessThatHangsEndsTheRun) {
  for (int rank = 0; rank < 2; ++rank) {
    const std::string out = "stopped" + std::to_string(rank);
    Command process = start(2, train(out, {"--rank-timeout", rank == 0 ? "1" : "3"}));
    wait_for_steps(process, out, 5);
    const std::vector<pid_t> ranks = process.children();
    ASSERT_EQ(ranks.size(), 2u);
    ::kill(ranks[static_cast<size_t>(rank)], SIGSTOP);
    expect_sentence(process.wait(60),
                    {"rank " + std::to_string(rank) + " on", "not answered", "steps were done"});
    expect_ended(ranks);
  }
}

TEST_F(MachinesLong, WithLocalStepsARunThatWasKilledGoesOnToTheSameBits) {
  const Arguments local = {"--local-steps", "7", "--threads", "1"};
  const Outcome whole = start(4, train("whole", local)).wait();
  EXPECT_EQ(whole.code, 0) << whole.err;
  EXPECT_NE(whole.out.find("4 processes train"), std::string::npos) << whole.out;
  for (const size_t rank : {0u, 3u}) {
    const std::string out = "killed" + std::to_string(rank);
    Command process = start(4, train(out, local + Arguments{"--checkpoint-every", "1"}));
    wait_for_steps(process, out, 17);
    const std::vector<pid_t> ranks = process.children();
    ASSERT_EQ(ranks.size(), 4u);
    ::kill(ranks[rank], SIGKILL);
    EXPECT_NE(process.wait(30).code, 0);
    expect_ended(ranks);
    EXPECT_EQ(start(4, {"train", "--resume", out}).wait().code, 0);
    expect_same_run("whole", out);
  }
  expect_sentence(start(2, {"train", "--resume", "whole", "--steps", "60"}).wait(), {"mpirun -np 4"});
}

TEST_F(MachinesLong, AnyNumberOfProcessesTunesTheSame) {
  expect_success(start(0, train("base")).wait());
  for (const char* method : {"full", "lora", "state"}) {
    const Arguments tune = {"tune", "base",      "text.txt", "--method",         method, "--steps",
                            "12",   "--context", "16",       "--batch",          "4",    "--workers",
                            "4",    "--threads", "1",        "--validate-every", "4"};
    for (const char* out : {"one", "two", "resumed"}) fs::remove_all(folder_ / out);
    expect_success(start(0, tune + Arguments{"--out", "one"}).wait());
    const Outcome two = start(2, tune + Arguments{"--out", "two"}).wait();
    EXPECT_EQ(two.code, 0) << two.err;
    Command process = start(4, tune + Arguments{"--out", "resumed", "--checkpoint-every", "1"});
    wait_for_steps(process, "resumed", 5);
    process.signal(SIGTERM);
    process.wait();
    const Outcome resumed = start(2, {"tune", "--resume", "resumed"}).wait();
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    for (const fs::directory_entry& file : fs::directory_iterator(folder_ / "one")) {
      if (file.path().extension() != ".safetensors") continue;
      for (const char* other : {"two", "resumed"})
        EXPECT_TRUE(read(file.path()) == read(folder_ / other / file.path().filename()))
            << method << ": " << other << "/" << file.path().filename() << " differs";
    }
  }
}

TEST_F(Machines, AnotherModelOrOtherDataToTuneOnAMachineIsRefused) {
  write(folder_ / "other.txt", prose(20'000, 2));
  for (const char* out : {"base", "other"})
    expect_success(start(0, train(out, {"--seed", out == std::string("base") ? "1" : "2"})).wait());
  auto outcome_of = [&](const char* model_of_other, const char* data_of_other) {
    const Arguments first = {"tune", "base", "text.txt", "--out", "tuned", "--steps", "2"};
    Arguments second = first;
    second[1] = model_of_other;
    second[2] = data_of_other;
    return Command(folder_.path(), several(1) + aviary(first) + Arguments{":", "-np", "1"} + aviary(second))
        .wait();
  };
  expect_sentence(outcome_of("other", "text.txt"), {"rank 1 on", "another model", "copy the file"});
  expect_sentence(outcome_of("base", "other.txt"), {"rank 1 on", "other data", "copy the files"});
  EXPECT_FALSE(fs::exists(folder_ / "tuned"));

  expect_success(start(0, {"tune", "base", "text.txt", "--out", "tuned", "--steps", "2"}).wait());
  auto resume = [&](const char* base) {
    return aviary({"tune", base, "--resume", "tuned", "--steps", "4", "--force"});
  };
  expect_sentence(
      Command(folder_.path(), several(1) + resume("base") + Arguments{":", "-np", "1"} + resume("other"))
          .wait(),
      {"rank 1 on", "another model"});
}

TEST_F(Machines, AnotherTextOnAMachineIsRefused) {
  write(folder_ / "other.txt", prose(20'000, 2));
  Arguments other = train("run");
  other[1] = "other.txt";
  const Outcome outcome =
      Command(folder_.path(), several(1) + aviary(train("run")) + Arguments{":", "-np", "1"} + aviary(other))
          .wait();
  expect_sentence(outcome, {"rank 1 on", "another text", "copy the file"});
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(Machines, OtherSettingsOrInstructionsOfAProcessAreRefused) {
  const Outcome outcome =
      Command(folder_.path(), several(1) + aviary(train("run")) + Arguments{":", "-np", "1"} +
                                  aviary(train("run", {"--dropout", "0.5"})))
          .wait();
  expect_sentence(outcome, {"rank 1 on", "\"dropout\": 0.5", "same options"});
  const Outcome older =
      Command(folder_.path(), several(1) + aviary(train("run", {"--isa", "avx2"})) +
                                  Arguments{":", "-np", "1"} + aviary(train("run", {"--isa", "baseline"})))
          .wait();
  expect_sentence(older, {"rank 1 on", "instructions", "--isa"});
}

// A copy of the program in which its version number has been changed.
TEST_F(Machines, AnotherVersionOfTheProgramIsRefused) {
  std::string program = read(program_path);
  const std::string version = "0.1.0";
  for (size_t at = program.find(version); at != std::string::npos; at = program.find(version, at + 1))
    program.replace(at, version.size(), "0.1.9");
  write(folder_ / "other", program);
  fs::permissions(folder_ / "other", fs::perms::owner_all);
  const Outcome outcome = Command(folder_.path(), several(1) + aviary(train("run")) +
                                                      Arguments{":", "-np", "1", "./other"} + train("run"))
                              .wait();
  expect_sentence(outcome, {"rank 1 on", "0.1.9", "version", "0.1.0"});
}

TEST_F(Machines, WhatIsWrongIsToldOnce) {
  expect_sentence(start(2, train("run", {"--width", "7"})).wait(), {"--width"});
  expect_sentence(start(2, train("run", {"--wide", "7"})).wait(), {"--wide"});
  expect_sentence(start(8, train("run")).wait(), {"8 processes", "--workers"});
  expect_sentence(start(4, {"train", "nothing.txt"}).wait(), {"nothing.txt"});
}

TEST_F(Machines, CommandsThatWorkInOneProcessRefuseSeveral) {
  expect_sentence(start(2, {"tokenize", "text.txt"}).wait(), {"2 processes", "aviary tokenize"});
}

TEST_F(Machines, OneProcessStartedByMpirunTrains) {
  const Outcome outcome = start(1, train("run", {"--threads", "1"})).wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(folder_ / "run/model.safetensors"));
}

// As mpirun of OpenMPI would start two.
TEST(WithoutMpi, SeveralProcessesAreRefused) {
  if (AVIARY_WITH_MPI) GTEST_SKIP() << "the program was built with MPI";
  const TestFolder folder;
  write(folder / "text.txt", prose(20'000));
  const Outcome outcome =
      Command(folder.path(), Arguments{"/usr/bin/env", "OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=2",
                                       program_path, "train", "text.txt", "--out", "run"} +
                                 model)
          .wait();
  expect_refusal(outcome, {"2 processes", "without MPI", "libopenmpi-dev"});
  EXPECT_FALSE(fs::exists(folder / "run"));
}

}  // namespace
}  // namespace aviary::program
