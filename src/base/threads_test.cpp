#include "base/threads.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <latch>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace aviary {
namespace {

// Each test starts with a known number of workers and restores the default.
class Threads : public testing::Test {
 protected:
  ~Threads() override { set_threads(default_); }
  const int default_ = threads();
};

TEST_F(Threads, EveryIndexIsVisitedOnceWithAnyNumberOfWorkers) {
  for (int workers : {1, 2, 3, 7}) {
    set_threads(workers);
    EXPECT_EQ(threads(), workers);
    for (int64_t count : {0, 1, 2, 3, 5, 64, 1000}) {
      std::vector<int> visits(static_cast<size_t>(count), 0);
      parallel_for(count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      });
      EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(count), 1)) << workers << " workers, " << count;
    }
  }
}

TEST_F(Threads, PartsAreContiguousInOrderAndNoSmallerThanTheGrain) {
  set_threads(4);
  for (int64_t count : {1, 9, 10, 19, 20, 39, 40, 41, 1003}) {
    std::vector<std::pair<int64_t, int64_t>> parts(4, {-1, -1});
    parallel_for(count, 10, [&](int64_t begin, int64_t end, int worker) {
      parts[static_cast<size_t>(worker)] = {begin, end};
    });
    int64_t expected_begin = 0;
    for (auto [begin, end] : parts) {
      if (begin < 0) continue;
      EXPECT_EQ(begin, expected_begin);
      EXPECT_TRUE(end - begin >= 10 || (begin == 0 && end == count)) << "count " << count;
      expected_begin = end;
    }
    EXPECT_EQ(expected_begin, count);
  }
}

TEST_F(Threads, FewerItemsThanWorkersUseOnlySomeWorkers) {
  set_threads(5);
  std::atomic<int> calls{0};
  parallel_for(3, 1, [&](int64_t begin, int64_t end, int worker) {
    EXPECT_EQ(end, begin + 1);
    EXPECT_EQ(worker, begin);
    ++calls;
  });
  EXPECT_EQ(calls, 3);
}

TEST_F(Threads, PartsThatTakeTimeRunAtOnceOnDifferentThreads) {
  set_threads(3);
  std::vector<std::thread::id> ids(3);
  std::latch all_began(3);
  parallel_for(3, 1, [&](int64_t begin, int64_t) {
    all_began.arrive_and_wait();
    ids[static_cast<size_t>(begin)] = std::this_thread::get_id();
  });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  EXPECT_NE(ids[0], ids[1]);
  EXPECT_NE(ids[1], ids[2]);
}

TEST_F(Threads, EveryPartIsExecutedOnce) {
  set_threads(4);
  for (int round = 0; round < 20'000; ++round) {
    std::array<std::atomic<int>, 4> calls{};
    parallel_for(4, 1, [&](int64_t begin, int64_t, int worker) {
      EXPECT_EQ(worker, begin);
      ++calls[static_cast<size_t>(begin)];
    });
    for (const auto& count : calls) ASSERT_EQ(count, 1) << "in round " << round;
  }
}

TEST_F(Threads, AnExceptionOfAnyPartReachesTheCallerAndThePoolStaysUsable) {
  set_threads(3);
  for (int64_t thrower = 0; thrower < 3; ++thrower) {
    std::atomic<int> finished{0};
    try {
      parallel_for(3, 1, [&](int64_t begin, int64_t) {
        if (begin == thrower) throw std::runtime_error("part " + std::to_string(begin));
        ++finished;
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), "part " + std::to_string(thrower));
    }
    EXPECT_EQ(finished, 2);
  }
  try {
    parallel_for(3, 1,
                 [](int64_t begin, int64_t) { throw std::runtime_error("part " + std::to_string(begin)); });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "part 0");
  }
  std::atomic<int> calls{0};
  parallel_for(3, 1, [&](int64_t, int64_t) { ++calls; });
  EXPECT_EQ(calls, 3);
}

TEST_F(Threads, AnExceptionOfASinglePartLeavesTheNextCallParallel) {
  set_threads(2);
  EXPECT_THROW(parallel_for(1, 1, [](int64_t, int64_t) { throw Error("alone"); }), Error);
  std::atomic<int> calls{0};
  parallel_for(2, 1, [&](int64_t, int64_t) { ++calls; });
  EXPECT_EQ(calls, 2);
}

TEST_F(Threads, ANestedCallRunsOnlyOnTheCallingWorker) {
  set_threads(3);
  std::vector<int> inner_calls(3, 0);
  parallel_for(3, 1, [&](int64_t, int64_t, int worker) {
    auto id = std::this_thread::get_id();
    parallel_for(100, 1, [&](int64_t begin, int64_t end, int inner_worker) {
      EXPECT_EQ(begin, 0);
      EXPECT_EQ(end, 100);
      EXPECT_EQ(inner_worker, worker);
      EXPECT_EQ(std::this_thread::get_id(), id);
      ++inner_calls[static_cast<size_t>(worker)];
    });
  });
  EXPECT_EQ(inner_calls, std::vector<int>(3, 1));
}

TEST_F(Threads, ThousandsOfTinyLoopsLoseNothing) {
  for (int workers : {2, 3}) {
    set_threads(workers);
    std::vector<int64_t> sums(static_cast<size_t>(workers), 0);
    for (int i = 0; i < 5000; ++i)
      parallel_for(workers, 1, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; ++j) sums[static_cast<size_t>(j)] += i;
      });
    for (int64_t sum : sums) EXPECT_EQ(sum, int64_t{4999} * 5000 / 2);
  }
}

TEST_F(Threads, WorkersThatFellAsleepWakeUp) {
  set_threads(3);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int> calls{0};
    parallel_for(3, 1, [&](int64_t begin, int64_t) {
      if (begin == 2)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the caller falls asleep as well
      ++calls;
    });
    EXPECT_EQ(calls, 3);
  }
}

TEST_F(Threads, TheNumberOfWorkersMayChangeBetweenCalls) {
  for (int i = 0; i < 30; ++i) {
    set_threads(1 + i % 4);
    std::atomic<int> calls{0};
    parallel_for(100, 1, [&](int64_t, int64_t) { ++calls; });
    EXPECT_EQ(calls, 1 + i % 4);
  }
  EXPECT_THROW(set_threads(0), Error);
  EXPECT_THROW(set_threads(1025), Error);
  EXPECT_EQ(threads(), 2);
}

// Sanitizers need memory of their own.
using ThreadsLong = Threads;

TEST_F(ThreadsLong, ThoseThatTheSystemDoesNotStartAreAnErrorThatKeepsNobodyWaiting) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_DATA, &before), 0);
  const rlimit half_a_gigabyte{rlim_t{512} << 20, before.rlim_max};  // a thread has a stack of 2 MB or more
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &half_a_gigabyte), 0);
  set_threads(most_threads);
  std::string message;
  try {
    parallel_for(2 * most_threads, 1, [](int64_t, int64_t) {});
  } catch (const Error& error) {
    message = error.what();
  }
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &before), 0);
  EXPECT_TRUE(message.starts_with("the system starts only ")) << message;
  EXPECT_NE(message.find(" of 1024 threads ("), std::string::npos) << message;
  set_threads(3);
  std::atomic<int> calls{0};
  parallel_for(3, 1, [&](int64_t, int64_t) { ++calls; });
  EXPECT_EQ(calls, 3);
}

// Between the request of a thread and its turn another that calls without pause gets a call or two.
TEST_F(Threads, AThreadThatCallsWithoutPauseKeepsNobodyWaiting) {
  set_threads(2);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> calls{0};
  std::jthread busy([&] {
    while (!stop) {
      parallel_for(2, 1,
                   [](int64_t, int64_t) { std::this_thread::sleep_for(std::chrono::microseconds(50)); });
      ++calls;
    }
  });
  while (calls == 0) std::this_thread::yield();
  std::vector<int64_t> waited;
  for (int i = 0; i < 1000; ++i) {
    const int64_t before = calls;
    std::atomic<int64_t> after{0};
    parallel_for(2, 1, [&](int64_t, int64_t) { after = calls.load(); });
    waited.push_back(after - before);
  }
  stop = true;
  EXPECT_LE(*std::max_element(waited.begin(), waited.end()), 12);
}

TEST_F(Threads, CallsFromSeveralThreadsTakeTurns) {
  set_threads(2);
  std::atomic<int64_t> sum{0};
  {
    std::vector<std::jthread> callers;
    for (int c = 0; c < 3; ++c)
      callers.emplace_back([&] {
        for (int i = 0; i < 200; ++i)
          parallel_for(10, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
      });
  }
  EXPECT_EQ(sum, 3 * 200 * 10);
}

}  // namespace
}  // namespace aviary
