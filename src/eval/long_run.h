// Time and memory per token over a long text, token by token.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/run.h"

namespace aviary {

struct LongRun {
  int64_t tokens = 0;  // of an interval
  // For every interval: the mean seconds per token, those of its fastest hundred tokens (which are least
  // affected by other programs), and the memory of the process at its end.
  std::vector<double> seconds, fastest, memory_bytes;
};

// Decodes `tokens` random tokens in `intervals` intervals. Ends early if `progress`, called with the number
// of tokens done, returns false.
LongRun run_long(Runner& runner, int64_t tokens, int64_t intervals,
                 const std::function<bool(int64_t)>& progress = {});

// The two curves as SVG texts: microseconds per token, and MiB, over the number of tokens read.
std::string plot_time(const LongRun& run);
std::string plot_memory(const LongRun& run);

}  // namespace aviary
