// A status line for long operations.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace aviary {

struct ProgressOptions {
  std::string label = {};       // "train"
  int64_t total = 0;            // total units of work; 0: unknown
  int64_t start = 0;            // units done by earlier runs: included in the percentage, not in the speed
  std::string unit = "tokens";  // name of the unit of total, start and speed; empty: no speed is shown
  int64_t unit_size = 1;        // units of work per displayed unit: 1,000,000 for bytes shown as "MB"
  bool summary = true;          // print a final line even if the work was too short for any other
  std::FILE* out = stderr;      // not owned
  std::function<double()> clock = {};  // seconds, for tests; by default the steady clock
};

// On a terminal, one line that is rewritten in place at most ten times a second:
//   train 43.2 % | loss 2.3112 | 21,300 tokens/s | 3 min 12 s, 4 min 13 s left
// Otherwise the same as separate lines: after 10 s, later after each twentieth of the elapsed time, at least
// every 5 minutes, and one at the end. All functions may be called from any thread.
class Progress {
 public:
  explicit Progress(ProgressOptions options);
  // Calls finish().
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done`: total units done, including options.start. `fields`: a short text such as "loss 2.3112".
  void update(int64_t done, std::string_view fields = {});
  // Prints a line of text (without its '\n') above the live line.
  void print(std::string_view line);
  // Prints a final line with the mean speed (options.summary). Does nothing if called again or without any
  // update().
  void finish();

 private:
  std::string line(double now, bool last) const;
  void draw(double now);
  void write(std::string_view text) const;

  const ProgressOptions options_;
  std::mutex mutex_;
  const double started_;
  double drawn_;    // when the line was written last
  double sampled_;  // when the speed was measured last
  int64_t done_;
  int64_t sampled_done_;
  // The speed is recent_work / recent_time; both decay over time, so that the last 15 s have the most weight.
  double recent_work_ = 0, recent_time_ = 0;
  std::string fields_;
  bool updated_ = false, finished_ = false, live_ = false, drew_ = false;
};

}  // namespace aviary
