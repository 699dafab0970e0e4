#include "eval/long_run.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/platform.h"
#include "base/random.h"
#include "plot/plot.h"

namespace aviary {
namespace {

Series curve(const LongRun& run, const char* name, const std::vector<double>& values, double factor) {
  Series series{.name = name};
  for (size_t i = 0; i < values.size(); ++i) {
    series.x.push_back(static_cast<double>(run.tokens * static_cast<int64_t>(i + 1)));
    series.y.push_back(factor * values[i]);
  }
  return series;
}

// Starts the y axis so that a nearly constant curve is not magnified.
Series zero() { return {.x = {0.0}, .y = {0.0}, .color = "transparent"}; }

}  // namespace

LongRun run_long(Runner& runner, int64_t tokens, int64_t intervals,
                 const std::function<bool(int64_t)>& progress) {
  using Clock = std::chrono::steady_clock;
  LongRun run{
      .tokens = std::max<int64_t>(tokens / intervals, 1), .seconds = {}, .fastest = {}, .memory_bytes = {}};
  State state = runner.new_state();
  const Sequences one = Sequences::uniform(1, 1);
  Random random(5);
  int64_t done = 0;
  for (int64_t interval = 0; interval < intervals; ++interval) {
    double total = 0, fastest = std::numeric_limits<double>::infinity();
    for (int64_t i = 0; i < run.tokens;) {
      const int64_t part = std::min<int64_t>(100, run.tokens - i);
      const auto begin = Clock::now();
      for (const int64_t end = i + part; i < end; ++i) {
        const auto token = static_cast<int32_t>(random.below(runner.model().config().vocab_size));
        runner.last_logits({&token, 1}, one, state);
      }
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      total += seconds;
      fastest = std::min(fastest, seconds / static_cast<double>(part));
    }
    run.seconds.push_back(total / static_cast<double>(run.tokens));
    run.fastest.push_back(fastest);
    run.memory_bytes.push_back(static_cast<double>(platform::current_memory()));
    done += run.tokens;
    if (progress && !progress(done)) break;
  }
  return run;
}

std::string plot_time(const LongRun& run) {
  return line_plot("Time per token", "tokens", "microseconds",
                   std::vector<Series>{curve(run, "mean", run.seconds, 1e6),
                                       curve(run, "fastest hundred tokens", run.fastest, 1e6), zero()});
}

std::string plot_memory(const LongRun& run) {
  return line_plot("Memory of the process", "tokens", "MiB",
                   std::vector<Series>{curve(run, "", run.memory_bytes, 1.0 / (1 << 20)), zero()});
}

}  // namespace aviary
