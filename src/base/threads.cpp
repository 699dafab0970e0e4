// The pool behind parallel_for: workers that spin for some tens of microseconds after their last part, then
// sleep. Each worker has its own mailbox, so a call wakes only the workers it needs. When the caller has
// finished its own part, it does the parts that no worker has begun, because on a busy machine a worker may
// wait long for a core.
#include "base/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/platform.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace aviary {
namespace {

using Clock = std::chrono::steady_clock;

// Hint to the core that it is spinning, which helps its sibling thread and saves power.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#endif
}

int core_count() {
  static const int count = std::min(platform::available_cores(), most_threads);
  return count;
}

// One thread waits until another makes a condition true: it spins, then yields its core, then sleeps.
class WaitingPlace {
 public:
  // Returns when done() is true. done() must read atomics with sequential consistency.
  template <typename Done>
  void wait(bool spin, Done done) {
    constexpr auto spinning = std::chrono::microseconds(5), yielding = std::chrono::microseconds(60);
    if (done()) return;
    auto start = Clock::now();
    for (auto waited = Clock::duration::zero(); waited < yielding; waited = Clock::now() - start) {
      for (int i = 0; i < 32; ++i) {
        if (done()) return;
        pause();
      }
      if (!spin || waited > spinning) std::this_thread::yield();
    }
    std::unique_lock lock(mutex_);
    sleeping_.store(true);
    condition_.wait(lock, done);
    sleeping_.store(false);
  }

  // To be called after the condition became true. Because of sequential consistency, either this thread sees
  // the sleeper or the sleeper sees the condition.
  void wake() {
    if (!sleeping_.load()) return;
    { std::lock_guard lock(mutex_); }
    condition_.notify_one();
  }

 private:
  std::atomic<bool> sleeping_{false};
  std::mutex mutex_;
  std::condition_variable condition_;
};

// The worker whose part this thread is executing, and whether it is inside a part.
thread_local int current_worker = 0;
thread_local bool inside_part = false;

struct InsidePart {
  explicit InsidePart(int part) : part_before(current_worker), inside_before(inside_part) {
    current_worker = part;
    inside_part = true;
  }
  ~InsidePart() {
    current_worker = part_before;
    inside_part = inside_before;
  }
  InsidePart(const InsidePart&) = delete;
  InsidePart& operator=(const InsidePart&) = delete;
  int part_before;
  bool inside_before;
};

struct Job {
  detail::RangeFunction function = nullptr;
  void* context = nullptr;
  int64_t count = 0;
  int parts = 0;

  void run(int part) const {
    InsidePart inside(part);
    int64_t size = count / parts, larger = count % parts;  // the first `larger` parts are larger by one
    int64_t begin = part * size + std::min<int64_t>(part, larger);
    function(context, begin, begin + size + (part < larger ? 1 : 0), part);
  }
};

class Pool {
 public:
  explicit Pool(int workers) : spin_(workers <= core_count()), mailboxes_(static_cast<size_t>(workers)) {
    for (auto& mailbox : mailboxes_) mailbox = std::make_unique<Mailbox>();
    for (int i = 1; i < workers; ++i) start(i);
  }

  ~Pool() { stop(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int workers() const { return static_cast<int>(mailboxes_.size()); }

  void run(const Job& job) {
    job_ = job;
    remaining_.store(job.parts - 1);
    for (int i = 1; i < job.parts; ++i) post(*mailboxes_[static_cast<size_t>(i)]);
    run_part(0);
    for (int i = 1; i < job.parts; ++i) {
      Mailbox& mailbox = *mailboxes_[static_cast<size_t>(i)];
      if (!claim(mailbox, mailbox.posted.load())) continue;
      run_part(i);
      remaining_.fetch_sub(1);
    }
    caller_.wait(spin_, [this] { return remaining_.load() == 0; });
    std::exception_ptr first;
    for (int i = 0; i < job.parts; ++i) {
      auto exception = std::exchange(mailboxes_[static_cast<size_t>(i)]->exception, nullptr);
      if (!first) first = std::move(exception);
    }
    if (first) std::rethrow_exception(first);
  }

 private:
  struct alignas(128) Mailbox {
    std::atomic<uint64_t> posted{0};   // parts so far
    std::atomic<uint64_t> claimed{0};  // of them begun, by the worker or by the caller
    WaitingPlace place;
    std::exception_ptr exception;
    std::jthread thread;
  };

  // The system may refuse a thread: a limit of processes, or no memory for its stack.
  void start(int worker) {
    try {
      mailboxes_[static_cast<size_t>(worker)]->thread = std::jthread([this, worker] { work(worker); });
    } catch (const std::system_error& error) {
      stop();  // those that were started would wait for work forever
      fail("the system starts only {0} of {1} threads ({2}); compute with fewer: --threads {0}", worker,
           workers(), error.code().message());
    }
  }

  void stop() {
    stopping_.store(true);
    for (size_t i = 1; i < mailboxes_.size(); ++i) post(*mailboxes_[i]);
  }

  static void post(Mailbox& mailbox) {
    mailbox.posted.fetch_add(1);
    mailbox.place.wake();
  }

  // Claims the `number`th part of a mailbox; whichever thread succeeds executes it.
  static bool claim(Mailbox& mailbox, uint64_t number) {
    uint64_t before = number - 1;
    return mailbox.claimed.compare_exchange_strong(before, number);
  }

  void run_part(int part) {
    try {
      job_.run(part);
    } catch (...) {
      mailboxes_[static_cast<size_t>(part)]->exception = std::current_exception();
    }
  }

  void work(int worker) {
    Mailbox& mailbox = *mailboxes_[static_cast<size_t>(worker)];
    for (uint64_t seen = 0;; ++seen) {
      mailbox.place.wait(spin_, [&] { return mailbox.posted.load() != seen; });
      if (stopping_.load()) return;
      if (!claim(mailbox, seen + 1)) continue;
      run_part(worker);
      if (remaining_.fetch_sub(1) == 1) caller_.wake();
    }
  }

  const bool spin_;  // false if there are more workers than cores: waiting threads yield immediately
  Job job_;
  std::atomic<bool> stopping_{false};
  WaitingPlace caller_;
  alignas(128) std::atomic<int> remaining_{0};
  std::vector<std::unique_ptr<Mailbox>> mailboxes_;  // last: its threads must end first
};

// A lock that is given in the order in which it was asked for. With a std::mutex, a thread that computes
// without pause takes it again before the one that waits has woken up.
class Turns {
 public:
  void lock() {
    const uint64_t mine = next_.fetch_add(1);
    if (serving_.load() == mine) return;
    for (const auto start = Clock::now(); Clock::now() - start < std::chrono::microseconds(60);) {
      if (serving_.load() == mine) return;
      pause();
      std::this_thread::yield();
    }
    std::unique_lock lock(mutex_);
    sleepers_.fetch_add(1);
    condition_.wait(lock, [&] { return serving_.load() == mine; });
    sleepers_.fetch_sub(1);
  }
  // Sequential consistency makes either this thread see the sleeper or the sleeper see that it is its turn.
  void unlock() {
    serving_.fetch_add(1);
    if (sleepers_.load() == 0) return;
    { std::lock_guard lock(mutex_); }
    condition_.notify_all();
  }

 private:
  std::atomic<uint64_t> next_{0}, serving_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable condition_;
};

// Zero: not set yet, the number of cores.
std::atomic<int> wanted_threads{0};

// One call at a time uses the pool; calls from other threads wait for their turn, which comes after those
// that waited before.
struct ThePool {
  Turns turns;
  std::unique_ptr<Pool> pool;
};

ThePool& the_pool() {
  static ThePool pool;
  return pool;
}

}  // namespace

int threads() {
  int wanted = wanted_threads.load(std::memory_order_relaxed);
  return wanted > 0 ? wanted : core_count();
}

void set_threads(int count) {
  require(count >= 1 && count <= most_threads, "the number of threads is {}, expected 1 to {}", count,
          most_threads);
  ThePool& the = the_pool();
  std::lock_guard lock(the.turns);
  the.pool.reset();
  wanted_threads.store(count, std::memory_order_relaxed);
}

void detail::parallel_ranges(int64_t count, int64_t grain, RangeFunction function, void* context) {
  if (count <= 0) return;
  int parts = static_cast<int>(std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, threads()));
  if (parts == 1 || inside_part) {
    InsidePart inside(current_worker);
    function(context, 0, count, current_worker);
    return;
  }
  ThePool& the = the_pool();
  std::lock_guard lock(the.turns);
  if (!the.pool || the.pool->workers() != threads()) the.pool = std::make_unique<Pool>(threads());
  parts = std::min(parts, the.pool->workers());
  the.pool->run({function, context, count, parts});
}

}  // namespace aviary
