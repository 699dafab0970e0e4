#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <thread>

#include "base/files.h"
#include "base/platform.h"
#include "support/test_folder.h"

namespace aviary::platform {
namespace {

int end_of(ChildProcess& child) {
  for (int i = 0; i < 2000; ++i) {
    if (const std::optional<int> code = child.exit_code()) return *code;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ADD_FAILURE() << "it does not end";
  child.kill();
  return -1;
}

class ProcessTest : public testing::Test {
 protected:
  ChildProcess shell(const std::string& script) {
    std::error_code error;
    ChildProcess child("/bin/sh", {"-c", script}, output, error);
    EXPECT_FALSE(error) << error.message();
    return child;
  }
  std::string printed() const { return read_file(output, 1 << 20); }
  void wait_until_printed(const std::string& text) const {
    for (int i = 0; i < 2000; ++i) {
      if (std::filesystem::exists(output) && printed().find(text) != std::string::npos) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << text << " is not printed";
  }

  TestFolder folder;
  const std::filesystem::path output = folder / "output.log";
};

TEST_F(ProcessTest, ArgumentsAreGivenAsTheyAre) {
  std::error_code error;
  const std::string hostile = "$(touch x) `id` ; rm -rf \" ' \\ \n *";
  ChildProcess child("/usr/bin/printf", {"[%s]", hostile, "second"}, output, error);
  ASSERT_FALSE(error) << error.message();
  EXPECT_EQ(end_of(child), 0);
  EXPECT_EQ(printed(), "[" + hostile + "][second]");
}

TEST_F(ProcessTest, WhatIsPrintedIsAppendedAndTheInputIsEmpty) {
  std::ofstream(output) << "before\n";
  ChildProcess child = shell("cat; echo out; echo err >&2; exit 7");
  EXPECT_EQ(end_of(child), 7);
  EXPECT_EQ(child.exit_code(), 7);
  EXPECT_EQ(printed(), "before\nout\nerr\n");
}

TEST_F(ProcessTest, NothingIsLeftOfOneThatHasEnded) {
  ChildProcess child = shell("exit 0");
  const auto id = static_cast<pid_t>(child.id());
  end_of(child);
  EXPECT_EQ(::waitpid(id, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  child.interrupt();  // asks nobody
}

TEST_F(ProcessTest, IsAskedToStopOrEnded) {
  ChildProcess saves = shell("trap 'echo saved; exit 130' INT; echo ready; while :; do sleep 0.02; done");
  wait_until_printed("ready");
  EXPECT_FALSE(saves.exit_code());
  saves.interrupt();
  EXPECT_EQ(end_of(saves), 130);
  EXPECT_EQ(printed(), "ready\nsaved\n");
  ChildProcess stubborn = shell("trap '' INT; while :; do sleep 0.02; done");
  stubborn.kill();
  EXPECT_EQ(end_of(stubborn), 128 + 9);
}

TEST_F(ProcessTest, AMissingProgramIsAnError) {
  std::error_code error;
  ChildProcess child(folder / "missing", {}, output, error);
  EXPECT_EQ(error, std::errc::no_such_file_or_directory);
  EXPECT_EQ(child.id(), 0);
}

TEST_F(ProcessTest, TheHolderOfALockIsKnown) {
  EXPECT_EQ(lock_holder(folder.path()), 0);
  EXPECT_EQ(lock_holder(folder / "missing"), 0);
  std::error_code error;
  {
    File held(folder.path(), Open::read, error);
    EXPECT_EQ(lock_holder(folder.path()), 0);
    ASSERT_TRUE(held.try_sure_lock());
    EXPECT_EQ(lock_holder(folder.path()), process_id());
  }
  EXPECT_EQ(lock_holder(folder.path()), 0);
}

TEST(Process, ThisProgramIsAFile) {
  EXPECT_TRUE(std::filesystem::is_regular_file(program_file()));
  EXPECT_FALSE(interrupt_process(0));
  EXPECT_FALSE(interrupt_process(-1));
}

}  // namespace
}  // namespace aviary::platform
