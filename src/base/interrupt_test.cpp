#include "base/interrupt.h"

#include <gtest/gtest.h>

#include <csignal>

namespace aviary {
namespace {

void (*handler_of(int signal))(int) {
  struct sigaction action = {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler;
}

TEST(Interrupt, TheFirstSignalSetsTheFlag) {
  std::signal(SIGHUP, SIG_DFL);  // the tests may run under nohup
  for (int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) {
    InterruptGuard guard;
    EXPECT_FALSE(guard.interrupted());
    raise(signal);
    EXPECT_TRUE(guard.interrupted());
    EXPECT_EQ(interrupt_exit_code(), 128 + signal);
  }
}

TEST(Interrupt, AHangUpThatNohupIgnoresRemainsIgnored) {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  {
    InterruptGuard guard;
    raise(SIGHUP);
    EXPECT_FALSE(guard.interrupted());
  }
  EXPECT_EQ(handler_of(SIGHUP), SIG_IGN);
  std::signal(SIGHUP, before);
}

TEST(Interrupt, ASecondHangUpIsNoDemandToEndAtOnce) {
  std::signal(SIGHUP, SIG_DFL);
  InterruptGuard guard;
  raise(SIGHUP);
  raise(SIGHUP);  // would end the process
  EXPECT_TRUE(guard.interrupted());
}

TEST(Interrupt, ThePreviousHandlersAreRestored) {
  auto before_int = handler_of(SIGINT), before_term = handler_of(SIGTERM);
  {
    InterruptGuard outer;
    auto ours = handler_of(SIGINT);
    EXPECT_NE(ours, before_int);
    raise(SIGINT);
    {
      InterruptGuard inner;
      EXPECT_TRUE(inner.interrupted());
    }
    EXPECT_EQ(handler_of(SIGINT), ours);
    EXPECT_TRUE(outer.interrupted());
  }
  EXPECT_EQ(handler_of(SIGINT), before_int);
  EXPECT_EQ(handler_of(SIGTERM), before_term);
}

TEST(InterruptDeathTest, TheSecondCtrlCEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto interrupt_twice = [](int signal) {
    InterruptGuard guard;
    raise(SIGINT);
    raise(signal);
  };
  EXPECT_EXIT(interrupt_twice(SIGINT), testing::ExitedWithCode(130), "");
  EXPECT_EXIT(interrupt_twice(SIGTERM), testing::ExitedWithCode(143), "");
}

}  // namespace
}  // namespace aviary
