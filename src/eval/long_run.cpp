#include "eval/long_run.h"

#include <chrono>

#include "base/memory.h"
#include "base/random.h"
#include "eval/plot.h"

namespace aviary {
namespace {

std::string plot(const LongRun& run, const char* title, const char* label, const std::vector<double>& values,
                 double factor) {
  Series series;
  for (size_t i = 0; i < values.size(); ++i) {
    series.x.push_back(static_cast<double>(run.tokens * static_cast<int64_t>(i + 1)));
    series.y.push_back(factor * values[i]);
  }
  Series zero{.x = {0.0}, .y = {0.0}};  // so that flat looks flat
  return line_plot(title, "tokens", label, std::vector<Series>{series, zero});
}

}  // namespace

LongRun run_long(Runner& runner, int64_t tokens, int64_t intervals,
                 const std::function<bool(int64_t)>& progress) {
  using Clock = std::chrono::steady_clock;
  LongRun run{.tokens = std::max<int64_t>(tokens / intervals, 1), .seconds = {}, .memory_bytes = {}};
  State state = runner.new_state();
  const Sequences one = Sequences::uniform(1, 1);
  Random random(5);
  int64_t done = 0;
  for (int64_t interval = 0; interval < intervals; ++interval) {
    const auto begin = Clock::now();
    for (int64_t i = 0; i < run.tokens; ++i) {
      const auto token = static_cast<int32_t>(random.below(runner.model().config().vocab_size));
      runner.logits({&token, 1}, one, state, Runner::Rows::last);
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    run.seconds.push_back(seconds / static_cast<double>(run.tokens));
    run.memory_bytes.push_back(static_cast<double>(current_memory()));
    done += run.tokens;
    if (progress && !progress(done)) break;
  }
  return run;
}

std::string plot_time(const LongRun& run) {
  return plot(run, "Time per token", "microseconds", run.seconds, 1e6);
}

std::string plot_memory(const LongRun& run) {
  return plot(run, "Memory of the process", "MiB", run.memory_bytes, 1.0 / (1 << 20));
}

}  // namespace aviary
