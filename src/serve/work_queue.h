// A thread that does one thing after another.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace aviary {

class WorkQueue {
 public:
  WorkQueue() : thread_([this] { run(); }) {}
  // Waits for what is being done; what waits is dropped.
  ~WorkQueue() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    work_.notify_all();
    thread_.join();
  }
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // `work` must not throw.
  void add(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(work));
    }
    work_.notify_all();
  }

 private:
  void run() {
    while (true) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex_);
        work_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
        if (ending_) return;
        work = std::move(waiting_.front());
        waiting_.pop_front();
      }
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_;
  bool ending_ = false;
  std::deque<std::function<void()>> waiting_;
  std::thread thread_;
};

}  // namespace aviary
