// Ranks that are threads of the test.
#pragma once

#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "ranks/ranks.h"

namespace aviary {

// What was sent and not yet received, by sender and receiver.
struct Mail {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<int64_t, int64_t>, std::deque<std::vector<std::byte>>> messages;
  int64_t bytes = 0;  // sent so far
};

class ThreadRanks : public Ranks {
 public:
  ThreadRanks(Mail& mail, int64_t rank, int64_t count) : mail_(mail), rank_(rank), count_(count) {}
  int64_t rank() const override { return rank_; }
  int64_t count() const override { return count_; }
  std::string host_of(int64_t rank) const override { return "thread-" + std::to_string(rank); }
  void exchange(int64_t partner, std::span<const std::byte> send, std::span<std::byte> receive) override {
    std::unique_lock lock(mail_.mutex);
    if (!send.empty()) {
      mail_.messages[{rank_, partner}].emplace_back(send.begin(), send.end());
      mail_.bytes += std::ssize(send);
      mail_.changed.notify_all();
    }
    if (receive.empty()) return;
    auto& waiting = mail_.messages[{partner, rank_}];
    mail_.changed.wait(lock, [&] { return !waiting.empty(); });
    if (waiting.front().size() != receive.size()) std::terminate();  // the two sides disagree
    std::memcpy(receive.data(), waiting.front().data(), receive.size());
    waiting.pop_front();
  }
  double seconds_exchanging() const override { return 0; }
  void leave(bool) override {}

 private:
  Mail& mail_;
  int64_t rank_, count_;
};

// Calls work(ranks) on `count` threads, with the ranks of one run. Returns the number of bytes that they
// sent. Rethrows what rank 0 throws.
template <typename Work>
int64_t run_ranks(int64_t count, Work work) {
  Mail mail;
  std::exception_ptr failure;
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < count; ++rank)
    threads.emplace_back([&, rank] {
      ThreadRanks ranks(mail, rank, count);
      try {
        work(static_cast<Ranks&>(ranks));
      } catch (...) {
        if (rank == 0) failure = std::current_exception();
      }
    });
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  return mail.bytes;
}

}  // namespace aviary
